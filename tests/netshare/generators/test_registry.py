"""Kinds of generators: our own, and one that another distribution adds, from its entry point to a trained model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from netshare.generators.registry import GeneratorChoice, kinds, spec_of
from netshare.preprocess.errors import ConfigError

SPEC = '''
"""A generator that draws rows of the training data again."""
from pydantic import BaseModel, ConfigDict, Field
from netshare.generators.spec import GeneratorSpec

class ResamplerSettings(BaseModel):
    """How rows are drawn again."""
    model_config = ConfigDict(extra="forbid", frozen=True)
    share: float = Field(1.0, gt=0, le=1, description="Share of the rows that are kept.")

def create(schema, settings, *, device):
    from third_party.generator import Resampler
    return Resampler(schema, settings, device)

SPEC = GeneratorSpec(
    kind="resampler", summary="draws rows again", settings=ResamplerSettings, create=create,
    style="autoregressive", segment_records=50, seed_steps=2, finetune_steps=2,
)
'''
GENERATOR = """
import numpy as np
import torch
from netshare.generators.base import Generator, check_lengths

class Resampler(Generator):
    def __init__(self, schema, settings, device):
        super().__init__(schema, device)
        self.settings, self.rows, self.max_steps = settings, torch.zeros(0, len(schema.metadata)), 0

    def prepare(self, data, *, seed, steps, initial_weights=None):
        kept = round(self.settings.share * len(data))
        self.rows, self.max_steps, self.steps_done = torch.from_numpy(data.metadata[:kept].copy()), steps, 0

    done = property(lambda self: self.steps_done >= self.max_steps)
    max_steps = 0

    def step(self):
        self.steps_done += 1
        return {"records": 1.0}

    def training_state(self):
        return {"rows": self.rows}, {"steps_done": self.steps_done}

    def restore(self, tensors, scalars):
        self.rows, self.steps_done = tensors["rows"], scalars["steps_done"]

    def training_weights(self):
        return {"rows": self.rows}

    sampling_weights = training_weights

    def load_sampling_weights(self, weights):
        self.rows = weights["rows"]

    def sample_metadata(self, n, *, seed):
        return self.rows.numpy()[np.random.default_rng(seed).integers(len(self.rows), size=n)]

    def sample_measurements(self, metadata, *, seed, lengths=None):
        n = len(metadata)
        lengths = np.ones(n, np.int64) if lengths is None else check_lengths(lengths, n, self.schema.max_length)
        offsets = np.append(0, np.cumsum(lengths))
        return np.zeros((offsets[-1], len(self.schema.measurements)), np.float32), offsets
"""

REFERENCE = """
import json
from netshare.config.docs import config_markdown
from netshare.config.load import load_config
from netshare.config.schema import config_schema
from netshare.preprocess.errors import ConfigError

found = [config_markdown(), config_schema()["$defs"]]
for text in ("generator.resampler.share=2", "generator.resampler.shares=1"):
    try:
        load_config({"input": "x.csv", "preset": "netflow"}, [text])
    except ConfigError as error:
        found.append(str(error))
print(json.dumps(found))
"""
KINDS = """
from netshare.generators.registry import kinds
from netshare.preprocess.errors import ConfigError

try:
    kinds()
except ConfigError as error:
    print(error)
