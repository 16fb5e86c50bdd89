"""Spans that do not fit are exchanged among series alike, so that long flows stay as many as were drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netshare.preprocess.spans import fitting_spans, spans_of_records


def flows(n: int, seed: int, *, protocols: int = 2, ports: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    flags = {name: rng.integers(0, 2, n).astype(np.uint8) for name in ("starts_here", "continues", "continued")}
    return flags | {
        "protocol": rng.integers(0, protocols, n).astype(np.uint8),
        "src_port": rng.integers(1024, 2**16, n).astype(np.uint16),
        "dst_port": rng.integers(0, ports, n).astype(np.uint16),
    }


def alike(n: int) -> dict[str, np.ndarray]:
    return {name: np.zeros_like(values) for name, values in flows(n, 0).items()}


def test_long_spans_go_to_flows_that_start_early():
    rng = np.random.default_rng(0)
    start, span = rng.integers(0, 1000, 3000), rng.permutation(np.where(np.arange(3000) < 300, 800, 10))
    room = 1000 - start
    fitted = fitting_spans(alike(3000), span, room, rng)
    assert (fitted <= room).all()
    assert (fitted == 800).sum() >= 290  # of 300; cut or drawn again, four in five of them would be shorter


def test_spans_stay_with_their_service_where_they_can():
    n, rng = 6000, np.random.default_rng(1)
    metadata = alike(n) | {"src_port": np.full(n, 50_000), "dst_port": rng.integers(0, 3, n)}
    span = np.where(rng.random(n) < 0.1, 800, 10) + metadata["dst_port"]
    fitted = fitting_spans(metadata, span, 1000 - rng.integers(0, 1000, n), rng)
    assert (fitted != span).sum() > 500
    assert (fitted % 10 == metadata["dst_port"]).mean() > 0.97


@pytest.mark.slow
@given(st.integers(1, 60), st.integers(0, 2**20))
@settings(max_examples=200, deadline=None)
def test_every_span_fits_and_those_that_did_keep_to_what_was_drawn(n, seed):
    rng = np.random.default_rng(seed)
    metadata, span, room = flows(n, seed), rng.integers(0, 50, n) * rng.integers(0, 2, n), rng.integers(0, 50, n)
    fitted = fitting_spans(metadata, span, room, rng)
    assert ((fitted >= 0) & (fitted <= room)).all()
    if (span <= room).all():
        assert np.array_equal(fitted, span)
    assert (fitted[span == 0] == 0).all()  # what has no span gets none


@given(st.integers(1, 40), st.integers(0, 2**20))
@settings(max_examples=100, deadline=None)
def test_spans_are_dealt_in_the_order_of_the_gaps_and_none_is_lost(n, seed):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, 5, n)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    gaps = rng.integers(1, 100, offsets[-1])
    gaps[offsets[:-1]] = 0
    metadata, span = alike(n), rng.integers(0, 100, n)
    dealt = spans_of_records(metadata, gaps, offsets, span, np.full(n, 100), rng)
    totals = np.add.reduceat(gaps, offsets[:-1])
    assert np.array_equal(dealt[np.argsort(totals, kind="stable")], np.sort(span))
    late = rng.integers(0, 100, n)
    within = spans_of_records(metadata, gaps, offsets, span, np.maximum(late, span), rng)
    assert np.array_equal(np.sort(within), np.sort(span))
