"""What leaves a run: nothing in it, nor in what docs once called shareable, tells which input was learnt from."""

import hashlib
import itertools
import json
import stat

import numpy as np
import pytest

import netshare
from netshare.commands.main import main
from netshare.config.load import load_config
from netshare.fingerprints import array_fingerprint, file_fingerprint, fingerprint
from netshare.postprocess import write_trace
from netshare.preprocess import read_trace
from netshare.preprocess.errors import InputError
from netshare.synthesizer.recipes import recipe_for

pytestmark = pytest.mark.slow

TINY = {"epochs": 1, "metadata_state": 8, "record_state": 8, "condition": 8}
SEED = 748_159_263


@pytest.fixture(scope="module")
def private(tmp_path_factory, sample_netflow):
    """A folder with two inputs that differ in one flow, the config of the first, and its finished run."""
    folder = tmp_path_factory.mktemp("of-a-secret-place")
    trace = read_trace(sample_netflow, limit=900)
    begin = int(np.datetime64("2026-01-01T00:00:00", "ns").astype(np.int64))
    trace.columns["time"] = trace["time"] - int(trace["time"][0]) + begin
    write_trace(trace.take(slice(0, 587)), folder / "confidential.csv", format="netshare-csv")
    write_trace(trace.take(slice(0, 586)), folder / "candidate.csv", format="netshare-csv")
    write_trace(trace.take(slice(600, 900)), folder / "public.csv", format="netshare-csv")
    raw = {
        "input": str(folder / "confidential.csv"), "seed": SEED,
        "output": {"folder": str(folder / "run"), "formats": ["csv"]},
        "training": {"steps": 10}, "generator": {"autoregressive": TINY}, "generate": {"flows": 60},
        "privacy": {
            "epsilon": 4, "accountant": "rdp", "public": str(folder / "public.csv"),
            "bounds": {"begin": "2026-01-01T00:00:00Z", "seconds": 600, "units": 500, "max_records": 20},
        },
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(raw))
    assert main(["run", str(folder / "config.json"), "-q"]) == 0
    return folder


def shared(run):
    """The bytes of all that docs ever called shareable, by name."""
    places = [
        run / "manifest.json",
        *(p for name in ("models", "synthetic", "release") for p in (run / name).rglob("*")),
    ]
    return {str(path.relative_to(run)): path.read_bytes() for path in places if path.is_file()}


def keys_without_secret(folder, name, secret=b""):
    """The chain of stage keys of an input, as whoever has the config computes them."""
    config = load_config(folder / "config.json", [f"input={json.dumps(str(folder / name))}"])
    recipe = recipe_for(config)
    content = [(path.name, file_fingerprint(path)) for path in recipe.files()]
    keys = [fingerprint("trace", content, *recipe.settings("trace"), secret=secret)]
    for step in ("table", "chunks", "models", "generated", "synthetic"):
        keys.append(fingerprint(step, keys[-1], *recipe.settings(step), secret=secret))
    return keys


def test_a_guess_at_the_input_cannot_be_tested_without_the_secret(private):
    held = shared(private / "run")
    assert {"manifest.json", "models/stage.json", "models/000/result.json", "synthetic/stage.json"} <= set(held)
    for name in ("confidential.csv", "candidate.csv"):
        for key in keys_without_secret(private, name):
            assert not [file for file, content in held.items() if key.encode() in content]
    secret = (private / "run" / ".secret").read_bytes()
    right, wrong = (keys_without_secret(private, name, secret) for name in ("confidential.csv", "candidate.csv"))
    assert right[3].encode() in held["models/stage.json"]  # the attack would work with the secret
    assert wrong[3].encode() not in held["models/stage.json"]
    assert stat.S_IMODE((private / "run" / ".secret").stat().st_mode) == 0o600
    assert not [file for file, content in held.items() if secret in content or secret.hex().encode() in content]


def leaves(value):
    """All values of a JSON document, and the names of its objects."""
    if isinstance(value, dict):
        return [*value, *itertools.chain.from_iterable(map(leaves, value.values()))]
    return list(itertools.chain.from_iterable(map(leaves, value))) if isinstance(value, list) else [value]


def test_no_byte_of_the_release_tells_of_the_input_or_the_run(private):
    run, path = private / "run", private / "confidential.csv"
    trace, config = read_trace(path), private / "config.json"
    staged = [json.loads(p.read_text()) for p in run.rglob("stage.json")]
    result = json.loads((run / "models" / "000" / "result.json").read_text())
    texts = [
        path.name, path.stem, private.name, str(private), str(SEED), (run / "table" / "look.txt").read_text(),
        file_fingerprint(path), hashlib.sha256(path.read_bytes()).hexdigest(), array_fingerprint(trace.columns, trace.kind),
        file_fingerprint(config), hashlib.sha256(config.read_bytes()).hexdigest(),
        fingerprint(json.loads(config.read_text())), result["fingerprint"], repr(result["seconds"]),
        *(each[name] for each in staged for name in ("fingerprint", "finished")),
    ]  # fmt: skip
    released = {name: content for name, content in shared(run).items() if name.startswith("release/")}
    assert len(released) > 6
    told = [
        (name, text) for (name, content), text in itertools.product(released.items(), texts) if text.encode() in content
    ]
    assert not told
    documents = [json.loads(content) for name, content in released.items() if name.endswith(".json")]
    numbers = {path.stat().st_size, len(trace), *(each["peak_memory_bytes"] for each in staged)}
    numbers |= {each["seconds"] for each in staged if each["seconds"] > 1}
    found = [value for value in leaves(documents) if not isinstance(value, bool | str)]
    assert len(found) > 100 and not numbers.intersection(found)
    names = leaves([each for each in documents if "config" not in each])  # in the model's config the seed is 0
    assert not {"seed", "fingerprint", "peak_memory_bytes", "finished"}.intersection(names)


