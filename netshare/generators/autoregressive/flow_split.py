"""Hold whole conversations back for validation, so that a model is judged on flows that it has not seen.

Series of one five-tuple, and of its reverse direction, fall on the same side. Which columns make up a five-tuple is
read from the schema's field names; data without such fields are split by their whole metadata row.
"""

from __future__ import annotations

import numpy as np

from netshare.preprocess.encoded import Encoded
from netshare.preprocess.hashing import GOLDEN_GAMMA, mix64

ENDS = (("src_ip", "src_port"), ("dst_ip", "dst_port"))
SMALLEST_VALIDATION = 10  # conversations; fewer say nothing


def conversation_of(data: Encoded) -> np.ndarray:
    """int64[n_series]: a number for each series, equal for those of the same conversation."""
    return np.unique(_conversations(data), return_inverse=True)[1]


def hold_back(
    data: Encoded, share: float, seed: int, *, fewest: int = SMALLEST_VALIDATION
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the series to train on and of those held back, int64; the latter are none where `share` of the data
    would be fewer than `fewest` conversations."""
    number = conversation_of(data)
    conversations = int(number.max()) + 1
    held = round(share * conversations)
    if held < fewest:
        return np.arange(len(data)), np.zeros(0, np.int64)
    chosen = np.zeros(conversations, dtype=bool)
    chosen[np.random.default_rng(seed).permutation(conversations)[:held]] = True
    return np.flatnonzero(~chosen[number]), np.flatnonzero(chosen[number])


def _conversations(data: Encoded) -> np.ndarray:
    """uint64[n]: a hash, equal for series of the same conversation."""
    columns = data.schema.metadata
    ends = [[i for i, c in enumerate(columns) if c.field in fields] for fields in ENDS]
    if not ends[0] and not ends[1]:
        return _hash(np.asarray(data.metadata))
    source, destination = (_hash(np.asarray(data.metadata[:, end])) for end in ends)
    protocol = _hash(np.asarray(data.metadata[:, [i for i, c in enumerate(columns) if c.field == "protocol"]]))
    return mix64(source + destination) ^ protocol


def _hash(rows: np.ndarray) -> np.ndarray:
    """uint64[n] of float32[n, k], independent of how often a row occurs."""
    result = np.full(len(rows), GOLDEN_GAMMA, np.uint64)
    for column in np.ascontiguousarray(rows, np.float32).view(np.uint32).T:
        result = mix64(result ^ column.astype(np.uint64))
    return result
