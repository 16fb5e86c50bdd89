"""A comparison's table, summary and files, from results that are written down here."""

import json
from pathlib import Path

import pytest

from netshare.comparison.report import write_reports
from netshare.comparison.rows import Failed
from netshare.comparison.table import HEADS, Comparison, cells, format_markdown, format_table, mean_emd, summary
from tests.netshare.comparison.rows import measured


@pytest.fixture
def result(tmp_path: Path) -> Comparison:
    rows = (
        measured("ours", ratio=1.5, rank=1, family="ours", emd={"length": 1.0, "ttl": 2.0}),
        measured("near", ratio=2.0, rank=2, emd={"length": 2.0, "ttl": 4.0}),
        measured("far", ratio=4.0, rank=3, emd={"length": 3.0, "ttl": 6.0}),
        measured("copier", ratio=1.0, copies=True, emd={"length": 1.0, "ttl": 2.0}),
        Failed("broken", "Broken", "rows", "loss became nan", "key"),
    )
    return Comparison("campus.pcap", "packet", 60.0, 7, 10_000, 500, rows, tmp_path)


def test_a_line_a_method_and_a_cell_a_head(result):
    table = cells(result)
    assert [len(line) for line in table] == [len(HEADS)] * 5
    first = dict(zip(HEADS, table[0], strict=True))
    assert (first["rank"], first["mean distance"], first["steps"], first["records"]) == ("1", "1.50", "1,234", "2,000")
    assert first["triples copied"].startswith("25") and first["hosts copied"].startswith("n/a")
    assert first["lowest consistency"].startswith("50")
    assert table[3][0] == "-" and table[4][:4] == ("-", "broken", "rows", "failed")


def test_the_papers_emd_is_scaled_over_all_methods_of_the_table(result):
    assert mean_emd(result.measured) == pytest.approx({"ours": 0.1, "near": 0.5, "far": 0.9, "copier": 0.1})


def test_the_summary_compares_ours_with_the_mean_of_the_others(result):
    first, lower = summary(result)
    assert first == "First: ours, at 1.50 times the floor."
    mean = (2.0 + 4.0 + 1.0) / 3
    assert f"mean distance {1 - 1.5 / mean:.0%}" in lower and "of the 3 baselines" in lower
    nothing = Comparison("x", "flow", 1, 0, 1, 1, result.rows[3:], result.folder)
    assert summary(nothing) == ["No method is ranked: every one copies or failed."]


def test_terminal_markdown_and_files_name_every_method(result):
    write_reports(result)
    whole = json.loads((result.folder / "results.json").read_text())
    assert whole["summary"] == summary(result) and whole["methods"][4]["failed"] == "loss became nan"
    assert whole["methods"][1]["mean_emd"] == pytest.approx(0.5)
    assert (result.folder / "table.md").read_text() == format_markdown(result)
    page = (result.folder / "compare.html").read_text()
    for text in (format_table(result), format_markdown(result), page):
        assert all(line.method in text for line in result.rows[:4])
    assert "broken failed: loss became nan" in format_table(result)


def test_a_page_of_failures_alone_says_so(result):
    write_reports(Comparison("x", "flow", 1, 0, 1, 1, result.rows[4:], result.folder))
    assert "No method came to an end." in (result.folder / "compare.html").read_text()
