"""The autoregressive generator learns joint distributions, lengths and series, stops by itself and recites nothing."""

import tracemalloc

import numpy as np
import pytest
import torch

from netshare.generators.autoregressive.flow_split import conversation_of, hold_back
from netshare.generators.autoregressive.generator import AutoregressiveGenerator
from netshare.generators.autoregressive.lengths import PLACES, LengthCode
from netshare.generators.autoregressive.networks import POSITION_BINS, position_bin
from netshare.generators.autoregressive.recall import ContextCounts, learning_order, recall, recalled_columns
from netshare.generators.autoregressive.settings import AutoregressiveSettings
from netshare.generators.autoregressive.tokens import TokenLayout
from netshare.generators.autoregressive.windows import batches_of, cut_windows, pack
from netshare.preprocess.encoded import Column, Encoded, Schema

TOY = Schema(
    metadata=(
        Column("class", "class", "categorical", 3),
        Column("detail", "detail", "categorical", 12),
        Column("has", "has", "categorical", 2),
        Column("value", "value", "continuous", 0, "has", (1,)),
    ),
    measurements=(
        Column("phase", "phase", "categorical", 4),
        Column("size.token", "size", "categorical", 3),
        Column("size.residual", "size", "continuous", 0, "size.token", (2,)),
    ),
    max_length=40,
)


def toy(n: int, seed: int = 0) -> Encoded:
    """`detail` follows `class`; so does the length; phases go round, beginning at the class; sizes follow the phase."""
    random = np.random.default_rng(seed)
    kind = random.integers(0, 3, n)
    detail = kind * 4 + random.integers(0, 2, n)
    has = random.integers(0, 2, n)
    value = np.where(has == 1, random.beta(2, 6, n), 0)
    lengths = np.choose(kind, [np.ones(n, int), random.integers(2, 5, n), random.integers(20, 31, n)])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    position = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    phase = (position + np.repeat(kind, lengths)) % 4
    token = np.where(random.random(len(phase)) < 0.05, 0, np.minimum(phase, 2))
    residual = np.where(token == 2, 0.25 + random.random(len(phase)) / 4, 0)
    return Encoded(
        np.stack([kind, detail, has, value], 1).astype(np.float32),
        np.stack([phase, token, residual], 1).astype(np.float32),
        offsets,
        TOY,
    )


@pytest.fixture(scope="module")
def learnt() -> tuple[AutoregressiveGenerator, Encoded]:
    generator = AutoregressiveGenerator(TOY, AutoregressiveSettings(epochs=12, batch_records=512))
    generator.prepare(toy(900), seed=1, steps=100_000)
    while not generator.done:
        generator.step()
    return generator, generator.sample(3000, seed=2)


def test_training_stops_by_itself_on_held_back_flows(learnt):
    generator, _ = learnt
    assert generator.done
    assert generator.steps_done < 2000


def test_columns_are_learnt_together(learnt):
    _, sample = learnt
    kind, detail = sample.metadata[:, 0], sample.metadata[:, 1]
    assert np.mean((detail - kind * 4 >= 0) & (detail - kind * 4 < 2)) > 0.98
    assert np.allclose(np.bincount(kind.astype(int), minlength=3) / 3000, 1 / 3, atol=0.06)


def test_gated_columns_are_learnt_where_open_and_0_elsewhere(learnt):
    _, sample = learnt
    has, value = sample.metadata[:, 2], sample.metadata[:, 3]
    assert np.all(value[has == 0] == 0)
    assert value[has == 1].mean() == pytest.approx(0.25, abs=0.04)
    assert value[has == 1].std() == pytest.approx(0.145, abs=0.03)
    residual, token = sample.measurements[:, 2], sample.measurements[:, 1]
    assert np.all(residual[token != 2] == 0)
    assert np.mean((residual[token == 2] > 0.24) & (residual[token == 2] < 0.51)) > 0.97


