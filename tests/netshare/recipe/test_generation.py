"""Stitching over chunks and segments, with real models trained briefly on a small trace made for it."""

from dataclasses import replace

import numpy as np
import pytest

from netshare.generators.registry import GeneratorChoice, kinds, spec_of
from netshare.postprocess.assemble import assemble
from netshare.preprocess.chunks import cut_series, plan_chunks
from netshare.preprocess.codec import Codec
from netshare.preprocess.flows import group_flows
from netshare.preprocess.trace import make_trace
from netshare.recipe.contents import ChunkContents, Contents
from netshare.recipe.generation import generate_series, share_flows
from netshare.recipe.given_flows import GivenFlows
from netshare.recipe.metadata import Metadata
from netshare.seeds import derive_seed

SECOND = 1_000_000_000
LONGEST = 8


def trace_with_long_flows():
    """60 flows over 9 s: most are short, every fifth runs through the whole trace with 40 records."""
    rng = np.random.default_rng(0)
    rows = []
    for flow in range(60):
        begin = rng.uniform(0, 8)
        times = (
            np.sort(rng.uniform(0, 9, 40)) if flow % 5 == 0 else begin + np.sort(rng.uniform(0, 1, rng.integers(1, 5)))
        )
        rows += [(int(t * SECOND), flow) for t in times]
    time, flow = (np.array(column) for column in zip(*sorted(rows), strict=True))
    columns = {
        "time": time,
        "ip_version": np.full(len(time), 4),
        "src_lo": 167772160 + flow,
        "dst_lo": 3232235520 + flow % 7,
    }
    columns |= {"src_port": 40000 + flow, "dst_port": np.full(len(time), 443), "protocol": np.where(flow % 2, 6, 17)}
    return make_trace("packet", columns | {"length": 40 + flow, "ttl": np.full(len(time), 64)})


@pytest.fixture(scope="module", params=kinds())
def trained(request):
    trace = trace_with_long_flows()
    plan = plan_chunks(trace["time"], count=3)
    tables = cut_series(trace, group_flows(trace), plan, max_records_per_segment=LONGEST)
    spec = spec_of(request.param)
    codec = Codec.fit(list(tables.values()), style=spec.style, encodings={"protocol": "onehot"})
    models = {}
    for chunk, table in tables.items():
        model = GeneratorChoice(spec.kind, spec.settings()).build(codec.schema)
        model.prepare(codec.encode(table), seed=1, steps=60)
        while not model.done:
            model.step()
        model.load_sampling_weights(model.sampling_weights())
        models[chunk] = model
    held = {chunk: replace(ChunkContents.of(table), records=None) for chunk, table in tables.items()}
    return models, codec, Contents(flows=60, chunks=held, plan=plan)


def make(trained, flows=50, seed=3):
    models, codec, contents = trained
    return generate_series(models.__getitem__, codec, contents, flows=flows, seed=seed)


def test_as_many_distinct_flows_as_asked(trained):
    tables, report = make(trained)
    trace = assemble(tables, trained[2].time)
    assert len(group_flows(trace)) == report.flows == 50 - report.accepted_repeats
    assert report.records == len(trace)
    assert sum(report.by_chunk.values()) == 50


def test_every_record_lies_within_its_chunk_and_series_are_short_enough(trained):
    tables, _ = make(trained)
    for table in tables.values():
        assert table.metadata["start"].min() >= 0
        assert (table.metadata["start"] + table.metadata["span"]).max() < table.chunk_width
        assert table.lengths.max() <= LONGEST


def test_tagged_flows_go_on_in_the_chunks_they_are_tagged_for(trained):
    tables, report = make(trained)
    assert report.continued > 0
    names = ("src_lo", "dst_lo", "src_port", "dst_port", "protocol")

    def identities(table, rows):
        return set(zip(*(table.metadata[name][rows].tolist() for name in names), strict=True))

    for chunk, table in tables.items():
        begun = table.metadata["starts_here"] == 1
        for later in (k for k in tables if k > chunk):
            tagged = begun & (table.metadata["chunk_tags"][:, later] == 1)
            assert identities(table, tagged) <= identities(tables[later], tables[later].metadata["starts_here"] == 0)


def test_segments_follow_one_another_in_time(trained):
    tables, report = make(trained)
    assert report.segments > 0
    for table in tables.values():
        continues = table.metadata["continues"] == 1
        assert continues.sum() == (table.metadata["continued"] == 1).sum()
        assert not np.any(table.metadata["starts_here"][continues])


def test_the_same_seed_gives_the_same_trace_and_another_seed_another(trained):
    plan = trained[2].time
    first, again, other = (assemble(make(trained, seed=seed)[0], plan) for seed in (3, 3, 4))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert len(first) != len(other) or not np.array_equal(first["time"], other["time"])


def test_flows_are_shared_out_by_largest_remainder():
    assert share_flows(10, {0: 1, 2: 1, 5: 1}) == {0: 4, 2: 3, 5: 3}
    assert share_flows(3, {0: 999, 1: 1}) == {0: 3, 1: 0}


def test_seeds_for_different_purposes_differ():
    seeds = {derive_seed(1, "train", chunk) for chunk in range(100)} | {derive_seed(1, "stitch", c) for c in range(100)}
    assert len(seeds) == 200
    assert max(seeds) < 2**31


def given_flows(n: int, **more: np.ndarray) -> GivenFlows:
    columns = {"ip_version": np.full(n, 4, np.uint8), "protocol": np.where(np.arange(n) % 2, 6, 17).astype(np.uint8)}
    columns |= {name: np.zeros(n, np.uint64) for name in ("src_hi", "dst_hi")}
    columns |= {"src_lo": 167772160 + np.arange(n, dtype=np.uint64), "dst_lo": np.full(n, 3232235520, np.uint64)}
    columns |= {"src_port": (40000 + np.arange(n)).astype(np.uint16), "dst_port": np.full(n, 443, np.uint16)}
    return GivenFlows(Metadata(columns), **more)


@pytest.mark.parametrize("long", [False, True])
def test_given_flows_are_made_with_their_starts_and_lengths(trained, long):
    models, codec, contents = trained
    plan = contents.time
    start = np.linspace(0, 8.9, 30).astype(np.int64) * SECOND
    records = (1 + np.arange(30) % LONGEST + (3 * LONGEST if long else 0)).astype(np.int64)
    given = given_flows(30, start=start, records=records)
    tables, report = generate_series(models.__getitem__, codec, contents, flows=1, seed=3, given=given)
    assert report.flows == report.flows_asked == 30
    assert report.records == records.sum()
    found = {}
    for chunk, table in tables.items():
        assert table.lengths.max() <= LONGEST
        for i in range(len(table)):
            key = int(table.metadata["src_lo"][i]) - 167772160
            begin, length = found.get(key, (2**62, 0))
            found[key] = min(begin, chunk * plan.width + int(table.metadata["start"][i])), length + table.lengths[i]
    step = codec.resolution
    for key in range(30):
        assert abs(found[key][0] - start[key]) < step or step == 1
        assert found[key][1] == records[key]


def test_given_flows_alone_take_the_rest_from_the_models(trained):
    models, codec, contents = trained
    plan = contents.time
    run = [
        generate_series(models.__getitem__, codec, contents, flows=1, seed=3, given=given_flows(40)) for _ in range(2)
    ]
    tables, report = run[0]
    assert report.flows == 40
    for chunk, table in tables.items():
        again = run[1][0][chunk]
        assert all(np.array_equal(table.measurements[name], again.measurements[name]) for name in table.measurements)
        assert ((table.metadata["start"] + table.metadata["span"]) < plan.width).all()
