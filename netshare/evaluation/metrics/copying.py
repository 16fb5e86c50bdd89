"""How much of the synthetic trace occurs in the training trace, beside how much of held-back real traffic does.

A model that repeats its training trace scores well on every distance. Real traffic repeats itself too (the same hosts
talk again), so a share means something only beside the same share of a held-back real trace: a synthetic share well
above it says that records were memorised. Where A and B were split by flow, they share no five-tuple (and so no
record) by construction: there, hosts and triples are the fair comparison, and the five-tuples' share speaks for itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netshare.preprocess.hashing import destination_hashes, five_tuple_hashes, hash_columns, source_hashes
from netshare.preprocess.trace import Trace

NOT_CONTENT = ("time", "epoch", "ip_id")  # when, where from, and a counter that synthetic packets get at writing


@dataclass(frozen=True)
class CopyShare:
    """Distinct things of one sort, and how many of them occur in the training trace.

    `holdout_*` count the held-back real trace; `share` and `holdout_share` are NaN where there is nothing to count.
    """

    name: str
    synthetic_found: int
    synthetic_total: int
    holdout_found: int
    holdout_total: int

    @property
    def share(self) -> float:
        """Share of the synthetic trace's things that the training trace has too."""
        return self.synthetic_found / self.synthetic_total if self.synthetic_total else float("nan")

    @property
    def holdout_share(self) -> float:
        """The same share of the held-back real trace."""
        return self.holdout_found / self.holdout_total if self.holdout_total else float("nan")

    @property
    def suspicious(self) -> bool:
        """Whether the synthetic share lies clearly above the held-back one: three standard errors and five points."""
        if not self.synthetic_total or not self.holdout_total:
            return False
        p, q = self.share, self.holdout_share
        error = (p * (1 - p) / self.synthetic_total + q * (1 - q) / self.holdout_total) ** 0.5
        return p - q > max(3 * error, 0.05)


def copy_shares(train: Trace, synthetic: Trace, holdout: Trace, holdout_train: Trace | None = None) -> list[CopyShare]:
    """Shares of distinct five-tuples, (source, destination, destination port) triples and hosts, and of all records
    (every column but time, measurement epoch and IP identification), that occur in the training trace.

    Args:
        holdout_train: the real trace that `holdout` is looked up in, if not all of `train` (when both are parts of it).
    """
    columns = [n for n in train if n in synthetic and n in holdout and n not in NOT_CONTENT]
    ours, held, known = (_things(trace, columns) for trace in (synthetic, holdout, train))
    beside = known if holdout_train is None else _things(holdout_train, columns)
    return [
        CopyShare(
            name,
            int(np.isin(ours[name], known[name]).sum()),
            len(ours[name]),
            int(np.isin(held[name], beside[name]).sum()),
            len(held[name]),
        )
        for name in ours
    ]


def _things(trace: Trace, columns: list[str]) -> dict[str, np.ndarray]:
    source, destination = source_hashes(trace), destination_hashes(trace)
    return {
        "five-tuples": np.unique(five_tuple_hashes(trace)),
        "(source, destination, port) triples": np.unique(hash_columns([source, destination, trace["dst_port"]])),
        "hosts": np.unique(np.concatenate([source, destination])),
        "records": hash_columns([trace[name] for name in columns]),
    }