def test_lengths_follow_metadata(learnt):
    _, sample = learnt
    kind = sample.metadata[:, 0]
    assert np.mean(sample.lengths[kind == 0] == 1) > 0.97
    assert sample.lengths[kind == 1].mean() == pytest.approx(3, abs=0.3)
    assert sample.lengths[kind == 2].mean() == pytest.approx(25, abs=1.5)


def test_records_follow_the_record_before(learnt):
    _, sample = learnt
    phase = sample.measurements[:, 0]
    inside = np.ones(len(phase) - 1, bool)
    inside[sample.offsets[1:-1] - 1] = False
    assert np.mean(((phase[:-1] + 1) % 4 == phase[1:])[inside]) > 0.98
    assert np.mean(phase[sample.offsets[:-1]] == sample.metadata[:, 0]) > 0.97


def address_schema(measurements: tuple[Column, ...] = TOY.measurements) -> Schema:
    metadata = (
        Column("service", "service", "categorical", 4),
        *(Column(f"dst_ip.byte{i}", "dst_ip", "categorical", 256) for i in range(4)),
        *(Column(f"src_ip.byte{i}", "src_ip", "categorical", 256) for i in range(4)),
        Column("src_port.byte0", "src_port", "categorical", 256),
    )
    return Schema(metadata, measurements, 2)


def random_flows(n: int, seed: int) -> Encoded:
    """Some hosts are popular, others are met once."""
    random = np.random.default_rng(seed)
    hosts = np.random.default_rng(7).integers(0, 256, (4000, 4))
    rank = np.minimum(random.zipf(1.4, (2, n)) - 1, 3999)
    service = random.integers(0, 4, n)
    port = random.integers(0, 256, n)
    metadata = np.column_stack([service, hosts[rank[0]], hosts[rank[1]], port]).astype(np.float32)
    schema = address_schema((Column("one", "one", "categorical", 2),))
    return Encoded(metadata, random.integers(0, 2, (n, 1)).astype(np.float32), np.arange(n + 1), schema)


def test_hosts_come_back_as_often_as_in_other_traffic_and_flows_are_not_copied():
    train, other = random_flows(1500, 1), random_flows(1500, 2)
    generator = AutoregressiveGenerator(train.schema, AutoregressiveSettings(epochs=15))
    generator.prepare(train, seed=1, steps=100_000)
    while not generator.done:
        generator.step()
    made = generator.sample_metadata(1500, seed=3)

    def share(rows: np.ndarray, columns: slice) -> float:
        known = {tuple(row) for row in train.metadata[:, columns]}
        return float(np.mean([tuple(row) in known for row in rows[:, columns]]))

    hosts = slice(1, 5)
    assert share(made, hosts) == pytest.approx(share(other.metadata, hosts), abs=0.12)
    assert share(made, slice(0, 10)) < share(other.metadata, slice(0, 10)) + 0.02
    counts = [np.unique(x[:, hosts], axis=0, return_counts=True)[1] for x in (made, other.metadata)]
    assert counts[0].max() / counts[1].max() == pytest.approx(1, abs=0.4)


def test_without_recall_no_training_flow_is_kept():
    train = random_flows(200, 1)
    generator = AutoregressiveGenerator(train.schema, AutoregressiveSettings(recall=False, epochs=1))
    generator.prepare(train, seed=1, steps=5)
    assert generator.sampling_weights()["metadata.memory"].numel() == 0
    assert len(generator.sample(20, seed=1)) == 20


def test_memory_does_not_grow_with_the_longest_series():
    schema = Schema(TOY.metadata[:1], TOY.measurements[:1], 200_000)
    lengths = np.array([200_000, *[3] * 30])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    records = (np.arange(offsets[-1]) % 4).astype(np.float32)[:, None]
    data = Encoded(np.zeros((31, 1), np.float32), records, offsets, schema)
    generator = AutoregressiveGenerator(schema, AutoregressiveSettings(batch_records=1024))
    tracemalloc.start()
    generator.prepare(data, seed=1, steps=6)
    while not generator.done:
        assert generator.step()["records"] < 3000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6


