"""Private runs by gradients: DP-SGD with exact clipping for each unit, one class for each kind of generator.

    generator = private_generator("autoregressive")(
        schema, settings, schedule=schedule, units=units, randomness=SecureRandomness()
    )

All of them are `Generator`s: trained by `netshare.training`, sampled like any other.

| module | what is in it |
|---|---|
| `schedule` | clip norm, sampling rate and noise; the only place where noise is added to gradients |
| `autoregressive` | `PrivateAutoregressive`, over `unit_losses` and `ghost_clipping` |
| `doppelganger` | `PrivateDoppelGANger`, over `critic_clipping` and `unit_noise` |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from netshare.generators.base import Generator
from netshare.preprocess.errors import ConfigError
from netshare.privacy.gradients.autoregressive import PrivateAutoregressive
from netshare.privacy.gradients.doppelganger import PrivateDoppelGANger
from netshare.privacy.gradients.schedule import PrivateSchedule

__all__ = ["PRIVATE_GENERATORS", "PrivateAutoregressive", "PrivateDoppelGANger", "PrivateSchedule", "private_generator"]

PRIVATE_GENERATORS: Mapping[str, Callable[..., Generator]] = {
    "autoregressive": PrivateAutoregressive,
    "doppelganger": PrivateDoppelGANger,
}


def private_generator(kind: str) -> Callable[..., Generator]:
    """The class of private generators of this kind; all take the same arguments.

    Raises:
        ConfigError: nobody has made this kind private.
    """
    if kind not in PRIVATE_GENERATORS:
        raise ConfigError(
            f"generator.kind is {kind}, which cannot be trained by private gradients; set privacy.method to marginals, or "
            f"choose one of {', '.join(PRIVATE_GENERATORS)}"
        )
    return PRIVATE_GENERATORS[kind]
