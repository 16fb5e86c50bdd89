import re
from html.parser import HTMLParser

import numpy as np
import pytest

from netshare.evaluation import Provenance, Resampling, evaluate, split_by_flow
from netshare.evaluation.metrics.curves import cumulative, flag_text
from netshare.evaluation.render.html import to_html
from netshare.evaluation.render.svg import linear_ticks, short_number
from netshare.preprocess.trace import Trace
from tests.netshare.evaluation.evaluation_traces import HOST_BASE, flow_trace, packet_trace

VOID = {"meta", "br"}


class Balance(HTMLParser):
    """Follows open elements; a closing tag that does not fit, or one left open at the end, is a fault."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


REPAIRS = {"<rule>": 3, "ports": {"before": 4321, "after": 0, "rule": "ports <fit>"}}


@pytest.fixture(scope="module", params=["packet", "flow"])
def page(request: pytest.FixtureRequest) -> str:
    trace = packet_trace(600) if request.param == "packet" else flow_trace(2000, labels=("a<b>&c", "scan"))
    train, holdout = split_by_flow(trace, 0.5, 0)
    return to_html(
        evaluate(train, train, holdout, provenance=Provenance(None, REPAIRS, {"<script>": {"x": "<script>"}}))
    )


def test_the_page_is_well_formed(page: str) -> None:
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    assert parser.seen.count("svg") > 10
    assert parser.seen.count("script") == 1


def test_the_page_shows_repairs_before_and_after(page: str) -> None:
    assert re.search(r"&lt;rule&gt;</td><td></td>.*?>3</td>", page)
    assert re.search(r"ports &lt;fit&gt;</td><td[^>]*>4,321</td><td[^>]*>0</td>", page)


def test_the_page_needs_nothing_from_elsewhere(page: str) -> None:
    assert not re.search(r"https?:|//\w|src=|href=|url\(|@import|<link", page)
    assert len(page.encode()) < 1_500_000


def test_no_figure_is_missing(page: str) -> None:
    assert not re.search(r"\bnan\b|\binf\b|None", page)


def test_the_page_holds_no_address(page: str, trace_hosts: tuple[int, ...] = tuple(range(40))) -> None:
    numbers = set(re.findall(r"\d+", page))
    for host in trace_hosts:
        for base in (HOST_BASE, HOST_BASE + 0x100):
            assert str(base + host) not in numbers
    assert not re.search(r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b", page)


def test_a_wild_synthetic_value_does_not_squeeze_the_real_ones() -> None:
    train, holdout = split_by_flow(packet_trace(300), 0.5, 0)
    wild = Trace("packet", {**train.columns, "time": train["time"] * 10**5})
    page = to_html(evaluate(train, wild, holdout, resampling=Resampling(bootstrap=0)))
    chart = re.search(r"Arrival time \[PAT\]<br>.*?</svg>", page)
    assert chart
    ticks = [float(t) for t in re.findall(r'y="206">([\d.]+)<', chart.group())]
    assert max(ticks) < 20


def test_every_point_lies_within_its_chart(page: str) -> None:
    for points in re.findall(r'points="([^"]+)"', page):
        xy = np.array([[float(v) for v in point.split(",")] for point in points.split()])
        assert (xy >= [0, 0]).all()
        assert (xy <= [360, 230]).all()


def test_a_synthetic_burst_stays_within_the_chart() -> None:
    train, holdout = split_by_flow(packet_trace(300), 0.5, 0)
    burst = Trace("packet", {**train.columns, "time": np.full(len(train), train["time"][0])})
    test_every_point_lies_within_its_chart(to_html(evaluate(train, burst, holdout, resampling=Resampling(bootstrap=0))))


def test_distribution_functions_are_exact_when_small_and_thinned_when_large() -> None:
    x, y = cumulative(np.array([3, 1, 1, 2]))
    assert (x.tolist(), y.tolist()) == ([1, 2, 3], [0.5, 0.75, 1])
    x, y = cumulative(np.random.default_rng(0).exponential(size=100_000))
    assert len(x) < 200
    assert y[-1] == 1
    assert np.interp(1.0, x, y) == pytest.approx(1 - np.exp(-1), abs=0.01)


def test_tick_labels_are_short() -> None:
    assert [short_number(v) for v in (0, 0.001, 3, 1500, 2e6, 5e9)] == ["0", "0.001", "3", "1.5k", "2M", "5G"]
    assert linear_ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert flag_text(0x12) == "SA"
