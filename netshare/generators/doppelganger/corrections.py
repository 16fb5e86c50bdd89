"""What is corrected in samples of a trained DoppelGANger, metadata and measurements; kept with its weights.

    metadata: units -> apply -> collapse -> set_hosts
    measurements: flags -> shift_stops; units -> apply

Measurements and lengths are calibrated within the categories of one metadata column (a trace's protocol, say), so that what
differs between them is not blurred. `tensors` and `from_tensors` bring both to a model's file and back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from netshare.generators.doppelganger.calibration import UnitCalibration, shifted_flags
from netshare.generators.doppelganger.known_hosts import AddressField, KnownHosts, address_fields
from netshare.generators.doppelganger.layout import ColumnLayout


@dataclass(frozen=True)
class MetadataCorrections:
    """Nothing is corrected where parts are missing; `hosts` are by field and length of the address."""

    units: UnitCalibration | None = None
    hosts: dict[tuple[str, int], KnownHosts] = field(default_factory=dict)

    def apply(self, layout: ColumnLayout, units: torch.Tensor) -> torch.Tensor:
        """Activated units float32[n, width] -> the same, calibrated."""
        return units if self.units is None else self.units.apply(layout, units)

    def set_hosts(self, layout: ColumnLayout, units: torch.Tensor, rows: torch.Tensor, random: torch.Generator) -> None:
        """Draw the addresses of collapsed rows (float32[n, columns], changed in place), given the units they came from."""
        for own in address_fields(layout.columns, layout) if self.hosts else ():
            for length, chosen in by_length(own, rows):
                known = self.hosts.get((own.name, length))
                if known is not None and len(chosen):
                    drawn = known.draw(units[chosen][:, list(own.units)], random)
                    rows[chosen[:, None], torch.tensor(own.columns, device=rows.device)] = drawn

    def tensors(self) -> dict[str, torch.Tensor]:
        """What `from_tensors` takes."""
        found: dict[str, torch.Tensor] = {}
        if self.units is not None:
            found |= {"shifts": self.units.shifts, "quantiles": self.units.quantiles}
        for (name, length), known in self.hosts.items():
            key = f"hosts.{name}.{length}"
            found |= {f"{key}.hosts": known.bits[: known.n_hosts], f"{key}.networks": known.bits[known.n_hosts :]}
            found[f"{key}.weights"] = known.weights
        return {name: tensor.contiguous() for name, tensor in found.items()}

    @classmethod
    def from_tensors(cls, tensors: dict[str, torch.Tensor]) -> MetadataCorrections:
        """What `tensors` gave."""
        units = UnitCalibration(tensors["shifts"], tensors["quantiles"]) if "shifts" in tensors else None
        hosts = {}
        for key, weights in tensors.items():
            if key.startswith("hosts.") and key.endswith(".weights"):
                _, name, length, _ = key.split(".")
                parts = [tensors[f"hosts.{name}.{length}.{part}"] for part in ("hosts", "networks")]
                hosts[name, int(length)] = KnownHosts(torch.cat(parts), weights, len(parts[0]), int(length))
        return cls(units, hosts)


@dataclass(frozen=True)
class MeasurementCorrections:
    """Calibrations of groups of series; nothing is corrected where there are none.

    column: int64[1], of the metadata, whose categories make groups; -1: all series are one group
    groups: int64[cardinality], the group of each category; group 0 is fitted on all series
    units: of each group
    stops: float32[groups, longest], see `fit_stops`
    """

    column: torch.Tensor
    groups: torch.Tensor
    units: tuple[UnitCalibration, ...] = ()
    stops: torch.Tensor | None = None

    @classmethod
    def none(cls, device: torch.device) -> MeasurementCorrections:
        """Corrects nothing."""
        return cls(torch.full((1,), -1, device=device), torch.zeros(0, dtype=torch.long, device=device))

    def group(self, metadata: torch.Tensor) -> torch.Tensor:
        """int64[n]: the groups of series, by their metadata rows (float32[n, columns])."""
        column = int(self.column)
        if column < 0:
            return torch.zeros(len(metadata), dtype=torch.long, device=metadata.device)
        return self.groups[metadata[:, column].long().clamp(0, len(self.groups) - 1)]

    def shift_stops(self, flags: torch.Tensor, groups: torch.Tensor, done: int) -> torch.Tensor:
        """Flags float32[n, records, 2] of series of these groups (int64[n]), whose first record is number `done`."""
        if self.stops is None:
            return flags
        return shifted_flags(flags, self.stops[groups, done : done + flags.shape[1]])

    def apply(self, layout: ColumnLayout, units: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
        """Activated units float32[n, width] of records of these groups (int64[n]) -> the same, calibrated."""
        if not self.units:
            return units
        if len(self.units) == 1:
            return self.units[0].apply(layout, units)
        corrected = torch.empty_like(units)
        for number, own in enumerate(self.units):
            mask = groups == number
            corrected[mask] = own.apply(layout, units[mask])
        return corrected

    def tensors(self) -> dict[str, torch.Tensor]:
        """What `from_tensors` takes."""
        if not self.units:
            return {}
        found = {"column": self.column, "groups": self.groups}
        found["shifts"] = torch.stack([own.shifts for own in self.units])
        found["quantiles"] = torch.stack([own.quantiles for own in self.units])
        return found if self.stops is None else {**found, "stops": self.stops}

    @classmethod
    def from_tensors(cls, tensors: dict[str, torch.Tensor], device: torch.device) -> MeasurementCorrections:
        """What `tensors` gave."""
        if not tensors:
            return cls.none(device)
        units = [UnitCalibration(*own) for own in zip(tensors["shifts"], tensors["quantiles"], strict=True)]
        return cls(tensors["column"], tensors["groups"], tuple(units), tensors.get("stops"))


def by_length(own: AddressField, rows: torch.Tensor) -> list[tuple[int, torch.Tensor]]:
    """Lengths of this field's addresses in bits, and the rows (int64) that have each."""
    everything = torch.arange(len(rows), device=rows.device)
    if own.gate is None:
        return [(len(own.columns), everything)]
    is_long = torch.isin(rows[:, own.gate], torch.tensor(own.long, dtype=rows.dtype, device=rows.device))
    return [(128, everything[is_long]), (32, everything[~is_long])]
