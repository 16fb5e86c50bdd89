"""The metric: how many bits the entropy of ports differs, a first sign of scans that a synthetic trace lacks or adds."""

from __future__ import annotations

import numpy as np

from netshare.evaluation import Metric
from netshare.preprocess import Trace


def entropy(values: np.ndarray) -> float:
    """Shannon's entropy of the values' frequencies, in bits."""
    shares = np.unique(values, return_counts=True)[1] / len(values)
    return float(-(shares * np.log2(shares)).sum())


def differences(real: Trace, synthetic: Trace) -> dict[str, float]:
    """For sources and destinations: the absolute difference over all records, in bits; 0 is best."""
    return {port: abs(entropy(real[port]) - entropy(synthetic[port])) for port in ("src_port", "dst_port")}


PORT_ENTROPY = Metric("port-entropy", "Entropy of ports, difference in bits", differences)