"""


def install(folder: Path, entry: str, **modules: str) -> dict[str, str]:
    """A distribution with one entry point, lying in `folder` as pip would put it; the environment that sees it."""
    information = folder / "third_party_traces-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party-traces\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[netshare.generators]\n{entry}\n")
    (folder / "third_party").mkdir()
    for name, text in {"__init__": "", **modules}.items():
        (folder / "third_party" / f"{name}.py").write_text(text)
    path = os.pathsep.join([str(folder), str(Path(__file__).parents[3])])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def python(environment: dict[str, str], *command: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, timeout=200)


def test_a_generator_of_another_distribution_is_configured_trained_and_sampled(sample_capture, tmp_path):
    environment = install(tmp_path / "site", "resampler = third_party.spec:SPEC", spec=SPEC, generator=GENERATOR)
    config, folder = tmp_path / "config.json", tmp_path / "run"
    quick = {"chunks": {"count": 2}, "cluster": {"mode": "inline"}, "evaluate": {"enabled": False}}
    value = {"input": {"files": [str(sample_capture)], "limit": 1500}, "generator": {"kind": "resampler"}, **quick}
    config.write_text(json.dumps(value))
    command = ["-m", "netshare", "run", str(config), "--work-dir", str(folder), "--set"]
    done = python(environment, *command, "generator.resampler.share=0.5")
    assert done.returncode == 0, done.stderr
    results = [json.loads(path.read_text()) for path in sorted(folder.glob("models/*/result.json"))]
    assert [result["steps"] for result in results] == [2, 2]
    assert (folder / "synthetic" / "synthetic.pcap").stat().st_size > 1000
    kept = json.loads((folder / "models" / "config.json").read_text())["generator"]
    assert kept["resampler"] == {"share": 0.5}


def test_a_generator_of_another_distribution_is_checked_and_documented(tmp_path):
    environment = install(tmp_path / "site", "resampler = third_party.spec:SPEC", spec=SPEC, generator=GENERATOR)
    done = python(environment, "-c", REFERENCE)
    assert done.returncode == 0, done.stderr
    reference, schema, *refusals = json.loads(done.stdout)
    assert "## generator.resampler" in reference
    assert "Share of the rows that are kept." in reference
    assert "resampler" in schema["GeneratorSection"]["properties"]["kind"]["enum"]
    assert schema["ResamplerSettings"]["properties"]["share"]["maximum"] == 1
    assert refusals == [
        "config: generator.resampler.share is 2: input should be less than or equal to 1",
        "config: generator.resampler.shares is not a known key; did you mean share?",
    ]


@pytest.mark.parametrize(
    ("entry", "module", "message"),
    [
        ("mine = third_party.spec:SPEC", "import nothing_of_that_name", "cannot be imported (ModuleNotFoundError: No"),
        ("mine = third_party.spec:SPEC", "SPEC = 3", "is a int, not a GeneratorSpec"),
        ("mine = third_party.spec:MISSING", "", "cannot be imported (AttributeError"),
        (
            "resampler = third_party.spec:SPEC",
            SPEC.replace('"resampler"', '"doppelganger"'),
            "a kind of that name exists",
        ),
        (
            "resampler = third_party.spec:SPEC",
            SPEC.replace('"resampler"', '"kind"'),
            "it needs a plain name of its own",
        ),
    ],
    ids=["import", "type", "attribute", "taken", "reserved"],
)
def test_a_generator_that_cannot_be_used_is_one_line_that_names_the_distribution(tmp_path, entry, module, message):
    environment = install(tmp_path / "site", entry, spec=module)
    done = python(environment, "-c", KINDS)
    assert (done.returncode, len(done.stdout.strip().splitlines())) == (0, 1), done.stderr
    assert "the distribution third-party-traces" in done.stdout
    assert message in done.stdout


def test_declarations_load_no_torch():
    script = "import sys, netshare.config.schema; assert 'torch' not in sys.modules"
    done = python({**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}, "-c", script)
    assert done.returncode == 0, done.stderr


def test_an_unknown_kind_is_named_with_its_nearest_name():
    with pytest.raises(ConfigError, match="did you mean doppelganger"):
        spec_of("dopelganger")
    with pytest.raises(ConfigError, match=f"choose of {kinds()[0]}"):
        spec_of("xyz")


@pytest.mark.parametrize("kind", kinds())
def test_a_choice_survives_json_and_describes_its_settings(kind):
    choice = GeneratorChoice(kind, spec_of(kind).settings())
    assert GeneratorChoice.from_json(json.loads(json.dumps(choice.to_json()))) == choice
    fields = spec_of(kind).settings.model_fields.values()
    assert all(field.description and not field.is_required() for field in fields)
