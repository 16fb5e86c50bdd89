"""DoppelGANger: exact penalty, exact prefixes, fair batches, and that it learns."""

import numpy as np
import pytest
import torch

from netshare.generators.base import metadata_only
from netshare.generators.doppelganger.batches import (
    BatchShape,
    BatchSource,
    possible_horizons,
    scale_by_range,
    series_ranges,
    unscale_by_range,
)
from netshare.generators.doppelganger.generator import DoppelGANger
from netshare.generators.doppelganger.layout import DIGITS, ColumnLayout
from netshare.generators.doppelganger.losses import (
    critic_loss,
    input_gradient_norms,
    input_gradient_norms_by_autograd,
)
from netshare.generators.doppelganger.modules import Critic, critic_rows, mask_after_stop
from netshare.generators.doppelganger.precision import can_compute_in_half, computes_in_half
from netshare.generators.doppelganger.settings import DoppelGANgerSettings
from netshare.preprocess.encoded import Column, Encoded, Schema
from netshare.preprocess.errors import TrainingError
from netshare.training.loop import TrainingPlan, train

CPU = torch.device("cpu")


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_the_penalty_in_closed_form_equals_autograd(layers):
    torch.manual_seed(0)
    critic = Critic(30, layers, 16, edges=(7, 20)).double()
    real, fake = torch.rand(20, 24, dtype=torch.double), torch.rand(20, 24, dtype=torch.double)
    mixing = torch.rand(20, 1, dtype=torch.double)
    critic_loss(critic, real, fake, mixing, 10.0)[0].backward()
    found = {name: parameter.grad.clone() for name, parameter in critic.named_parameters()}
    critic.zero_grad()
    norms = input_gradient_norms_by_autograd(critic, mixing * real + (1 - mixing) * fake)
    loss = critic(fake).mean() - critic(real).mean() + 10.0 * (norms - 1).square().mean()
    loss.backward()
    for name, parameter in critic.named_parameters():
        assert torch.allclose(found[name], parameter.grad, rtol=1e-6, atol=1e-9), name


def test_the_penalty_in_closed_form_equals_autograd_in_single_precision():
    torch.manual_seed(0)
    critic, rows = Critic(30, 4, 32), torch.rand(50, 30)
    assert torch.allclose(
        input_gradient_norms(critic, critic.enter(rows), 30),
        input_gradient_norms_by_autograd(critic, rows),
        rtol=1e-6,
        atol=1e-6,
    )


@pytest.mark.parametrize("edges", [(), (10,), (10, 25), (25, 30)])
def test_a_prefix_scores_as_if_padded_with_zeros(edges):
    torch.manual_seed(0)
    critic, rows = Critic(40, 3, 16, edges).double(), torch.rand(8, 25, dtype=torch.double)
    padded = torch.cat([rows, torch.zeros(8, 15, dtype=torch.double)], 1)

    def loss_and_gradients(real: torch.Tensor, fake: torch.Tensor) -> list[torch.Tensor]:
        critic.zero_grad()
        mixing = torch.linspace(0, 1, 4, dtype=torch.double).unsqueeze(1)
        # The padding's own share of the input gradient is left out: the critic is only ever asked for the prefix.
        loss = critic(fake).mean() - critic(real).mean()
        loss = loss + (input_gradient_norms(critic, critic.enter(mixing * real + (1 - mixing) * fake), 25) - 1).sum()
        loss.backward()
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in critic.parameters()]
        return [loss.detach(), *gradients]

    for short, long in zip(
        loss_and_gradients(rows[:4], rows[4:]), loss_and_gradients(padded[:4], padded[4:]), strict=True
    ):
        assert torch.allclose(short, long, rtol=1e-12, atol=1e-14)


def test_packed_series_stand_side_by_side_record_by_record():
    metadata = torch.arange(4.0).reshape(4, 1)
    series = torch.arange(4 * 3 * 2.0).reshape(4, 3, 2)
    rows = critic_rows(metadata, series, 2)
    assert rows[0].tolist() == [0, 1, 0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11]
    assert rows[1, :6].tolist() == [2, 3, 12, 13, 18, 19]
    assert torch.equal(critic_rows(metadata, series[:, :2], 2), rows[:, :10])  # a shorter horizon is a prefix
    assert torch.equal(critic_rows(metadata, series, 1), torch.cat([metadata, series.flatten(1)], 1))


