"""Cut a trace in two by flow, so that one part can be trained on and the other held back to compare with.

Both directions of a conversation fall on the same side, whatever the order of the records, and the same trace, fraction
and seed give the same split everywhere.
"""

from __future__ import annotations

import numpy as np

from netshare.preprocess.errors import ConfigError
from netshare.preprocess.hashing import conversation_hashes, hash_columns
from netshare.preprocess.trace import Trace


def split_by_flow(trace: Trace, fraction: float, seed: int) -> tuple[Trace, Trace]:
    """Two parts A and B of a trace; `fraction` of the conversations, chosen by hash, goes to A.

    The share is of conversations, not of records, and is met on average: where a few flows hold most records, the
    parts' record counts differ. A part can be empty if the trace has only a handful of flows. To cut a part again, use
    another seed: with the same one and fraction, all of A falls into A once more.

    Args:
        fraction: of the conversations for A, between 0 and 1.
        seed: chooses among the splits.

    Raises:
        ConfigError: `fraction` is not strictly between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise ConfigError(f"fraction: found {fraction}, give a number between 0 and 1, such as 0.5")
    keys = conversation_hashes(trace)
    seeds = np.full(len(trace), seed % 2**63, np.int64)
    uniform = hash_columns([seeds, keys]).astype(np.float64) / 2.0**64
    in_a = uniform < fraction
    return trace.take(np.flatnonzero(in_a)), trace.take(np.flatnonzero(~in_a))
