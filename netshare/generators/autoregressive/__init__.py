"""Generator that learns both slots by likelihood and samples them column by column."""

from netshare.generators.autoregressive.generator import AutoregressiveGenerator
from netshare.generators.autoregressive.settings import AutoregressiveSettings

__all__ = ["AutoregressiveGenerator", "AutoregressiveSettings"]
