"""Metrics of other distributions: found by their entry points, computed beside the floor, and never in the way."""

import json
from pathlib import Path

import numpy as np
import pytest

from netshare.evaluation import Metric, Resampling, evaluate, split_by_flow
from netshare.evaluation.figures.schema import report_schema
from netshare.preprocess.errors import ConfigError
from netshare.preprocess.trace import Trace
from tests.netshare.evaluation.evaluation_traces import flow_trace, packet_trace
from tests.netshare.evaluation.test_series_report import series

ENTROPY = """
import numpy as np
from netshare.evaluation import Metric

def difference(real, synthetic):
    return {port: abs(entropy(real[port]) - entropy(synthetic[port])) for port in ("src_port", "dst_port")}

def entropy(values):
    share = np.unique(values, return_counts=True)[1] / len(values)
    return float(-(share * np.log2(share)).sum())

PORTS = Metric("port-entropy", "Entropy of ports, difference in bits", difference)
"""
FAST = Resampling(bootstrap=0, redraws=3)


def install(folder: Path, name: str, source: str, **entries: str) -> None:
    """A distribution as an installer leaves it: a module, and a dist-info folder beside it."""
    (folder / f"{name}.py").write_text(source)
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    lines = [f"{entry.replace('_', '-')} = {name}:{value}" for entry, value in entries.items()]
    (info / "entry_points.txt").write_text("\n".join(["[netshare.metrics]", *lines]) + "\n")


@pytest.fixture
def parts() -> tuple[Trace, Trace, Trace]:
    first, rest = split_by_flow(packet_trace(600), 1 / 3, 0)
    return (first, *split_by_flow(rest, 0.5, 1))


def entropy(values: np.ndarray) -> float:
    share = np.unique(values, return_counts=True)[1] / len(values)
    return float(-(share * np.log2(share)).sum())


def test_an_installed_metric_stands_in_every_form_of_the_report(tmp_path, monkeypatch, parts):
    train, holdout, synthetic = parts
    without = evaluate(train, synthetic, holdout, resampling=FAST, tasks=["pairs"])
    assert not without.plugins
    install(tmp_path, "netshare_port_entropy", ENTROPY, port_entropy="PORTS")
    monkeypatch.syspath_prepend(tmp_path)
    report = evaluate(train, synthetic, holdout, resampling=FAST, tasks=["pairs"])
    found = {figure.figure: figure for figure in report.plugins.figures}
    assert list(found) == ["src_port", "dst_port"]
    whole = report.to_json()
    assert {**whole, "plugins": None} == {**without.to_json(), "plugins": None}  # nothing else has changed
    for figure in found.values():
        assert (figure.distribution, figure.lower_is_better) == ("netshare_port_entropy 1.2", True)
        assert figure.interval[0] < figure.synthetic < figure.interval[1]
        assert figure.floor_interval[0] < figure.floor < figure.floor_interval[1]
        assert figure.n_synthetic == report.sizes["synthetic"].compared_records
    assert [each["figure"] for each in whole["plugins"]["figures"]] == list(found)
    report.to_html(tmp_path / "report.html")
    report.to_markdown(tmp_path / "report.md")
    page, tables = ((tmp_path / name).read_text() for name in ("report.html", "report.md"))
    assert "<h2>Plugins</h2>" in page and "Entropy of ports, difference in bits: dst_port" in page
    assert "## Plugins" in tables and f"{found['dst_port'].synthetic:.4g}" in tables
    assert "netshare_port_entropy 1.2" in report.summary()
    jsonschema = pytest.importorskip("jsonschema", reason="comes with ray; validates reports")
    jsonschema.validate(json.loads(json.dumps(whole)), report_schema())


