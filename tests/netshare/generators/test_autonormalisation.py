"""Mode collapse is there without auto-normalisation and gone with it: `benchmarks/autonorm`, in brief."""

import pytest
import torch

from benchmarks.autonorm.run import compare, heavy_tailed, learn
from netshare.generators.doppelganger.settings import DoppelGANgerSettings

# What the networks make: a calibration would spread what has collapsed.
SETTINGS = DoppelGANgerSettings(
    records_per_pass=14, packing=4, batch_size=50, critic_units=64, lstm_units=32, average_decay=0.99, calibrate=False
)


@pytest.fixture(scope="module")
def outcome():
    train, held = heavy_tailed(600, 0), heavy_tailed(1000, 1)
    torch.set_num_threads(1)
    return {
        variant: compare(held, learn(variant, *train, steps=400, n=1000, settings=SETTINGS))
        for variant in ("raw", "autonorm")
    } | {"real": compare(held, train)}


def test_the_measure_finds_real_series_whole(outcome):
    assert outcome["real"]["deciles"] == 20
    assert outcome["real"]["distance"] < 0.15


def test_without_auto_normalisation_the_amplitudes_collapse(outcome):
    assert outcome["raw"]["deciles"] <= 4
    assert outcome["raw"]["spread"] < 0.3


def test_with_auto_normalisation_they_do_not(outcome):
    assert outcome["autonorm"]["deciles"] >= 10
    assert outcome["autonorm"]["spread"] > 0.4