def test_the_release_holds_what_it_states_and_nothing_more(private):
    place = private / "run" / "release"
    statement, text = json.loads((place / "statement.json").read_text()), (place / "STATEMENT.txt").read_text()
    names = {str(p.relative_to(place)) for p in place.rglob("*") if p.is_file()}
    assert names == {*statement["files"], "statement.json", "STATEMENT.txt"}
    for name, entry in statement["files"].items():
        assert hashlib.sha256((place / name).read_bytes()).hexdigest() == entry["sha256"] and entry["sha256"] in text
    assert {
        "report.json",
        "synthetic/synthetic.csv",
        "model/synthesizer.json",
        "model/models/000/sampling.safetensors",
    } <= names
    assert statement["guarantee"] == "differential privacy" and statement["model_included"]
    assert statement["epsilon"] <= 4 and statement["all_looks_at_this_input"]["looks"] == 1
    assert statement["unit"] == "flow" and statement["neighbouring"] == "one unit added or removed"
    assert set(statement["public_data"]) == {"public.csv"}
    assert text.index("Protected is one flow") < text.index("In symbols")
    assert "trusted" in text and "1 private look(s)" in text and "C of noisy counts" in text


def test_the_released_report_does_not_compare_with_the_input(private):
    report = json.loads((private / "run" / "release" / "report.json").read_text())
    synthetic = read_trace(private / "run" / "release" / "synthetic" / "synthetic.csv")
    assert set(report) == {"records", "kind", "flows", "consistency", "repairs"}
    assert report["records"] == len(synthetic)


def test_the_released_model_draws_data(private):
    synthesizer = netshare.Synthesizer.load(private / "run" / "release" / "model")
    assert len(synthesizer.sample(20, seed=1)) > 0
    assert synthesizer.config.seed == 0 and synthesizer.config.privacy.public == "sample"


def test_another_seed_or_evaluation_does_not_look_again_and_fresh_is_charged(private, capfd, state_folder):
    """Runs with other settings and one that was interrupted are one look; --fresh is another, a limit refuses a third."""
    folder, looks = str(private / "again"), state_folder / "looks.jsonl"
    copied = private / "input-under-another-name.csv"  # an input of its own, of this test
    copied.write_bytes((private / "candidate.csv").read_bytes())
    base = [
        "preprocess",
        str(private / "config.json"),
        "--work-dir",
        folder,
        "--set",
        f"input={json.dumps(str(copied))}",
    ]
    before = len(looks.read_text().splitlines())
    settings = [[], ["seed=3"], ["evaluate.holdout=0.4"], ["evaluate.enabled=false"], ["privacy.lifetime_epsilon=9"]]
    tables = []
    for chosen in settings:
        assert main([*base, *(part for each in chosen for part in ("--set", each))]) == 0
        tables.append((private / "again" / "table" / "table.parquet").stat().st_mtime_ns)
    assert len(set(tables)) == 1 and len(looks.read_text().splitlines()) == before + 1
    assert "20% of the flows stay held back, not 40%" in " ".join(capfd.readouterr().err.split())
    table = private / "again" / "table"
    (table / "table.parquet").unlink()
    table.rename(table.with_name(f".table-{json.loads((table / 'stage.json').read_text())['fingerprint'][:12]}"))
    assert main([*base, "-q"]) == 0  # as after a kill: the same look goes on
    assert (table / "table.parquet").exists() and len(looks.read_text().splitlines()) == before + 1
    assert main([*base, "--fresh"]) == 0
    assert "2 private look(s) at this input in all" in capfd.readouterr().err
    assert main([*base, "--fresh", "-q", "--set", "privacy.lifetime_epsilon=6"]) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1 and "privacy.lifetime_epsilon is 6: 2 look(s)" in said
    assert not (private / "again" / "table").exists()


def test_a_run_that_is_not_private_releases_no_model_unless_asked_for(quick_run, tmp_path, capsys):
    assert main(["release", str(quick_run), "-o", str(tmp_path / "out"), "-q"]) == 0
    assert capsys.readouterr().out.strip().endswith("out")
    place = tmp_path / "out"
    assert {p.name for p in place.iterdir()} == {"STATEMENT.txt", "statement.json", "report.json", "synthetic"}
    assert "NO GUARANTEE" in (place / "STATEMENT.txt").read_text()
    report = json.loads((place / "report.json").read_text())
    assert report["comparison_with_the_input"]["geometric_mean_ratio"] > 0
    assert main(["release", str(quick_run), "-o", str(place), "-q"]) == 2
    assert "holds a release already" in capsys.readouterr().err
    assert main(["release", str(quick_run), "-o", str(place), "-q", "--force", "--with-models"]) == 0
    assert not list(place.rglob("five_tuples.npy"))
    assert len(netshare.Synthesizer.load(place / "model").sample(5, seed=1)) > 0


def test_where_a_release_cannot_be(quick_run, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("")
    for place, said in (
        (tmp_path / "thesis", "no release"),
        (quick_run / "models", "run folder"),
        (quick_run.parent, "no release"),
    ):
        with pytest.raises(InputError, match=said):
            netshare.release(quick_run, place, force=True)
    with pytest.raises(InputError, match="no trained models"):
        netshare.release(tmp_path / "thesis")
