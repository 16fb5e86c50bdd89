import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netshare.preprocess.clock import Clock
from netshare.preprocess.codec import Codec
from netshare.preprocess.errors import FieldError
from netshare.preprocess.series import SeriesTable
from tests.preprocess.test_codec import STYLES, packet_series, random_encoded

MINUTE = 60_000_000_000
DAY = 24 * 60 * MINUTE


def series(starts: np.ndarray, lengths: np.ndarray, gaps: np.ndarray, width: int) -> SeriesTable:
    """Series of nothing but times; int64[n], int64[n], int64[sum of lengths]."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    gaps = gaps.astype(np.int64)
    gaps[offsets[:-1]] = 0
    span = np.add.reduceat(gaps, offsets[:-1])
    return SeriesTable(
        {"start": starts.astype(np.int64), "span": span}, {"interarrival": gaps}, offsets, "packet", width
    )


def two_sessions(n: int = 400) -> SeriesTable:
    """Two minutes with traffic, ten days apart, in a chunk of thirty days; one series in ten has records in both."""
    rng = np.random.default_rng(0)
    both, late = rng.random(n) < 0.1, rng.random(n) < 0.4
    starts = 2 * DAY + rng.integers(0, MINUTE // 2, n) + np.where(late & ~both, 10 * DAY, 0)
    gaps = rng.integers(0, MINUTE // 20, (n, 10))
    gaps[both, 5] = 10 * DAY
    return series(starts, np.full(n, 10), gaps.ravel(), 30 * DAY)


@given(st.integers(0, 2**32), st.integers(1, 60), st.booleans())
@settings(max_examples=100, deadline=None)
def test_busy_time_loses_no_record_and_keeps_their_order(seed, n, even_starts):
    rng = np.random.default_rng(seed)
    width = int(rng.integers(10_000, 10**15))
    lengths = rng.integers(1, 5, n)
    scale = np.exp(rng.uniform(0, np.log(width), n))
    starts = (rng.random(n) * np.minimum(scale, width - 1)).astype(np.int64)
    gaps = (
        rng.random(int(lengths.sum()))
        * np.repeat((width - 1 - starts) // 5, lengths)
        * (rng.random(lengths.sum()) < 0.5)
    )
    table = series(starts, lengths, gaps, width)
    clock = Clock.of(table, even_starts=even_starts)
    busy = clock.to_busy_table(table)
    assert (busy.measurements["interarrival"] >= 0).all()
    assert (busy.metadata["start"] + busy.metadata["span"] < clock.busy_width).all() and clock.busy_width <= width
    back = clock.to_real_table(busy)
    for name in ("start", "span"):
        np.testing.assert_array_equal(back.metadata[name], table.metadata[name])
    np.testing.assert_array_equal(back.measurements["interarrival"], table.measurements["interarrival"])
    codes = clock.start_to_code(starts)
    assert (
        (np.diff(codes[np.argsort(starts, kind="stable")]) >= 0).all() and (codes >= 0).all() and (codes < width).all()
    )


def test_nothing_comes_back_from_a_quiet_stretch():
    table = two_sessions()
    clock = Clock.of(table)
    assert len(clock.begins) == 3  # before, between and after the sessions
    assert clock.busy_width < DAY / 10
    real = clock.to_real(np.arange(0, clock.busy_width, 10**8))
    near = lambda day: np.abs(real - day * DAY) < DAY / 20  # noqa: E731
    assert (near(2) | near(12)).all()


def test_who_is_told_to_start_in_a_quiet_stretch_does():
    table = two_sessions()
    clock = Clock.of(table)
    starts = table.metadata["start"].copy()
    starts[:50] = 6 * DAY + np.arange(50)
    starts[50] = table.chunk_width - 5
    real = clock.to_real_table(clock.to_busy_table(table), starts)
    np.testing.assert_array_equal(real.metadata["start"], starts)
    assert (real.metadata["span"][:50] < DAY / 20).all()  # as far apart as they are in busy time
    assert (starts + real.metadata["span"] < table.chunk_width).all() and (real.measurements["interarrival"] >= 0).all()


def test_starts_are_even_on_the_clock():
    table = two_sessions()
    clock = Clock.of(table)
    shares = np.histogram(clock.start_to_code(table.metadata["start"]), 20, (0, table.chunk_width))[0] / len(table)
    assert shares.max() < 0.07 and shares.min() > 0.03
    drawn = clock.to_real(clock.code_to_busy(np.random.default_rng(1).integers(0, table.chunk_width, 10_000)))
    assert abs((drawn > 5 * DAY).mean() - (table.metadata["start"] > 5 * DAY).mean()) < 0.02
    within = drawn - np.where(drawn > 5 * DAY, 12 * DAY, 2 * DAY)
    assert within.min() > -MINUTE / 10 and within.max() < MINUTE


def test_random_arrivals_have_no_quiet_stretch():
    rng = np.random.default_rng(0)
    starts = np.cumsum(rng.exponential(10**6, 2_000)).astype(np.int64)
    table = series(starts, np.ones(2_000, int), np.zeros(2_000), int(starts[-1]) + 1)
    assert Clock.of(table).begins == ()
    sparse = series(starts[:20], np.ones(20, int), np.zeros(20), int(starts[19]) + 1)
    assert Clock.of(sparse).begins == ()


@pytest.mark.parametrize("starts", ([5], [5, 5], [0, 99], [3, 3, 3, 50], [99]))
def test_few_series_have_a_clock(starts):
    table = series(np.array(starts), np.ones(len(starts), int), np.zeros(len(starts)), 100)
    clock = Clock.of(table)
    again = clock.to_real(clock.code_to_busy(clock.start_to_code(table.metadata["start"])))
    np.testing.assert_array_equal(again, starts)
    drawn = clock.to_real(clock.code_to_busy(np.arange(100)))
    assert drawn.min() >= 0 and drawn.max() < 100


def test_json_keeps_the_clock():
    for clock in (Clock(10), Clock.of(two_sessions())):
        assert Clock.from_json(json.loads(json.dumps(clock.to_json()))) == clock


@pytest.mark.parametrize("style", STYLES)
def test_each_chunk_is_told_by_its_own_clock(style):
    whole = packet_series(200)
    sessions = {}
    for chunk, day in ((0, 3), (2, 20)):
        metadata = {**whole.metadata, "start": whole.metadata["start"] + day * DAY}
        sessions[chunk] = replace(whole, metadata=metadata, chunk_width=30 * DAY)
    codec = Codec.fit_chunks(sessions, style=style)
    assert Codec.from_json(json.loads(json.dumps(codec.to_json()))) == codec
    assert {part["field"]: part["bounds"] for part in codec.describe()}["start"] == "measured"
    for chunk, table in sessions.items():
        own = codec.at(chunk)
        again = own.decode(own.encode(table), seed=0)
        tolerance = np.maximum(1_000, table.metadata["span"] * 2e-5)  # float32 on the logarithmic scale
        assert (np.abs(again.metadata["span"] - table.metadata["span"]) <= tolerance).all()
        made = own.decode(random_encoded(own, 500, seed=1), seed=0)
        day = table.metadata["start"].min() // DAY
        ends = made.metadata["start"] + made.metadata["span"]
        assert (made.metadata["start"] > (day - 0.05) * DAY).all() and (ends < (day + 0.05) * DAY).all()
        assert (made.metadata["start"] % codec.resolution == 0).all()


def test_a_user_may_choose_how_starts_are_encoded():
    table = packet_series(100)
    codec = Codec.fit_chunks({0: table}, encodings={"start": "quantile"}, style="autoregressive")
    assert {part["field"]: part["encoding"] for part in codec.describe()}["start"] == "quantile"
    with pytest.raises(FieldError, match="start"):
        Codec.fit_chunks({0: table}, encodings={"start": "nothing"})


@given(st.integers(0, 2**32), st.integers(2, 80))
@settings(max_examples=100, deadline=None)
def test_coarse_times_leave_out_no_stretch_that_runs_backwards(seed, n):
    second, width = 1_000_000_000, 17_001_000_000
    starts = np.sort(np.random.default_rng(seed).choice(18, n, p=np.arange(1, 19)[::-1] / 171)) * second
    table = series(np.minimum(starts, 17 * second), np.ones(n, int), np.zeros(n), width)
    clock = Clock.of(table, resolution=second)
    assert all(begin < end for begin, end in zip(clock.begins, clock.ends, strict=True))
    assert clock.busy_width <= width