def test_a_metric_is_of_s_against_b_and_of_a_against_b(parts):
    train, holdout, _ = parts

    def longer(real: Trace, synthetic: Trace) -> float:
        return float(synthetic["length"].mean() - real["length"].mean())

    metric = Metric("longer", "Mean length, difference in bytes", longer)
    size = evaluate(train, train, holdout, resampling=FAST, tasks=None, metrics=[metric]).plugins.figures[0]
    assert (size.figure, size.distribution) == ("", "given in memory")
    same = evaluate(holdout, holdout, holdout, resampling=FAST, tasks=None, metrics=[metric]).plugins.figures[0]
    assert (same.synthetic, same.floor) == (0, 0)
    assert same.interval[0] < 0 < same.interval[1]
    assert size.label == "Mean length, difference in bytes"
    bare = Resampling(bootstrap=0, redraws=0)
    assert (
        evaluate(train, train, holdout, resampling=bare, tasks=None, metrics=[metric]).plugins.figures[0].interval
        is None
    )


@pytest.mark.parametrize(
    ("source", "value", "reason"),
    [
        ("X = 3", "X", "netshare_bad_{n}:X is int; name a netshare.evaluation.Metric"),
        ("import a_module_that_is_missing", "X", "No module named 'a_module_that_is_missing'"),
        ("", "X", "has no attribute 'X'"),
        ("from netshare.evaluation import Metric\nX = Metric('x', 'X', lambda a, b: 1 / 0)", "X", "division by zero"),
        ("from netshare.evaluation import Metric\nX = Metric('x', 'X', lambda a, b: 'near')", "X", "it returned str"),
        ("from netshare.evaluation import Metric\nX = Metric('x', 'X', lambda a, b: {})", "X", "returned no figure"),
        ("from netshare.evaluation import Metric\nX = Metric('x', 'X', lambda a, b: {str(id(b)): 1})", "X", "another"),
        ("raise ValueError('two\\nlines')", "X", "ValueError: two lines"),
    ],
    ids=range(8),
)
def test_one_that_fails_is_named_with_its_distribution_and_the_rest_goes_on(
    tmp_path, monkeypatch, parts, request, source, value, reason
):
    name = f"netshare_bad_{request.node.callspec.id}"
    install(tmp_path, name, source, broken=value)
    good = f"netshare_good_{request.node.callspec.id}"
    install(tmp_path, good, ENTROPY, fine="PORTS")
    monkeypatch.syspath_prepend(tmp_path)
    train, holdout, synthetic = parts
    report = evaluate(train, synthetic, holdout, resampling=FAST, tasks=None)
    assert [figure.distribution for figure in report.plugins.figures] == [f"{good} 1.2"] * 2
    (failure,) = report.plugins.failures
    assert (failure.metric, failure.distribution) == ("broken", f"{name} 1.2")
    assert reason.format(n=request.node.callspec.id) in failure.reason
    assert "\n" not in failure.line
    assert failure.line.startswith(f"The metric broken of {name} 1.2 failed and is left out: ")
    assert failure.line[:60] in report.summary()
    report.to_html(tmp_path / "report.html")
    assert f"The metric broken of {name} 1.2 failed" in (tmp_path / "report.html").read_text()
    assert f"The metric broken of {name} 1.2 failed" in report._repr_html_()


def test_a_metric_is_computed_for_its_kinds_only():
    packets_only = Metric("p", "P", lambda real, synthetic: 0.0, kinds=["packet"])
    of_series = Metric("s", "S", lambda real, synthetic: abs(len(real) - len(synthetic)), kinds=["series"])
    trace = flow_trace(120)
    assert not evaluate(trace, trace, trace, resampling=FAST, tasks=None, metrics=[packets_only, of_series]).plugins
    report = evaluate(series(40, 1), series(40, 2), series(40, 3), resampling=FAST, metrics=[packets_only, of_series])
    (figure,) = report.plugins.figures
    assert (figure.metric, figure.synthetic, figure.n_synthetic) == ("s", 0, 40)


@pytest.mark.parametrize("wrong", [{"name": ""}, {"kinds": ["pcap"]}, {"kinds": "packet"}, {"kinds": ()}])
def test_a_declaration_that_means_nothing_is_refused(wrong):
    with pytest.raises(ConfigError, match="metric"):
        Metric(**{"name": "x", "title": "X", "function": lambda a, b: 0.0, **wrong})