MIXED = (
    Column("bit", "bit", "categorical", 2),
    Column("five", "five", "categorical", 5),
    Column("number", "number", "continuous"),
    Column("one", "one", "categorical", 1),
    Column("three", "three", "categorical", 3),
    Column("other five", "other", "categorical", 5),
)


@pytest.mark.parametrize("how", ["sample", "argmax"])
def test_units_collapse_to_the_columns_that_they_came_from(how):
    layout = ColumnLayout(MIXED, CPU)
    random = np.random.default_rng(0)
    values = np.stack(
        [random.integers(c.cardinality, size=99) if c.cardinality else random.random(99) for c in MIXED], 1
    )
    values = torch.from_numpy(values.astype(np.float32)).reshape(9, 11, len(MIXED))
    units = layout.expand(values)
    assert units.shape == (9, 11, 1 + 1 + 3 + 2 * 5)
    assert torch.equal(layout.collapse(units, how, torch.Generator().manual_seed(0)), values)


def test_categories_are_drawn_from_their_probabilities():
    layout = ColumnLayout(MIXED, CPU)
    units = layout.activate(torch.randn(layout.width, generator=torch.Generator().manual_seed(1)))
    drawn = layout.collapse(units.expand(40_000, -1), "sample", torch.Generator().manual_seed(2)).numpy()
    sigmoid, three, five = units[:2].numpy(), units[2:5].numpy(), units[5:10].numpy()
    assert abs(drawn[:, 0].mean() - sigmoid[1]) < 0.01
    assert np.allclose(np.bincount(drawn[:, 4].astype(int)) / 40_000, three, atol=0.01)
    assert np.allclose(np.bincount(drawn[:, 1].astype(int)) / 40_000, five, atol=0.01)


def test_hardened_units_pass_gradients_unchanged():
    layout = ColumnLayout(MIXED, CPU)
    logits = torch.randn(4, layout.width, requires_grad=True)
    soft = layout.activate(logits)
    hard = layout.harden(soft, "argmax", torch.Generator())
    weights = torch.randn(layout.width)
    (of_soft,) = torch.autograd.grad((soft * weights).sum(), logits, retain_graph=True)
    (of_hard,) = torch.autograd.grad((hard * weights).sum(), logits)
    assert torch.equal(of_soft, of_hard)
    assert torch.allclose(hard[:, 1:], hard[:, 1:].round(), atol=1e-6)


def test_a_series_ends_with_the_first_record_that_says_stop():
    going = torch.tensor([[1.0, 0.9, 0.2, 0.9], [0.1, 0.9, 0.9, 0.9], [0.9, 0.9, 0.9, 0.9]])
    exists, goes_on = mask_after_stop(torch.stack([going, 1 - going], -1), False, torch.Generator())
    assert exists.sum(1).tolist() == [3, 1, 4]
    assert goes_on.tolist() == [False, False, True]


def toy(n: int, seed: int = 0) -> Encoded:
    """Two classes (70% and 30%): short series at a low level, long series at a high one."""
    random = np.random.default_rng(seed)
    high = random.random(n) < 0.3
    lengths = np.where(high, random.integers(8, 17, n), random.integers(1, 5, n))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    of_record = np.repeat(high, lengths)
    level = np.where(of_record, 0.8, 0.2) + 0.05 * random.standard_normal(offsets[-1])
    kind = np.where(random.random(offsets[-1]) < 0.8, of_record * 2.0, 1.0)
    schema = Schema(
        (Column("class", "class", "categorical", 3), Column("bit", "bit", "categorical", 2)),
        (Column("level", "level", "continuous"), Column("kind", "kind", "categorical", 3)),
        20,
    )
    metadata = np.stack([high * 2.0, random.random(n) < np.where(high, 0.9, 0.1)], 1).astype(np.float32)
    return Encoded(metadata, np.stack([level.clip(0, 1), kind], 1).astype(np.float32), offsets, schema)