def test_metadata_or_measurements_without_columns():
    data = toy(60)
    for metadata, measurements in ((TOY.metadata[:2], ()), ((), TOY.measurements[:2]), ((), ())):
        part = Encoded(
            data.metadata[:, : len(metadata)],
            data.measurements[:, : len(measurements)],
            data.offsets,
            Schema(metadata, measurements, 40),
        )
        generator = AutoregressiveGenerator(part.schema)
        generator.prepare(part, seed=1, steps=4)
        while not generator.done:
            generator.step()
        sample = generator.sample(11, seed=1)
        assert sample.measurements.shape == (sample.offsets[-1], len(measurements))


def test_an_interruption_between_passes_changes_nothing():
    """Validation, restarts at the best weights and new batch orders included."""
    data, settings = toy(120), AutoregressiveSettings(batch_records=256, batch_series=32, patience=1)

    def build() -> AutoregressiveGenerator:
        generator = AutoregressiveGenerator(TOY, settings)
        generator.prepare(data, seed=5, steps=120)
        return generator

    straight, first = build(), build()
    for _ in range(60):
        straight.step()
        first.step()
    state = first.training_state()
    second = build()
    second.restore(*state)
    while not straight.done:
        assert straight.step() == second.step()
    assert second.done
    expected, found = straight.training_state(), second.training_state()
    assert expected[1] == found[1]
    assert all(torch.equal(value, found[0][name]) for name, value in expected[0].items())


@pytest.mark.parametrize("longest", [1, 2, 31, 32, 33, 100, 1024, 1_000_000])
def test_lengths_are_coded_in_range_and_short_ones_exactly(longest):
    code = LengthCode(longest)
    lengths = np.unique(np.concatenate([np.arange(1, min(longest, 3000) + 1), [longest]]))
    for uniform in (0.0, 0.999999):
        back = code.decode(code.encode(lengths), np.full(len(lengths), uniform))
        assert back.min() >= 1
        assert back.max() <= longest
        short = lengths <= 96
        assert np.array_equal(back[short], lengths[short])
        assert np.all(np.abs(back - lengths) <= 1 + 0.02 * lengths)


def test_every_length_can_be_drawn():
    code, random = LengthCode(700), np.random.default_rng(0)
    more = [[1, b, p] for b in range(len(code.first)) for p in range(PLACES)]
    rows = np.array([[0, 0, 0], *more], np.float32)
    drawn = np.concatenate([code.decode(rows, random.random(len(rows))) for _ in range(200)])
    assert np.array_equal(np.unique(drawn), np.arange(1, 701))


def test_windows_count_every_record_once():
    lengths = np.array([1, 5, 7, 23, 6])
    windows = cut_windows(np.arange(5), lengths, window=6, burn_in=4)
    seen = []
    for batch in batches_of(windows, 20, np.random.default_rng(0)):
        chosen = windows.take(batch)
        packed = pack(chosen)
        assert packed.sizes.sum() == chosen.length.sum()
        assert np.all(np.diff(packed.sizes) <= 0)
        series = chosen.series[packed.order][packed.window]
        assert np.all(packed.position < lengths[series])
        seen += list(zip(series[packed.counted], packed.position[packed.counted], strict=True))
    assert sorted(seen) == [(s, p) for s, length in enumerate(lengths) for p in range(length)]


