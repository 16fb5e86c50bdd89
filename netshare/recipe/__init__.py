"""The recipe from data to synthetic data: chunks, encoding, models, generation."""
