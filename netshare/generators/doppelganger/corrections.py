"""What is corrected in samples of a trained DoppelGANger, metadata and measurements; kept with its weights.

    metadata: units -> shift -> collapse -> read_off
    measurements: flags -> shift_stops; units -> apply

Numbers, measurements and lengths are calibrated within the categories of one metadata column (a trace's protocol, the
class of a time series), so that what differs between them is not blurred. `tensors` and `from_tensors` bring both to a
model's file and back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from netshare.generators.doppelganger.calibration import UnitCalibration, map_numbers, shifted_flags
from netshare.generators.doppelganger.known_hosts import AddressField, KnownHosts, address_fields
from netshare.generators.doppelganger.layout import ColumnLayout


@dataclass(frozen=True)
class Groups:
    """Series by the category of one metadata column.

    column: int64[1]; -1: all series are of group 0
    of: int64[cardinality], the group of each category; group 0 stands for all series
    """

    column: torch.Tensor
    of: torch.Tensor

    @classmethod
    def one(cls, device: torch.device) -> Groups:
        """No groups but that of all series."""
        return cls(torch.full((1,), -1, device=device), torch.zeros(0, dtype=torch.long, device=device))

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.of.max()) + 1 if len(self.of) else 1

    def __call__(self, metadata: torch.Tensor) -> torch.Tensor:
        """int64[n]: the groups of series, by their metadata rows (float32[n, columns])."""
        column = int(self.column)
        if column < 0:
            return torch.zeros(len(metadata), dtype=torch.long, device=metadata.device)
        return self.of[metadata[:, column].long().clamp(0, len(self.of) - 1)]


@dataclass(frozen=True)
class MetadataCorrections:
    """Nothing is corrected where parts are missing.

    units: of categories alone
    groups, quantiles: float32[groups, 2, n_numbers, LEVELS], the monotone maps of numbers
    hosts: by field and length of the address
    """

    units: UnitCalibration | None = None
    groups: Groups | None = None
    quantiles: torch.Tensor | None = None
    hosts: dict[tuple[str, int], KnownHosts] = field(default_factory=dict)

    def shift(self, layout: ColumnLayout, units: torch.Tensor) -> torch.Tensor:
        """Activated units float32[n, width] -> the same, categories calibrated."""
        return units if self.units is None else self.units.apply(layout, units)

    def read_off(self, layout: ColumnLayout, units: torch.Tensor, rows: torch.Tensor, random: torch.Generator) -> None:
        """Set numbers and addresses of collapsed rows (float32[n, columns]), given the units they came from."""
        if self.groups is not None and self.quantiles is not None and layout.n_numbers:
            groups, numbers = self.groups(rows), layout.number_columns
            for number in range(len(self.quantiles)):
                chosen = torch.nonzero(groups == number)
                rows[chosen, numbers] = map_numbers(rows[chosen, numbers], self.quantiles[number])
        for own in address_fields(layout.columns, layout) if self.hosts else ():
            for length, mine in by_length(own, rows):
                known = self.hosts.get((own.name, length))
                if known is not None and len(mine):
                    drawn = known.draw(units[mine][:, list(own.units)], random)
                    rows[mine[:, None], torch.tensor(own.columns, device=rows.device)] = drawn

    def tensors(self) -> dict[str, torch.Tensor]:
        """What `from_tensors` takes."""
        found: dict[str, torch.Tensor] = {}
        if self.units is not None and self.groups is not None and self.quantiles is not None:
            found |= {"shifts": self.units.shifts, "identity": self.units.quantiles, "quantiles": self.quantiles}
            found |= {"column": self.groups.column, "groups": self.groups.of}
        for (name, length), known in self.hosts.items():
            key = f"hosts.{name}.{length}"
            found |= {f"{key}.hosts": known.bits[: known.n_hosts], f"{key}.networks": known.bits[known.n_hosts :]}
            found[f"{key}.weights"] = known.weights
        return {name: tensor.contiguous() for name, tensor in found.items()}

    @classmethod
    def from_tensors(cls, tensors: dict[str, torch.Tensor]) -> MetadataCorrections:
        """What `tensors` gave."""
        hosts = {}
        for key, weights in tensors.items():
            if key.startswith("hosts.") and key.endswith(".weights"):
                _, name, length, _ = key.split(".")
                parts = [tensors[f"hosts.{name}.{length}.{part}"] for part in ("hosts", "networks")]
                hosts[name, int(length)] = KnownHosts(torch.cat(parts), weights, len(parts[0]), int(length))
        if "shifts" not in tensors:
            return cls(hosts=hosts)
        units = UnitCalibration(tensors["shifts"], tensors["identity"])
        return cls(units, Groups(tensors["column"], tensors["groups"]), tensors["quantiles"], hosts)


@dataclass(frozen=True)
class MeasurementCorrections:
    """Calibrations of groups of series; nothing is corrected where there are none.

    units: of each group
    stops: float32[groups, longest], see `fit_stops`
    """

    groups: Groups
    units: tuple[UnitCalibration, ...] = ()
    stops: torch.Tensor | None = None

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
        found = {"column": self.groups.column, "groups": self.groups.of}
        found["shifts"] = torch.stack([own.shifts for own in self.units])
        found["quantiles"] = torch.stack([own.quantiles for own in self.units])
        return found if self.stops is None else {**found, "stops": self.stops}

    @classmethod
    def from_tensors(cls, tensors: dict[str, torch.Tensor], device: torch.device) -> MeasurementCorrections:
        """What `tensors` gave."""
        if not tensors:
            return cls(Groups.one(device))
        units = [UnitCalibration(*own) for own in zip(tensors["shifts"], tensors["quantiles"], strict=True)]
        return cls(Groups(tensors["column"], tensors["groups"]), tuple(units), tensors.get("stops"))


def by_length(own: AddressField, rows: torch.Tensor) -> list[tuple[int, torch.Tensor]]:
    """Lengths of this field's addresses in bits, and the rows (int64) that have each."""
    everything = torch.arange(len(rows), device=rows.device)
    if own.gate is None:
        return [(len(own.columns), everything)]
    is_long = torch.isin(rows[:, own.gate], torch.tensor(own.long, dtype=rows.dtype, device=rows.device))
    return [(128, everything[is_long]), (32, everything[~is_long])]
