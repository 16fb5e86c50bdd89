"""Real reports are valid under the published schema, and the published copy is the schema."""

import json
from pathlib import Path

import pytest

from netshare.commands.main import main
from netshare.evaluation import Resampling, evaluate, split_by_flow, write_json
from netshare.evaluation.evaluate_series import evaluate_series
from netshare.evaluation.figures.schema import report_schema
from tests.netshare.evaluation.evaluation_traces import flow_trace, packet_trace
from tests.netshare.evaluation.test_series_report import series

jsonschema = pytest.importorskip("jsonschema", reason="comes with ray; validates reports")
PUBLISHED = Path(__file__).parents[3] / "docs" / "report.schema.json"


@pytest.mark.parametrize("trace", [packet_trace(400), flow_trace(800)], ids=["packets", "flows"])
def test_reports_on_traces_are_valid(trace, tmp_path):
    train, holdout = split_by_flow(trace, 0.5, 0)
    for report in (
        evaluate(train, holdout, holdout),
        evaluate(train, holdout, tasks=None, resampling=Resampling(0, 0)),
    ):
        write_json(report, tmp_path / "report.json", force=True)
        written = json.loads((tmp_path / "report.json").read_text())
        jsonschema.Draft202012Validator(report_schema()).validate(written)
    written["distances"][0]["ratio"] = "near"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(written, report_schema())


def test_reports_on_series_are_valid_and_hold_intervals(tmp_path):
    report = evaluate_series(series(60, 1), series(60, 2), series(60, 3), redraws=5)
    for row in report.distances:
        assert row.interval is not None and row.interval[0] <= row.synthetic <= row.interval[1]
    assert report.ratio_interval[0] < report.ratio < report.ratio_interval[1]
    write_json(report, tmp_path / "report.json")
    jsonschema.validate(json.loads((tmp_path / "report.json").read_text()), report_schema())


def test_the_published_schema_is_what_the_command_prints(capsys):
    assert main(["schema", "--report"]) == 0
    printed = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(printed)
    assert printed == json.loads(PUBLISHED.read_text()), "run `netshare schema --report > docs/report.schema.json`"
