"""DoppelGANger: the adversarial generator of series with metadata."""
