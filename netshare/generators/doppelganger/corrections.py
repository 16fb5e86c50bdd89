"""All that is corrected in samples of a trained DoppelGANger: units, ends of series, and addresses; kept with its weights.

    corrections = Corrections.fit_metadata(layout, units, real, ...)
    units -> corrections.apply(layout, units) -> collapse -> corrections.set_hosts(layout, units, rows, random)

`tensors` and `from_tensors` bring one to a model's file and back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from netshare.generators.doppelganger.calibration import UnitCalibration, fit_units
from netshare.generators.doppelganger.known_hosts import AddressField, KnownHosts, address_fields, fit_hosts
from netshare.generators.doppelganger.layout import ColumnLayout

FEWEST_ADDRESSES = 20  # of a version, generated or real, that weights are fitted on


@dataclass(frozen=True)
class Corrections:
    """Of one layout's columns, metadata or measurements; nothing is corrected where parts are missing.

    stops: float32[longest], see `fit_stops`; measurements only
    hosts: by field and length of the address; metadata only
    """

    units: UnitCalibration | None = None
    stops: torch.Tensor | None = None
    hosts: dict[tuple[str, int], KnownHosts] = field(default_factory=dict)

    def apply(self, layout: ColumnLayout, units: torch.Tensor) -> torch.Tensor:
        """Activated units float32[..., width] -> the same, calibrated."""
        return units if self.units is None else self.units.apply(layout, units)

    def set_hosts(self, layout: ColumnLayout, units: torch.Tensor, rows: torch.Tensor, random: torch.Generator) -> None:
        """Draw the addresses of collapsed rows (float32[n, columns], changed in place), given the units they came from."""
        if not self.hosts:
            return
        for own in address_fields(layout.columns, layout):
            for length, chosen in _by_length(own, rows):
                known = self.hosts.get((own.name, length))
                if known is not None and len(chosen):
                    drawn = known.draw(units[chosen][:, list(own.units)], random)
                    rows[chosen[:, None], torch.tensor(own.columns, device=rows.device)] = drawn

    def tensors(self) -> dict[str, torch.Tensor]:
        """What `from_tensors` takes."""
        found: dict[str, torch.Tensor] = {}
        if self.units is not None:
            found |= {"shifts": self.units.shifts, "quantiles": self.units.quantiles}
        if self.stops is not None:
            found["stops"] = self.stops
        for (name, length), known in self.hosts.items():
            key = f"hosts.{name}.{length}"
            found |= {f"{key}.hosts": known.bits[: known.n_hosts], f"{key}.networks": known.bits[known.n_hosts :]}
            found[f"{key}.weights"] = known.weights
        return {name: tensor.contiguous() for name, tensor in found.items()}

    @classmethod
    def from_tensors(cls, tensors: dict[str, torch.Tensor], device: torch.device) -> Corrections:
        """What `tensors` gave."""
        own = {name: tensor.to(device) for name, tensor in tensors.items()}
        units = UnitCalibration(own["shifts"], own["quantiles"]) if "shifts" in own else None
        hosts = {}
        for key in own:
            if key.startswith("hosts.") and key.endswith(".weights"):
                _, name, length, _ = key.split(".")
                parts = [own[f"hosts.{name}.{length}.{part}"] for part in ("hosts", "networks")]
                hosts[name, int(length)] = KnownHosts(torch.cat(parts), own[key], len(parts[0]), int(length))
        return cls(units, own.get("stops"), hosts)


def fit_metadata(
    layout: ColumnLayout, units: torch.Tensor, real: np.ndarray, *, drawn: bool, calibrate: bool, known_hosts: bool
) -> Corrections:
    """Corrections of metadata.

    Args:
        layout: of the metadata.
        units: float32[n, width], activated, of a sample.
        real: float32[m, columns], of the training data.
        drawn: whether categories are drawn, not the most likely ones.
        calibrate, known_hosts: what is wanted.
    """
    calibration = fit_units(layout, units, real, categories=drawn) if calibrate else None
    hosts: dict[tuple[str, int], KnownHosts] = {}
    for own in address_fields(layout.columns, layout) if known_hosts else ():
        rows = layout.collapse(
            Corrections(calibration).apply(layout, units),
            "sample" if drawn else "argmax",
            torch.Generator().manual_seed(0),
        )
        made = dict(_by_length(own, rows))
        for length, chosen in _by_length(own, torch.from_numpy(real)):
            if min(len(chosen), len(made[length])) >= FEWEST_ADDRESSES:
                bits = real[chosen.numpy()][:, list(own.columns)]
                sample = units[made[length]][:, list(own.units)]
                hosts[own.name, length] = fit_hosts(bits, sample, length=length)
    return Corrections(calibration, hosts=hosts)


def _by_length(own: AddressField, rows: torch.Tensor) -> list[tuple[int, torch.Tensor]]:
    """Lengths of this field's addresses in bits, and the rows (int64) that have each."""
    everything = torch.arange(len(rows), device=rows.device)
    if own.gate is None:
        return [(len(own.columns), everything)]
    is_long = torch.isin(rows[:, own.gate], torch.tensor(own.long, dtype=rows.dtype, device=rows.device))
    return [(128, everything[is_long]), (32, everything[~is_long])]
