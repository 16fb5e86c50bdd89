"""The synthesizer: a recipe with what it has learnt, in memory or in a folder."""

from netshare.synthesizer.synthesizer import Synthesizer

__all__ = ["Synthesizer"]
