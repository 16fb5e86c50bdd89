"""Packets that are changed until they have noisy counts."""

import numpy as np

from netshare.privacy.counts.packet_drawing import _assigned_names
from netshare.privacy.counts.packet_marginals import most_frequent


def test_names_have_the_shares_asked_for_and_stay_where_they_can():
    rng = np.random.default_rng(0)
    values, group = rng.choice([16, 24], 3000, p=[0.7, 0.3]), np.zeros(3000, np.int64)
    wanted = np.zeros((1, 32))
    wanted[0, [16, 24, 2, 17]] = 0.6, 0.25, 0.1, 0.05
    found = _assigned_names(values, group, wanted, rng)
    assert np.abs(np.bincount(found, minlength=32) / 3000 - wanted[0]).max() < 2e-3
    assert (found != values).mean() < 0.16


def test_names_of_few_rows_have_the_shares_in_the_mean():
    rng, wanted = np.random.default_rng(0), np.full((1, 200), 0.4 / 200)
    wanted[0, 7] += 0.6
    found = np.concatenate([_assigned_names(np.array([7, 7, 9]), np.zeros(3, int), wanted, rng) for _ in range(400)])
    assert abs((found == 7).mean() - 0.6) < 0.06 and len(np.unique(found)) > 100


def test_the_most_frequent_value_of_each_owner():
    values, owner = np.array([38, 230, 230, 64, 9, 5]), np.array([4, 4, 4, 7, 9, 9])
    assert most_frequent(values, owner).tolist() == [230, 64, 5]
