"""The nearest row of a table with shared dimensions is the one that brute force finds."""

import numpy as np
import pytest

from netshare.preprocess.ip2vec import nearest
from netshare.preprocess.ip2vec.nearest import NearestRow


@pytest.mark.parametrize("max_groups", [4096, 2], ids=["by groups", "one tree"])
def test_the_nearest_row_is_exact(monkeypatch, max_groups):
    monkeypatch.setattr(nearest, "MAX_GROUPS", max_groups)
    monkeypatch.setattr(nearest, "BLOCK", 64)
    rng = np.random.default_rng(1)
    shared = np.repeat(rng.random((3, 4)), [40, 25, 10], axis=0)
    table = np.concatenate([np.column_stack([shared, rng.random((75, 2))]), rng.random((20, 6))]).astype(np.float32)
    queries = np.concatenate([rng.random((150, 6)), table[:30]])
    distances = ((queries[:, None] - table.astype(np.float64)) ** 2).sum(axis=2)
    assert NearestRow(table)(queries).tolist() == distances.argmin(axis=1).tolist()
    assert len(NearestRow(table)(queries[:0])) == 0
