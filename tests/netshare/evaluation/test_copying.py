from dataclasses import replace

import numpy as np
import pytest

from netshare.evaluation import split_by_flow
from netshare.evaluation.metrics.copying import copy_shares
from netshare.preprocess.trace import Trace
from tests.netshare.evaluation.evaluation_traces import flow_trace, packet_trace


def changed(trace: Trace, **columns: np.ndarray) -> Trace:
    return replace(trace, columns={**trace.columns, **columns})


def test_a_copy_is_found_out_whatever_its_times_and_identifiers() -> None:
    train, holdout = split_by_flow(packet_trace(), 0.5, 0)
    copied = changed(train, time=train["time"] + 10**9, ip_id=np.arange(len(train), dtype=np.uint16))
    shares = {copy.name: copy for copy in copy_shares(train, copied, holdout)}
    assert all(copy.share == 1 for copy in shares.values())
    assert shares["records"].suspicious
    assert shares["five-tuples"].suspicious
    assert shares["five-tuples"].holdout_share == 0


def test_shares_are_counted_by_hand() -> None:
    trace = flow_trace(100)
    train, synthetic = trace.take(np.arange(50)), trace.take(np.arange(25, 75))
    records = copy_shares(train, synthetic, trace.take(np.arange(50, 100)))[-1]
    assert (records.synthetic_found, records.synthetic_total) == (25, 50)
    assert (records.holdout_found, records.holdout_total) == (0, 50)


def test_real_traffic_is_not_suspected(isp_packets: Trace) -> None:
    train, rest = split_by_flow(isp_packets, 0.34, 0)
    one, other = split_by_flow(rest, 0.5, 1)
    assert not any(copy.suspicious for copy in copy_shares(train, one, other))


def test_nothing_held_back_gives_no_share_to_compare_with() -> None:
    train = packet_trace(20)
    shares = copy_shares(train, train, train.take(np.zeros(0, np.int64)))
    assert all(np.isnan(copy.holdout_share) and not copy.suspicious for copy in shares)


def test_columns_that_one_trace_lacks_do_not_hide_a_copy() -> None:
    train = flow_trace(100)
    unlabelled = replace(train, columns={n: v for n, v in train.columns.items() if n != "label"}, categories={})
    assert copy_shares(train, unlabelled, train)[-1].share == pytest.approx(1)


def test_extra_columns_of_any_number_type_count_as_content() -> None:
    train = flow_trace(100)
    score = np.random.default_rng(0).random(100)
    scored, rescored = changed(train, score=score), changed(train, score=score / 2)
    assert copy_shares(scored, scored, train)[-1].share == 1
    assert copy_shares(scored, rescored, rescored)[-1].share == 0
