"""A private run from end to end: what it keeps may not tell whether a unit was there."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from netshare.commands.main import main
from netshare.config.load import load_config
from netshare.postprocess import write_trace
from netshare.preprocess import read_trace
from netshare.preprocess.errors import ConfigError
from netshare.preprocess.flows import group_flows
from netshare.runs.pipeline import run

pytestmark = pytest.mark.slow

NEVER_SAME = {"seconds", "peak_memory_bytes", "finished", "time", "outputs", "fingerprint"}
PRIVATE_DATA = ("trace/", "chunks/000/", "chunks/001/", "chunks/002/")  # the encoded input itself: never released
PRIVATE_OUTPUT = ("models/000/", "models/001/", "models/002/", "generated/", "synthetic/")  # charged in the ledger
PRIVATE_OUTPUT += ("release/",)  # these again, and what follows from them
RANDOM = (".lock", ".secret", "look.txt")
NOISY = {"flows", "starting", "series"}  # counts: charged too


TINY = {"epochs": 1, "metadata_state": 8, "record_state": 8, "condition": 8}


def settings(trace: Path, folder: Path, **privacy):
    return {
        "input": str(trace),
        "output": {"folder": str(folder)},
        "chunks": {"count": 3},
        "training": {"steps": 2},
        "generator": {"autoregressive": TINY},
        "evaluate": {"enabled": False},
        "generate": {"flows": 50},
        "privacy": {
            "epsilon": 8, "method": "gradients", "accountant": "rdp", "batch": 30, "secure_rng": False,
            "bounds": {"begin": "2026-01-01T00:00:00Z", "seconds": 120, "units": 1000, "max_records": 20},
            **privacy,
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def neighbours(tmp_path_factory, sample_netflow, sample_capture) -> tuple[Path, Path]:
    """The run folders of an input and of the same input without the flow that has the most records."""
    folder = tmp_path_factory.mktemp("neighbours")
    trace = read_trace(sample_netflow, limit=1500)
    begin = int(np.datetime64("2026-01-01T00:00:00", "ns").astype(np.int64))
    trace.columns["time"] = trace["time"] - int(trace["time"][0]) + begin
    flows = group_flows(trace)
    gone = flows.order[flows.offsets[(longest := int(flows.lengths.argmax()))] : flows.offsets[longest + 1]]
    public = folder / "public.csv"
    write_trace(read_trace(sample_netflow, limit=600).take(slice(300, 600)), public, format="netshare-csv")
    folders = []
    for name, some in (("with", trace), ("without", trace.take(np.setdiff1d(np.arange(len(trace)), gone)))):
        path = folder / f"{name}.csv"
        write_trace(some, path, format="netshare-csv")
        run(load_config(settings(path, folder / f"{name}-run", public=str(public))), until="postprocess")
        folders.append(folder / f"{name}-run")
    return folders[0], folders[1]


def persisted(folder: Path) -> dict[str, object]:
    """Every file that is neither private data nor a charged output; JSON without times, names and noisy counts."""
    found: dict[str, object] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in RANDOM):
        name = str(path.relative_to(folder))
        if name.startswith((*PRIVATE_DATA, *PRIVATE_OUTPUT)) or "tensorboard" in name:
            continue
        if path.suffix in (".json", ".jsonl"):
            lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
            found[name] = [_constants(json.loads(line), str(folder)) for line in lines]
        else:
            found[name] = path.read_bytes().replace(b"without-run", b"R").replace(b"with-run", b"R")
    return found


def _constants(value, folder):
    if isinstance(value, dict):
        return {k: _constants(v, folder) for k, v in value.items() if k not in NEVER_SAME | NOISY}
    if isinstance(value, list):
        return [_constants(v, folder) for v in value]
    return (
        value.replace("without.csv", "X").replace("with.csv", "X").replace(folder, "RUN")
        if isinstance(value, str)
        else value
    )


def _faster(value):
    """Figures of speed are no constants."""
    if isinstance(value, dict):
        return {k: _faster(v) for k, v in value.items() if k != "records_per_second"}
    return [_faster(v) for v in value] if isinstance(value, list) else value


def test_taking_a_unit_away_changes_no_public_constant(neighbours):
    one, other = (_faster(persisted(folder)) for folder in neighbours)
    assert set(one) == set(other)
    assert {"chunks/codec.json", "chunks/chunks.json", "models/privacy.json", "models/config.json"} <= set(one)
    assert any(name.startswith("models/public/") for name in one)
    for name, value in one.items():
        assert value == other[name], name


def test_the_folders_have_the_same_files_throughout(neighbours):
    def names(folder):
        return {str(p.relative_to(folder)) for p in folder.rglob("*") if "tensorboard" not in str(p)}

    assert names(neighbours[0]) == names(neighbours[1])


def test_noise_is_the_same_so_that_models_differ_by_the_unit_alone(neighbours):
    counts = [json.loads((f / "chunks" / "chunks.json").read_text())["chunks"] for f in neighbours]
    difference = sum(counts[0][k]["starting"] - counts[1][k]["starting"] for k in counts[0])
    assert difference == 1  # one flow; the seeded noise cancels
    for chunk in counts[0]:  # nothing is ledger of the data in training
        assert json.loads((neighbours[0] / "models" / f"00{chunk}" / "result.json").read_text())["losses"] == {}


def test_the_manifest_keeps_the_ledger(neighbours):
    ledger = json.loads((neighbours[0] / "manifest.json").read_text())["privacy"]
    assert ledger["epsilon"] == 8 and ledger["epsilon_spent"] <= 8 and ledger["secure_rng"] is False
    assert [m["steps"] for m in ledger["mechanisms"]] == [1, 6]
    assert ledger["pretrained_on"]


def test_the_statement_says_what_the_ledger_proves(neighbours, capsys):
    assert main(["privacy", "statement", str(neighbours[0])]) == 0
    printed = capsys.readouterr().out
    ledger = json.loads((neighbours[0] / "models" / "privacy.json").read_text())
    assert printed.strip() == (neighbours[0] / "PRIVACY.txt").read_text().strip()
    assert "NO GUARANTEE" in printed  # its noise came from a seed
    assert f"e^{ledger['epsilon_spent']:.4g}" in printed and "one flow" in printed and "120 s" in printed
    assert main(["privacy", "statement", str(neighbours[0]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ledger


def test_a_run_without_privacy_has_no_statement(quick_run, tmp_path, capsys):
    assert main(["privacy", "statement", str(quick_run)]) == 2
    assert "not private" in capsys.readouterr().err
    assert main(["privacy", "statement", str(tmp_path / "nowhere")]) == 2
    assert "no ledger" in capsys.readouterr().err


def test_what_would_look_at_the_input_once_more_is_refused(neighbours, tmp_path, capsys):
    options = ["--uniform", "protocol", "-o", str(tmp_path / "new")]
    assert main(["retrain-metadata", str(neighbours[0]), *options]) == 2
    assert "private run" in capsys.readouterr().err


def test_models_hold_no_training_rows(neighbours):
    from safetensors.torch import load_file

    assert load_file(neighbours[0] / "models" / "000" / "sampling.safetensors")["metadata.memory"].numel() == 0


def test_a_private_packet_run_by_host_with_noise_from_the_system(tmp_path, sample_capture):
    trace = read_trace(sample_capture, limit=800)
    path = tmp_path / "private.pcap"
    write_trace(trace, path)
    begin = str(np.datetime64(int(trace["time"][0]) // 10**9, "s")) + "Z"
    raw = settings(path, tmp_path / "run", unit="host", secure_rng=True, public=None, max_flows_per_unit=4)
    raw["privacy"]["bounds"] |= {"begin": begin, "units": 30, "hosts": ["0.0.0.0/1", "::/0"]}
    raw["evaluate"] = {"enabled": True}
    result = run(load_config(raw))
    assert len(read_trace(next(p for p in result.outputs if p.suffix == ".pcap"))) > 0
    assert "NOT covered" in json.loads((result.report.parent / "report.json").read_text())["notes"][0]


def test_a_public_trace_that_is_the_input_is_refused(tmp_path, sample_netflow):
    copied, repacked = tmp_path / "copy.csv.gz", tmp_path / "again.csv"
    copied.write_bytes(sample_netflow.read_bytes())
    repacked.write_bytes(gzip.decompress(sample_netflow.read_bytes()))
    for public in (sample_netflow, copied, repacked):
        with pytest.raises(ConfigError, match=r"privacy\.public"):
            run(load_config(settings(sample_netflow, tmp_path / "run", public=str(public))), until="preprocess")


def test_a_measured_encoding_is_refused_in_one_line(tmp_path, sample_netflow, capsys):
    raw = settings(sample_netflow, tmp_path / "run", public=None)
    raw["fields"] = {"encodings": {"bytes": "tokens"}}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(raw))
    other = tmp_path / "other.csv"
    write_trace(read_trace(sample_netflow, limit=500), other, format="netshare-csv")
    assert main(["preprocess", str(path), "-q", "--set", f"input={json.dumps(str(other))}"]) == 2
    printed = capsys.readouterr().err
    assert "fields.encodings.bytes" in printed and printed.count("\n") == 1
