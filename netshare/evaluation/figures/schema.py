"""The JSON Schema of `evaluate`'s reports, for programs that read them: `netshare schema --report`.

It is derived from the dataclasses that the reports are made of, so that it cannot lag behind them; `docs/report.schema.json`
is its published copy. A figure that does not exist is null. Keys are only ever added within one `schema_version`.
"""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from netshare.evaluation.figures.findings import TraceSize
from netshare.evaluation.figures.json_values import SCHEMA_VERSION
from netshare.evaluation.metrics.consistency import TestResult
from netshare.evaluation.metrics.copying import CopyShare
from netshare.evaluation.metrics.distance_rows import DistanceRow, PaperMean
from netshare.evaluation.metrics.plugins import PluginFailure, PluginFigure
from netshare.evaluation.tasks.section import Table, Verdict

Schema = dict[str, Any]
FIGURE: Schema = {"type": ["number", "null"]}
INTERVAL: Schema = {
    "description": "95% confidence interval, lower and upper bound",
    "anyOf": [{"type": "array", "items": FIGURE, "minItems": 2, "maxItems": 2}, {"type": "null"}],
}
TEXTS: Schema = {"type": "array", "items": {"type": "string"}}
ANYTHING: Schema = {"type": "object"}


def report_schema() -> Schema:
    """Draft 2020-12 schema of the report on a trace, and of that on time series."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "netshare evaluation report",
        "description": "What `netshare evaluate --json` writes, and report/report.json of a run.",
        "oneOf": [_trace_report(), _series_report()],
        "$defs": {
            "distance": _of(
                DistanceRow, interval=INTERVAL, ratio_interval=INTERVAL, floor_interval=INTERVAL,
                to_train_interval=INTERVAL,
            ),
            "size": _of(TraceSize),
            "paper_mean": _of(PaperMean, mean_jsd_interval=INTERVAL, mean_emd_scaled_interval=INTERVAL),
            "copying": _of(
                CopyShare, share=FIGURE, interval=INTERVAL, holdout_share=FIGURE, holdout_interval=INTERVAL,
                suspicious={"type": "boolean"},
            ),
            "consistency": _of(TestResult, share=FIGURE, interval=INTERVAL),
            "use": _of(Verdict),
            "section": _section(),
            "plugins": _closed(
                figures={
                    "type": "array",
                    "items": _of(PluginFigure, interval=INTERVAL, floor_interval=INTERVAL),
                },
                failures={"type": "array", "items": _of(PluginFailure)},
            ),
        },
    }  # fmt: skip


def _trace_report() -> Schema:
    return _closed(
        schema_version={"const": SCHEMA_VERSION},
        kind={"enum": ["packet", "flow"]},
        seed={"type": "integer"},
        bootstraps={"type": "integer", "minimum": 0},
        sizes=_each("size"),
        notes=TEXTS,
        geometric_mean_ratio=FIGURE,
        geometric_mean_ratio_interval=INTERVAL,
        geometric_mean_ratio_bootstrap=FIGURE,
        distances=_list("distance"),
        paper_distances=_list("distance"),
        paper_means=_list("paper_mean"),
        copying=_list("copying"),
        consistency={"type": "object", "additionalProperties": _list("consistency")},
        tasks=_each("section"),
        uses=_list("use"),
        plugins=_ref("plugins"),
        repairs=ANYTHING,
        extra=ANYTHING,
    )


def _series_report() -> Schema:
    counts = ("records", "series", "compared_records", "compared_series")
    return _closed(
        schema_version={"const": SCHEMA_VERSION},
        kind={"const": "series"},
        seed={"type": "integer"},
        sizes={"type": "object", "additionalProperties": _closed(**{name: {"type": "integer"} for name in counts})},
        notes=TEXTS,
        geometric_mean_ratio=FIGURE,
        geometric_mean_ratio_interval=INTERVAL,
        distances=_list("distance"),
        autocorrelation_errors=ANYTHING,
        neighbours=_ref("section"),
        plugins=_ref("plugins"),
        extra=ANYTHING,
    )


def _section() -> Schema:
    cell = {"type": ["string", "number", "null"]}
    rows = {"type": "array", "items": {"type": "array", "items": cell}}
    return _closed(
        title={"type": "string"},
        text={"type": "string"},
        tables={"type": "array", "items": _of(Table, heads=TEXTS, rows=rows)},
        verdicts=_list("use"),
        figures=ANYTHING,
        records={"type": "object", "additionalProperties": {"type": "integer"}},
    )


def _of(kind: type, **more: Schema) -> Schema:
    """A dataclass as JSON has it: every field there, numbers that do not exist null; `more` replaces and adds."""
    plain = TypeAdapter(kind).json_schema()["properties"]
    return _closed(**{name: _field(schema) for name, schema in plain.items()} | more)


def _field(schema: Schema) -> Schema:
    kept = {key: value for key, value in schema.items() if key not in ("title", "default")}
    return FIGURE if kept.get("type") == "number" else kept


def _closed(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _list(name: str) -> Schema:
    return {"type": "array", "items": _ref(name)}


def _each(name: str) -> Schema:
    return {"type": "object", "additionalProperties": _ref(name)}
