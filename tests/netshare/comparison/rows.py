"""A row of a comparison, written down instead of measured."""

from typing import Any

from netshare.comparison.rows import Measured


def measured(method: str, *, ratio: float = 1.0, **fields: Any) -> Measured:
    """A method at `ratio` times the floor; `fields` replace the others."""
    given: dict[str, Any] = {
        "title": method,
        "family": "simple",
        "cpu_seconds": 12.4,
        "steps": 1234,
        "records": 99,
        "ended_itself": False,
        "sampling_seconds": 1.0,
        "mean_jsd": ratio / 10,
        "emd": {},
        "distances": {"length": {"ratio": ratio}},
        "copying": {"triples": {"share": 0.25, "holdout": 0.1}, "hosts": {"share": None, "holdout": 0.5}},
        "copies": False,
        "copied": [],
        "consistency": {"first": 1.0, "second": 0.5, "third": None},
        "made_records": 2000,
        "made_flows": 100,
        "repaired": 0,
        "fingerprint": "key",
    }
    return Measured(method=method, ratio=ratio, **{**given, **fields})
