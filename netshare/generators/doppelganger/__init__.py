"""DoppelGANger: the adversarial generator of series with metadata."""

from netshare.generators.doppelganger.generator import DoppelGANger
from netshare.generators.doppelganger.settings import DoppelGANgerSettings

__all__ = ["DoppelGANger", "DoppelGANgerSettings"]