def test_both_directions_of_a_conversation_are_held_back_together():
    flows = random_flows(300, 3)
    columns = [c.name for c in flows.schema.metadata]
    swap = [columns.index(n.replace("src_ip", "x").replace("dst_ip", "src_ip").replace("x", "dst_ip")) for n in columns]
    schema = Schema(flows.schema.metadata[:9], flows.schema.measurements, 2)
    rows = np.concatenate([flows.metadata[:, :9], flows.metadata[:, swap][:, :9]])
    both = Encoded(rows, np.zeros((600, 1), np.float32), np.arange(601), schema)
    conversations = conversation_of(both)
    assert np.array_equal(conversations[:300], conversations[300:])
    train, held = hold_back(both, 0.2, seed=1)
    assert len(held) > 0
    assert not set(conversations[train]) & set(conversations[held])
    assert np.array_equal(np.sort(np.concatenate([train, held])), np.arange(600))
    everything, none = hold_back(both, 0.2, seed=1, fewest=len(np.unique(conversations)))
    assert len(everything) == 600 and len(none) == 0


def test_counts_are_relative_frequencies_after_a_context():
    schema = address_schema()
    order = learning_order(schema.metadata)
    assert [schema.metadata[i].field for i in order[:2]] == ["service", "src_port"]
    layout = TokenLayout([schema.metadata[i] for i in order], 16)
    assert layout.columns[min(recalled_columns(layout))].name == "dst_ip.byte0"
    rows = np.zeros((4, 10), np.int64)
    rows[:, 2], rows[:, 3] = [1, 1, 1, 2], [5, 5, 6, 7]
    counts = ContextCounts(rows, layout, 3, [2])
    found = recall([counts], np.concatenate([rows, rows[:1] + 9]))
    assert found.probability[:, 0] == pytest.approx([2 / 3, 2 / 3, 1 / 3, 1, 0])
    begin, end, _ = counts.find(rows)
    assert np.array_equal(counts.draw(begin, end, np.array([0.0, 0.5, 0.9, 0.9])), [5, 5, 6, 7])


@pytest.mark.parametrize("spikes", (0, 5))
def test_counts_of_coarse_values_say_where_a_number_lies(spikes):
    scale = (*np.linspace(0, 1, spikes), *np.linspace(0, 1, 64 - spikes))
    layout = TokenLayout(
        [Column("service", "service", "categorical", 2), Column("span", "span", "categorical", 64, positions=scale)], 1
    )
    random = np.random.default_rng(0)
    rows = np.stack(
        [np.repeat([0, 1], [1000, 6]), np.append(random.integers(0, 60, 1000), [56, 57, 58, 57, 59, 56])], axis=1
    )
    counts = ContextCounts(rows, layout, 1, [0, 1 + len(layout)])
    asked = np.stack([np.ones(64, np.int64), np.arange(64)], axis=1)
    begin, end, _ = counts.find(asked)
    share = counts.probability(asked, end - begin)
    assert np.isclose(share.sum(), 1) and np.isclose(share[56:60].sum(), 1)
    assert share[56:60].min() > 0.1  # 57 is as likely as its neighbours, though three of six said so
    drawn = counts.draw(np.full(4000, begin[0]), np.full(4000, end[0]), random.random(4000))
    assert np.allclose(np.bincount(drawn, minlength=64) / 4000, share, atol=0.03)


def test_tokens_round_trip_and_respect_gates():
    layout, random = TokenLayout(TOY.metadata, 64), np.random.default_rng(0)
    values = torch.from_numpy(toy(500).metadata)
    tokens = layout.encode(values)
    back = layout.decode(tokens, torch.from_numpy(random.random(tokens.shape)).float())
    assert torch.equal(back[:, :3], values[:, :3])
    assert torch.all((back[:, 3] - values[:, 3]).abs() <= 1 / 64)
    assert torch.all(tokens[values[:, 2] == 0, 3] == 64)


def test_positions_have_bins_that_never_fall():
    bins = position_bin(torch.tensor([*range(3000), 10**6, 2**31, 2**40]))
    assert torch.all(bins[1:] >= bins[:-1])
    assert torch.equal(bins[:16], torch.arange(16))
    assert bins.max() < POSITION_BINS
