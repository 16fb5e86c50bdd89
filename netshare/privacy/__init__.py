"""Differential privacy: settings, accounting, private training, and what is said of the guarantee; see docs/privacy.md."""
