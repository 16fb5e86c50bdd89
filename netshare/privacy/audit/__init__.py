"""Attacks on what a private run claims."""
