"""Stitching over chunks and segments, with real models trained briefly on a small trace made for it."""

import numpy as np
import pytest

from netshare.config import GeneratorSection
from netshare.generation import derive_seed, generate_series, share_flows
from netshare.generators import build_generator
from postprocess.assemble import assemble
from preprocess.chunks import cut_series, plan_chunks
from preprocess.codec import Codec
from preprocess.flows import group_flows
from preprocess.trace import make_trace

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


@pytest.fixture(scope="module", params=["autoregressive", "doppelganger"])
def trained(request):
    trace = trace_with_long_flows()
    plan = plan_chunks(trace["time"], count=3)
    tables = cut_series(trace, group_flows(trace), plan, max_records_per_segment=LONGEST)
    style = "gan" if request.param == "doppelganger" else "autoregressive"
    codec = Codec.fit(list(tables.values()), style=style, encodings={"protocol": "onehot"})
    models = {}
    for chunk, table in tables.items():
        model = build_generator(codec.schema, GeneratorSection(kind=request.param))
        model.prepare(codec.encode(table), seed=1, steps=60)
        while not model.done:
            model.step()
        model.load_sampling_weights(model.sampling_weights())
        models[chunk] = model
    starting = {chunk: int(table.metadata["starts_here"].sum()) for chunk, table in tables.items()}
    return models, codec, plan, starting


def make(trained, flows=50, seed=3):
    models, codec, plan, starting = trained
    return generate_series(models.__getitem__, codec, plan, starting=starting, flows=flows, seed=seed)


def test_as_many_distinct_flows_as_asked(trained):
    tables, said = make(trained)
    trace = assemble(tables, trained[2])
    assert len(group_flows(trace)) == said.flows == 50 - said.accepted_repeats
    assert said.records == len(trace)
    assert sum(said.by_chunk.values()) == 50


def test_every_record_lies_within_its_chunk_and_series_are_short_enough(trained):
    tables, _ = make(trained)
    for table in tables.values():
        assert table.metadata["start"].min() >= 0
        assert (table.metadata["start"] + table.metadata["span"]).max() < table.chunk_width
        assert table.lengths.max() <= LONGEST


def test_tagged_flows_go_on_in_the_chunks_they_are_tagged_for(trained):
    tables, said = make(trained)
    assert said.continued > 0
    names = ("src_lo", "dst_lo", "src_port", "dst_port", "protocol")

    def identities(table, rows):
        return set(zip(*(table.metadata[name][rows].tolist() for name in names), strict=True))

    for chunk, table in tables.items():
        begun = table.metadata["starts_here"] == 1
        for later in (k for k in tables if k > chunk):
            tagged = begun & (table.metadata["chunk_tags"][:, later] == 1)
            assert identities(table, tagged) <= identities(tables[later], tables[later].metadata["starts_here"] == 0)


def test_segments_follow_one_another_in_time(trained):
    tables, said = make(trained)
    assert said.segments > 0
    for table in tables.values():
        continues = table.metadata["continues"] == 1
        assert continues.sum() == (table.metadata["continued"] == 1).sum()
        assert not np.any(table.metadata["starts_here"][continues])


def test_the_same_seed_gives_the_same_trace_and_another_seed_another(trained):
    plan = trained[2]
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
