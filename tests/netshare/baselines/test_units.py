"""Records as units: likelihoods by hand, draws that follow their distributions, and the way back to columns."""

import math

import numpy as np
import torch

from netshare.baselines.units import MIN_SCALE, RecordUnits, one_hot
from netshare.preprocess.encoded import Column
from tests.netshare.generator_contract import SCHEMA, random_series

CPU = torch.device("cpu")


def test_records_come_back_as_they_were_and_the_last_of_a_series_stops():
    data = random_series(40)
    units = RecordUnits(SCHEMA.measurements, CPU)
    rows = units.of(data)
    assert rows.shape == (len(data.measurements), units.width)
    np.testing.assert_allclose(units.columns(rows).numpy(), data.measurements, atol=1e-6)
    assert np.flatnonzero(units.stops(rows).numpy()).tolist() == (data.offsets[1:] - 1).tolist()


def test_the_likelihood_is_that_of_the_distributions_by_hand():
    units = RecordUnits((Column("size", "size", "continuous"), Column("kind", "kind", "categorical", 3)), CPU)
    record = torch.tensor([[0.4, 0.0, 1.0, 0.0, 1.0, 0.0]])  # size 0.4, kind 1, goes on
    outputs = torch.tensor([[0.1, 0.0, 2.0, 0.0, 0.0, 0.0]])
    scale = 0.3
    normal = 0.5 * ((0.4 - 0.1) / scale) ** 2 + math.log(scale) + 0.5 * math.log(2 * math.pi)
    kind = math.log(2 + math.exp(2)) - 2
    flags = math.log(2)
    found = units.loss(outputs, torch.tensor([math.log(scale - MIN_SCALE)]), record)
    assert math.isclose(float(found), normal + kind + flags, rel_tol=1e-5)


def test_a_number_that_is_gated_out_has_no_part_in_the_likelihood():
    units, log_scale = RecordUnits(SCHEMA.measurements, CPU), torch.zeros(3)
    rows = units.of(random_series(60))
    gated = units.active(rows) == 0
    assert gated.any(0).tolist() == [False, False, True] and not gated.all()
    outputs = torch.zeros_like(rows)
    moved = outputs.clone()
    moved[:, :3] += gated * 5.0
    torch.testing.assert_close(units.loss(moved, log_scale, rows), units.loss(outputs, log_scale, rows))


def test_draws_follow_their_distributions():
    units, random = RecordUnits(SCHEMA.measurements, CPU), torch.Generator().manual_seed(1)
    outputs = torch.zeros(4000, units.width)
    outputs[:, :3] = torch.tensor([0.2, 0.5, 0.8])
    drawn = units.draw(outputs, torch.full((3,), math.log(0.05 - MIN_SCALE)), random)
    torch.testing.assert_close(drawn[:, :3].mean(0), torch.tensor([0.2, 0.5, 0.8]), atol=0.01, rtol=0)
    torch.testing.assert_close(drawn[:, :3].std(0), torch.full((3,), 0.05), atol=0.01, rtol=0)
    assert ((drawn >= 0) & (drawn <= 1)).all()
    for group in units.groups:
        share = drawn[:, group].mean(0)
        torch.testing.assert_close(share, torch.full_like(share, 1 / len(share)), atol=0.04, rtol=0)
        assert (drawn[:, group].sum(1) == 1).all()


def test_a_category_without_a_chance_is_never_drawn():
    chances = torch.tensor([[0.0, 0.3, 0.0, 0.7]]).expand(5000, 4)
    share = one_hot(chances, torch.Generator().manual_seed(2)).mean(0)
    assert share[0] == share[2] == 0
    assert abs(float(share[1]) - 0.3) < 0.03
