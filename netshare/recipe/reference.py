"""What of a real trace a synthetic one follows or avoids when it is finished: its conventions, its layout, its flows.

A recipe takes it from the trace that it learns from; a private run takes it from the public trace. So a model can be
sampled and its samples finished without the trace.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from netshare.postprocess import broken_conventions
from netshare.postprocess.repair import CONVENTIONS
from netshare.preprocess.atomic import write_text
from netshare.preprocess.errors import RunFolderError
from netshare.preprocess.flows import group_flows
from netshare.preprocess.series import METADATA_OF_FLOW
from netshare.preprocess.stored import check_types, read_array, read_json, shown
from netshare.preprocess.trace import CATEGORY_COLUMNS, FIVE_TUPLE, Kind, Source, Trace
from netshare.recipe.metadata import Metadata

REFERENCE_FILE, FIVE_TUPLES_FILE = "reference.json", "five_tuples.npy"
FIVE_TUPLE_ROW = np.dtype(list(FIVE_TUPLE.items()))


@dataclass(frozen=True)
class Reference:
    """What is followed and what is avoided.

    kind: of trace
    broken_conventions: repair rules that the real records break so often that breaking them is in the trace's nature
    zero_packets: whether flow records may count no packets
    ip_versions: those that occur
    categories: texts of label columns
    source: format, link type and layout of the first input file, without its path
    five_tuples: of all real flows, which generation avoids; no rows where they are private
    """

    kind: Kind
    broken_conventions: tuple[str, ...]
    zero_packets: bool
    ip_versions: tuple[int, ...]
    categories: Mapping[str, tuple[str, ...]]
    source: Source
    five_tuples: Metadata = field(default_factory=Metadata)

    @classmethod
    def of(cls, train: Trace, full: Trace, *, source: Source | None = None, with_flows: bool = True) -> Reference:
        """From the records that are trained on and all records of a trace.

        Args:
            train: its conventions are followed.
            full: its IP versions, labels and flows count.
            source: whose layout is followed, where it is not the first one of `full`.
            with_flows: keep the five-tuples of `full`.
        """
        layout = source or next(iter(full.sources), Source("", "", 0))
        first = group_flows(full).first if with_flows else np.zeros(0, np.int64)
        return cls(
            kind=full.kind,
            broken_conventions=broken_conventions(train),
            zero_packets=full.kind == "flow" and bool((train["packets"] == 0).any()),
            ip_versions=tuple(int(version) for version in np.unique(full["ip_version"])),
            categories=dict(full.categories),
            source=replace(layout, path="", records=0, skipped={}, notes=()),
            five_tuples=Metadata({name: full[name][first] for name in METADATA_OF_FLOW}) if len(first) else Metadata(),
        )

    def save(self, folder: Path) -> None:
        """Write `reference.json`, and `five_tuples.npy` where there are any, into `folder`."""
        value = {
            "kind": self.kind,
            "broken_conventions": list(self.broken_conventions),
            "zero_packets": self.zero_packets,
            "ip_versions": list(self.ip_versions),
            "categories": {name: list(texts) for name, texts in self.categories.items()},
            "source": asdict(self.source),
        }
        write_text(folder / REFERENCE_FILE, json.dumps(value, indent=1))
        if len(self.five_tuples):
            rows = np.empty(len(self.five_tuples), FIVE_TUPLE_ROW)
            for name in METADATA_OF_FLOW:
                rows[name] = self.five_tuples[name]
            np.save(folder / FIVE_TUPLES_FILE, rows, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Reference:
        """Read what `save` wrote.

        Raises:
            RunFolderError: the files are not such a reference.
        """
        path, five_tuples = folder / REFERENCE_FILE, Metadata()
        value = read_json(path)
        try:
            check_types(_Described, value)
            check_types(Source, value["source"])
            if not value["ip_versions"] or not set(value["ip_versions"]) <= {4, 6}:
                raise ValueError("ip_versions are not 4, 6 or both")
            if unknown := sorted({*value["broken_conventions"]} - set(CONVENTIONS)):
                raise ValueError(f"{unknown[0]} is no convention of this version")
            if unknown := sorted(set(value["categories"]) - set(CATEGORY_COLUMNS)):
                raise ValueError(f"{unknown[0]} is no column of labels")
        except (ValueError, KeyError, TypeError) as error:
            raise RunFolderError(
                f"{path}: no reference of a real trace ({shown(error)}); make the folder again"
            ) from None
        if (folder / FIVE_TUPLES_FILE).exists() or (folder / FIVE_TUPLES_FILE).is_symlink():
            rows = read_array(folder / FIVE_TUPLES_FILE, FIVE_TUPLE_ROW)
            five_tuples = Metadata({name: rows[name].astype(FIVE_TUPLE[name]) for name in METADATA_OF_FLOW})
        return cls(
            kind=value["kind"],
            broken_conventions=tuple(value["broken_conventions"]),
            zero_packets=value["zero_packets"],
            ip_versions=tuple(value["ip_versions"]),
            categories={name: tuple(texts) for name, texts in value["categories"].items()},
            source=Source(**{**value["source"], "path": "", "notes": tuple(value["source"]["notes"])}),
            five_tuples=five_tuples,
        )


@dataclass(frozen=True)
class _Described:
    """What `Reference.save` writes."""

    kind: Kind
    broken_conventions: tuple[str, ...]
    zero_packets: bool
    ip_versions: tuple[int, ...]
    categories: dict[str, tuple[str, ...]]
    source: dict[str, Any]
