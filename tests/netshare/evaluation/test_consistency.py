import numpy as np
import pytest

from netshare.evaluation.metrics.consistency import (
    addresses_valid,
    bytes_fit_packets,
    consistency_tests,
    minimum_packet,
    ports_fit_protocol,
    sizes_reach_minimum,
)
from netshare.postprocess import repair
from netshare.preprocess.trace import Kind, Trace, make_trace

V4 = {
    "a": 0x0A000001,
    "multicast": 0xE0000001,
    "multicast_end": 0xEFFFFFFF,
    "class_e": 0xF0000001,
    "broadcast": 0xFFFFFFFF,
}


def one_row(kind: Kind = "packet", **values: int) -> Trace:
    columns = {"time": 0, "ip_version": 4, "src_lo": V4["a"], "dst_lo": V4["a"], "protocol": 6, **values}
    return make_trace(kind, {name: np.array([value], dtype=object) for name, value in columns.items()})


@pytest.mark.parametrize(
    ("source", "destination", "valid"),
    [
        (V4["a"], V4["a"], True),
        (V4["multicast"], V4["a"], False),
        (V4["multicast_end"], V4["a"], False),
        (V4["class_e"], V4["a"], True),
        (V4["broadcast"], V4["a"], False),
        (V4["a"], V4["broadcast"], True),
        (V4["a"], V4["multicast"], True),
        (V4["a"], 0x00FFFFFF, False),
        (0, 0x01000000, True),
    ],
)
def test_1_ipv4_addresses(source: int, destination: int, valid: bool) -> None:
    assert addresses_valid(one_row(src_lo=source, dst_lo=destination)).tolist() == [valid]


@pytest.mark.parametrize(
    ("src_hi", "dst_hi", "dst_lo", "valid"),
    [
        (0x20010DB8 << 32, 0x20010DB8 << 32, 1, True),
        (0xFF02 << 48, 0x20010DB8 << 32, 1, False),
        (0xFE80 << 48, 0xFF02 << 48, 1, True),
        (0x20010DB8 << 32, 0, 0, False),
        (0x20010DB8 << 32, 0, 1, True),
    ],
)
def test_1_ipv6_addresses(src_hi: int, dst_hi: int, dst_lo: int, valid: bool) -> None:
    trace = one_row(ip_version=6, src_hi=src_hi, dst_hi=dst_hi, dst_lo=dst_lo)
    assert addresses_valid(trace).tolist() == [valid]


@pytest.mark.parametrize(
    ("version", "protocol", "minimum"),
    [(4, 6, 40), (4, 17, 28), (4, 1, 28), (4, 47, 20), (6, 6, 60), (6, 17, 48), (6, 58, 48)],
)
def test_2_bytes_lie_between_minimum_and_maximum(version: int, protocol: int, minimum: int) -> None:
    def fits(packets: int, size: int) -> bool:
        trace = one_row("flow", ip_version=version, protocol=protocol, packets=packets, bytes=size)
        return bool(bytes_fit_packets(trace)[0])

    assert fits(3, 3 * minimum)
    assert not fits(3, 3 * minimum - 1)
    assert fits(3, 3 * 65535)
    assert not fits(3, 3 * 65535 + 1)
    assert not fits(0, 1)


def test_2_packets_are_summed_up_by_flow() -> None:
    trace = make_trace(
        "packet",
        {
            "time": np.arange(4),
            "ip_version": np.full(4, 4),
            "src_port": np.array([1, 1, 2, 2]),
            "protocol": np.full(4, 6),
            "length": np.array([30, 1500, 30, 40]),
        },
    )
    assert sorted(bytes_fit_packets(trace).tolist()) == [False, True]
    assert sizes_reach_minimum(trace).tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    ("kind", "protocol", "src_port", "dst_port", "valid"),
    [
        ("packet", 6, 50000, 80, True),
        ("packet", 17, 50000, 80, False),
        ("packet", 17, 80, 50000, False),
        ("packet", 17, 80, 53, True),
        ("packet", 17, 50000, 25, False),
        ("packet", 17, 50000, 443, True),
        ("packet", 6, 50000, 53, True),
        ("packet", 6, 50000, 123, False),
        ("packet", 17, 123, 123, True),
        ("packet", 1, 0, 0, True),
        ("packet", 47, 0, 8, False),
        ("flow", 1, 0, 2048, True),
        ("flow", 47, 0, 2048, False),
    ],
)
def test_3_ports_and_protocol_agree(kind: Kind, protocol: int, src_port: int, dst_port: int, valid: bool) -> None:
    trace = one_row(kind, protocol=protocol, src_port=src_port, dst_port=dst_port)
    assert ports_fit_protocol(trace).tolist() == [valid]


def test_4_a_later_fragment_needs_no_transport_header() -> None:
    assert minimum_packet(one_row(fragment_offset=185)).tolist() == [21]  # one byte at least
    assert sizes_reach_minimum(one_row(fragment_offset=185, length=28)).all()
    assert not sizes_reach_minimum(one_row(length=28)).any()


def test_flow_traces_have_no_test_of_packet_sizes() -> None:
    tests = [result.test[0] for result in consistency_tests(one_row("flow"))]
    assert tests == ["1", "2", "3"]


def test_a_real_packet_trace_passes_nearly_always(isp_packets: Trace) -> None:
    for result in consistency_tests(isp_packets):
        assert 0.98 < result.share <= 1, result


@pytest.mark.parametrize("kind", ["packet", "flow"])
def test_every_repaired_record_passes_every_test(kind: Kind) -> None:
    rng = np.random.default_rng(0)
    n = 5000
    services = np.array([0, 22, 53, 67, 80, 123, 443, 1900, 3306, 50_000])
    trace = make_trace(
        kind,
        {
            "time": np.arange(n),
            "ip_version": rng.choice([4, 6], n),
            **{name: rng.integers(0, 2**32, n) for name in ("src_hi", "src_lo", "dst_hi", "dst_lo")},
            "src_port": rng.choice(services, n),
            "dst_port": rng.choice(services, n),
            "protocol": rng.choice([1, 6, 17, 47, 58], n),
            **{name: rng.integers(0, 100_000, n) for name in ("length", "packets", "bytes", "duration")},
            "ttl": rng.integers(0, 256, n),
        },
    )
    assert any(result.share < 0.9 for result in consistency_tests(trace))
    repaired, _ = repair(trace)
    assert [result.share for result in consistency_tests(repaired)] == [1.0] * (4 if kind == "packet" else 3)