def source(data: Encoded, horizon: str = "random", ranged: list[int] | None = None) -> BatchSource:
    return BatchSource(
        data,
        ColumnLayout(data.schema.metadata, CPU),
        ColumnLayout(data.schema.measurements, CPU),
        BatchShape(batch_size=50, records_per_pass=2, horizon=horizon),
        ranged=ranged or [],
        seed=1,
    )


def test_every_series_is_drawn_as_often_whatever_its_length():
    data = toy(50)
    data = Encoded(np.arange(50, dtype=np.float32)[:, None] % 50, data.measurements, data.offsets, data.schema)
    schema = Schema((Column("which", "which", "categorical", 50),), data.schema.measurements, 20)
    data = Encoded(data.metadata, data.measurements, data.offsets, schema)
    batches = source(data)
    counts = sum(batches.draw(batches.draw_horizon()).metadata.sum(0) for _ in range(800))
    expected = 800 * 50 / 50
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert chi_square < 49 + 4 * np.sqrt(2 * 49)
    assert abs(np.corrcoef(counts.numpy(), data.lengths)[0, 1]) < 0.5


def test_horizons_are_few_close_and_whole_passes():
    assert possible_horizons(1, 1).tolist() == [1]
    assert possible_horizons(16, 2).tolist() == [2, 4, 6, 8, 12, 16]
    assert possible_horizons(1000, 20).tolist() == [20, 40, 60, 80, 120, 160, 240, 320, 480, 640, 960, 1000]
    for longest in range(1, 200):
        horizons = possible_horizons(longest, 3)
        assert horizons[-1] == -(-longest // 3) * 3
        assert np.all(np.diff(horizons) > 0)
        assert np.all(horizons[1:] <= 2 * horizons[:-1])


def test_a_horizon_is_as_likely_as_the_records_of_the_series_that_need_it():
    data = toy(300)
    batches = source(data)
    drawn = np.array([batches.draw_horizon() for _ in range(4000)])
    for horizon in (2, 4, 12, 16):
        share = data.lengths[data.lengths <= horizon].sum() / data.lengths.sum()
        assert abs((drawn <= horizon).mean() - share) < 0.04
    assert {source(data, "full").draw_horizon() for _ in range(9)} == {16}


def test_a_batch_holds_the_series_and_zeros_after_their_end():
    data = toy(40)
    batch = source(data).draw(6)
    lengths = batch.series[..., -2:].sum((1, 2))
    stops = batch.series[..., -1].sum(1)
    assert batch.series.shape == (50, 6, 1 + 3 + 2)
    assert batch.records == int(lengths.sum())
    assert torch.equal(stops, (batch.series.abs().sum(2) == 0).any(1).float() + (stops * (lengths == 6)))
    ended = batch.series[..., -2:].sum(2) == 0
    assert float(batch.series[ended].abs().sum()) == 0


def test_ranges_bring_each_series_to_the_same_scale_and_back():
    data = toy(40)
    ranges = series_ranges(data, [0])[np.repeat(np.arange(40), data.lengths)]
    scaled = scale_by_range(data.measurements[:, [0]], ranges)
    longer = np.flatnonzero(data.lengths > 1)
    assert np.allclose(np.minimum.reduceat(scaled[:, 0], data.offsets[:-1])[longer], 0, atol=1e-3)
    assert np.allclose(np.maximum.reduceat(scaled[:, 0], data.offsets[:-1])[longer], 1, atol=1e-3)
    assert np.allclose(unscale_by_range(scaled, ranges), data.measurements[:, [0]], atol=1e-6)


def class_means(data: Encoded) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the low and the high class: share of series, mean length, mean level."""
    masks = [data.metadata[:, 0] == value for value in (0, 2)]
    levels = [data.measurements[np.repeat(mask, data.lengths), 0].mean() for mask in masks]
    return np.array([m.mean() for m in masks]), np.array([data.lengths[m].mean() for m in masks]), np.array(levels)


@pytest.mark.slow
def test_it_learns_classes_their_lengths_and_their_levels(tmp_path):
    real = toy(1000)
    settings = DoppelGANgerSettings(critic_units=100, lstm_units=64, metadata_units=64, average_decay=0.99)
    generator = DoppelGANger(real.schema, settings)
    train(generator, real, tmp_path, TrainingPlan(name="toy", steps=1000, seed=1))
    shares, lengths, levels = class_means(generator.sample(2000, seed=1))
    real_shares, real_lengths, real_levels = class_means(real)
    assert np.all(np.abs(shares - real_shares) < 0.15), shares
    assert np.all(np.abs(lengths / real_lengths - 1) < 0.3), lengths
    assert np.all(np.abs(levels - real_levels) < 0.15), levels


@pytest.mark.slow
def test_retrained_metadata_have_the_wanted_classes_and_not_the_former_ones():
    real = toy(500)
    settings = DoppelGANgerSettings(critic_units=50, lstm_units=16, metadata_units=64, average_decay=0.99)
    trained = DoppelGANger(real.schema, settings)
    trained.prepare(real, seed=1, steps=1)
    trained.step()
    high = real.metadata[:, 0] == 2
    rows = np.concatenate([real.metadata[high]] * 20 + [real.metadata[~high]])  # 70% low became about 10%
    again = DoppelGANger(real.schema, settings)
    again.prepare_metadata(
        metadata_only(rows, np.ones(len(rows), int), real.schema), seed=2, steps=400, weights=trained.sampling_weights()
    )
    while not again.done:
        again.step()
    share = (again.sample_metadata(2000, seed=3)[:, 0] == 2).mean()
    assert high.mean() < 0.35
    assert abs(share - (rows[:, 0] == 2).mean()) < 0.15


@pytest.mark.parametrize("more", [{}, {"packing": 2, "lstm_initial_state": "metadata", "auto_normalize": True}])
def test_half_precision_trains_too(tmp_path, more):
    real = toy(100)
    generator = DoppelGANger(real.schema, DoppelGANgerSettings(precision="bfloat16", batch_size=20, **more))
    if not can_compute_in_half(generator.device):
        with pytest.raises(TrainingError, match="precision is bfloat16, but torch cannot"):
            train(generator, real, tmp_path, TrainingPlan(name="toy", steps=5, seed=1))
        return
    result = train(generator, real, tmp_path, TrainingPlan(name="toy", steps=5, seed=1))
    assert all(tensor.dtype == torch.float32 for tensor in generator.training_weights().values())
    assert np.isfinite(list(result.losses.values())).all()


def test_half_precision_is_chosen_only_where_the_device_computes_in_it():
    generator = DoppelGANger(toy(10).schema, DoppelGANgerSettings())
    assert generator._autocast()._enabled == computes_in_half(generator.device)
    assert not computes_in_half(torch.device("meta"))
    for precision, half in (("float32", False), ("bfloat16", True)):
        own = DoppelGANger(toy(10).schema, DoppelGANgerSettings(precision=precision))
        assert own._autocast()._enabled == half


def test_mixed_takes_the_most_likely_digits_and_draws_all_else():
    digits = [Column(f"address.bit{i}", "address", "categorical", 2) for i in range(DIGITS)]
    bytes_ = [Column(f"long.byte{i}", "long", "categorical", 3) for i in range(DIGITS)]
    columns = (*digits, Column("tag", "tag", "categorical", 2), *bytes_, Column("kind", "kind", "categorical", 3))
    layout = ColumnLayout(columns, torch.device("cpu"))
    soft = torch.tensor([0.7] * (DIGITS + 1) + [0.2, 0.5, 0.3] * (DIGITS + 1)).expand(2000, -1)
    drawn = layout.collapse(soft, "mixed", torch.Generator().manual_seed(0))
    assert (drawn[:, :DIGITS] == 1).all()
    assert (drawn[:, DIGITS + 1 : 2 * DIGITS + 1] == 1).all()
    assert drawn[:, DIGITS].mean() == pytest.approx(0.7, abs=0.05)
    assert torch.bincount(drawn[:, -1].long()) / 2000 == pytest.approx(torch.tensor([0.2, 0.5, 0.3]), abs=0.05)
