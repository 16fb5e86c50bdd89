"""What is corrected in DoppelGANger's samples: shares, numbers and lengths as in the training data, hosts as in new traffic."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netshare.config.load import load_config
from netshare.generators.doppelganger.calibration import LEVELS, fit_stops, fit_units, map_numbers
from netshare.generators.doppelganger.generator import DoppelGANger
from netshare.generators.doppelganger.known_hosts import address_fields, fit_hosts
from netshare.generators.doppelganger.layout import ColumnLayout
from netshare.generators.doppelganger.settings import DoppelGANgerSettings
from netshare.preprocess.encoded import Column, Encoded, Schema

CPU = torch.device("cpu")
SMALL = {"batch_size": 16, "metadata_units": 16, "lstm_units": 12, "critic_units": 16, "critic_layers": 2}
V4 = tuple(Column(f"ip.bit{i}", "ip", "categorical", 2) for i in range(32))


def bits_of(addresses: np.ndarray, width: int = 32) -> np.ndarray:
    return ((addresses[:, None].astype(np.uint64) >> np.arange(width - 1, -1, -1, dtype=np.uint64)) & 1).astype(
        np.uint8
    )


def traffic(n: int, seed: int, *, hosts: int = 400) -> np.ndarray:
    """Addresses of n flows: few hosts have most of them, in 20 networks."""
    own = np.random.default_rng(0)
    everyone = (10 << 24) + (own.integers(0, 20, hosts) << 8) + own.integers(0, 256, hosts)
    popularity = 1 / np.arange(1, hosts + 1) ** 1.3
    return np.random.default_rng(seed).choice(everyone, n, p=popularity / popularity.sum())


def blurred(addresses: np.ndarray, seed: int) -> torch.Tensor:
    """What a half-trained net says of their bits."""
    right = np.random.default_rng(seed).uniform(0.55, 0.99, (len(addresses), 32))
    return torch.from_numpy(np.where(bits_of(addresses) == 1, right, 1 - right).astype(np.float32))


def drawn_hosts(known, probabilities: torch.Tensor, seed: int = 0) -> np.ndarray:
    found = known.draw(probabilities, torch.Generator().manual_seed(seed)).numpy().astype(np.uint64)
    return found @ (np.uint64(1) << np.arange(31, -1, -1, dtype=np.uint64))


def shares(addresses: np.ndarray) -> np.ndarray:
    counts = np.sort(np.unique(addresses, return_counts=True)[1])[::-1] / len(addresses)
    return np.pad(counts, (0, 1000 - len(counts)))


def test_hosts_are_as_popular_as_in_other_traffic_of_the_network():
    real, other, sample = traffic(1500, 1), traffic(1500, 2), traffic(1500, 3, hosts=30)  # too many busy hosts are made
    known = fit_hosts(bits_of(real), blurred(sample, 4), length=32)
    made = drawn_hosts(known, blurred(traffic(1500, 5, hosts=30), 6))
    floor = np.abs(shares(real) - shares(other)).sum()
    assert np.abs(shares(sample) - shares(other)).sum() > 4 * floor
    assert np.abs(shares(made) - shares(other)).sum() < 2 * floor
    busiest = np.bincount(np.unique(real, return_inverse=True)[1]).max() / len(real)
    assert shares(made)[0] == pytest.approx(busiest, rel=0.15)


def test_as_many_hosts_are_new_as_in_other_traffic_and_in_known_networks():
    real, other = traffic(1500, 1), traffic(1500, 2)
    known = fit_hosts(bits_of(real), blurred(traffic(1500, 3), 4), length=32)
    made = drawn_hosts(known, blurred(traffic(1500, 5), 6))
    returning = [np.isin(np.unique(part), real).mean() for part in (made, other)]
    assert returning[0] <= 1.1 * returning[1]
    assert np.isin(made >> np.uint64(8), real >> 8).all()
    assert (~np.isin(made, real)).mean() == pytest.approx((~np.isin(other, real)).mean(), abs=0.05)


def test_the_bits_decide_which_host():
    real = np.repeat([0x0A000001, 0xC0A80001], 500)
    known = fit_hosts(bits_of(real), blurred(real, 1), length=32)
    made = drawn_hosts(known, blurred(real, 2))
    assert (made == real).mean() > 0.99


def test_where_every_host_is_seen_once_all_are_new():
    real = np.arange(100) * 65536
    known = fit_hosts(bits_of(real), blurred(real, 1), length=32)
    assert known.n_hosts == 0
    assert np.isin(drawn_hosts(known, blurred(real, 2)), real).mean() < 0.1


def test_busy_hosts_stay_where_one_was_seen_once_and_none_twice():
    real = np.append(np.repeat([0x0A000001, 0x0A000002], 200), 0xC0A80001)
    made = drawn_hosts(fit_hosts(bits_of(real), blurred(real, 1), length=32), blurred(real, 2))
    assert np.isin(made, real[:400]).mean() > 0.97


def test_versions_have_their_own_hosts():
    gate = Column("version", "version", "categorical", 2)
    gated = tuple(
        Column(f"ip.bit{i}", "ip", "categorical", 2, *(("version", (1,)) if i < 96 else ())) for i in range(128)
    )
    schema = Schema((gate, *gated), (Column("size", "size", "continuous"),), 1)
    rng = np.random.default_rng(0)
    version = rng.integers(0, 2, 400)
    bits = np.tile(rng.integers(0, 2, (8, 128)), (50, 1))
    bits[version == 0, :96] = 0
    rows = np.column_stack([version, bits]).astype(np.float32)
    data = Encoded(rows, rng.random((400, 1)).astype(np.float32), np.arange(401), schema)
    generator = DoppelGANger(schema, DoppelGANgerSettings(**SMALL))
    generator.prepare(data, seed=1, steps=3)
    while not generator.done:
        generator.step()
    made = generator.sample_metadata(500, seed=2)
    short = made[:, 0] == 0
    assert short.mean() == pytest.approx((version == 0).mean(), abs=0.1)
    assert not made[short, 1:97].any()
    seen = {row.tobytes() for row in rows[:, 1:].astype(np.uint8)}
    assert all(row.tobytes() in seen for row in made[:, 1:].astype(np.uint8))
    other = DoppelGANger(schema, generator.settings)
    other.load_sampling_weights({name: tensor.clone() for name, tensor in generator.sampling_weights().items()})
    assert np.array_equal(other.sample_metadata(500, seed=2), made)


def test_only_addresses_are_read_as_hosts():
    columns = (*V4, *(Column(f"tag{i}", "tag", "categorical", 2) for i in range(10)))
    assert [field.name for field in address_fields(columns, ColumnLayout(columns, CPU))] == ["ip"]


KINDS = (
    Column("kind", "kind", "categorical", 3),
    Column("bit", "bit", "categorical", 2),
    Column("size", "size", "continuous", 0, "kind", (1,)),
    Column("inner", "inner", "categorical", 3, "bit", (1,)),
    Column("v0", "v", "continuous"),
    Column("v1", "v", "continuous"),
)


def test_shares_and_quantiles_become_those_of_the_training_data():
    rng = np.random.default_rng(0)
    real = np.column_stack(
        [
            rng.choice(3, 5000, p=[0.7, 0.25, 0.05]),
            rng.random(5000) < 0.1,
            rng.beta(2, 5, 5000),
            rng.choice(3, 5000, p=[0.1, 0.1, 0.8]),
            *rng.random((2, 5000)),
        ]
    ).astype(np.float32)
    real[real[:, 0] != 1, 2] = 0
    real[real[:, 1] == 0, 3] = 0
    layout = ColumnLayout(KINDS, CPU)
    units = layout.activate(torch.randn(4000, layout.width, generator=torch.Generator().manual_seed(1)) * 2)
    corrected = fit_units(layout, units, real).apply(layout, units)
    rows = layout.collapse(corrected, "sample", torch.Generator().manual_seed(2)).numpy()
    assert np.bincount(rows[:, 0].astype(int)) / 4000 == pytest.approx([0.7, 0.25, 0.05], abs=0.03)
    assert rows[:, 1].mean() == pytest.approx(0.1, abs=0.02)
    inner = rows[rows[:, 1] == 1, 3].astype(int)
    assert np.bincount(inner, minlength=3) / len(inner) == pytest.approx([0.1, 0.1, 0.8], abs=0.06)
    sizes = [part[part[:, 0] == 1, 2] for part in (rows, real)]
    levels = np.linspace(0.05, 0.95, 19)
    assert np.quantile(sizes[0], levels) == pytest.approx(np.quantile(sizes[1], levels), abs=0.03)
    assert torch.equal(corrected[:, 1:3], units[:, 1:3])  # a vector stays as it is


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=50), st.integers(0, 100))
def test_a_map_of_numbers_keeps_order_and_range(values, seed):
    rng = np.random.default_rng(seed)
    quantiles = torch.from_numpy(np.sort(rng.random((2, 1, LEVELS)).round(2), axis=-1).astype(np.float32))
    mapped = map_numbers(torch.tensor(sorted(values)).unsqueeze(1), quantiles).squeeze(1)
    assert (mapped.diff() >= -1e-6).all()
    assert (mapped >= quantiles[1].min() - 1e-6).all() and (mapped <= quantiles[1].max() + 1e-6).all()


def test_a_collapsed_number_becomes_the_median():
    generated, real = torch.full((1, LEVELS), 0.3), torch.linspace(0, 1, LEVELS).unsqueeze(0)
    assert map_numbers(torch.full((5, 1), 0.3), torch.stack([generated, real])).flatten().tolist() == [0.5] * 5


def test_series_end_where_those_of_the_training_data_do():
    lengths = np.repeat([1, 2, 3, 12, 20], [300, 100, 100, 300, 200])
    rng = np.random.default_rng(1)
    hazards = torch.from_numpy(rng.uniform(0.01, 0.3, (2000, 20)).astype(np.float32))
    shifted = torch.sigmoid(torch.logit(hazards) + fit_stops(hazards, lengths))
    ends = rng.random((2000, 20)) < shifted.numpy()
    ends[:, -1] = True
    made = ends.argmax(1) + 1
    for k in (1, 2, 3, 11, 12, 19):
        assert (made <= k).mean() == pytest.approx((lengths <= k).mean(), abs=0.04)


def test_classes_keep_their_own_levels():
    """A net that hardly knows the classes is corrected within each."""
    rng = np.random.default_rng(0)
    kind = (rng.random(600) < 0.3).astype(np.float32)
    level = (0.2 + 0.5 * kind + 0.05 * rng.standard_normal(600)).astype(np.float32)
    lengths = np.where(kind == 1, 6, 2)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    records = np.repeat(level, lengths)[:, None] + rng.uniform(-0.1, 0.1, (offsets[-1], 1)).astype(np.float32)
    schema = Schema(
        (Column("kind", "kind", "categorical", 2), Column("level", "level", "continuous")),
        (Column("x", "x", "continuous"),),
        6,
    )
    data = Encoded(np.column_stack([kind, level]), records, offsets, schema)
    generator = DoppelGANger(schema, DoppelGANgerSettings(**SMALL))
    generator.prepare(data, seed=1, steps=5)
    while not generator.done:
        generator.step()
    made = generator.sample(1000, seed=3)
    assert made.metadata[:, 0].mean() == pytest.approx(0.3, abs=0.06)
    for value, wanted, length in ((0, 0.2, 2), (1, 0.7, 6)):
        mine = made.metadata[:, 0] == value
        assert made.metadata[mine, 1].mean() == pytest.approx(wanted, abs=0.03)
        assert made.lengths[mine].mean() == pytest.approx(length, rel=0.05)
        assert made.measurements[np.repeat(mine, made.lengths), 0].mean() == pytest.approx(wanted, abs=0.03)


def test_the_papers_preset_corrects_nothing(tmp_path: Path):
    (tmp_path / "config.json").write_text(
        json.dumps({"input": "trace.csv", "preset": ["netflow", "doppelganger-paper"]})
    )
    settings = load_config(tmp_path / "config.json").generator.doppelganger
    assert not settings.calibrate and not settings.known_hosts
