"""Runs on disk: the stages of a synthesizer, each cached in a run folder."""
