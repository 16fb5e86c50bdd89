import json

import pytest

from netshare.config.docs import config_markdown
from netshare.config.load import default_config, load_config
from netshare.config.presets import read_preset
from netshare.config.schema import Config
from netshare.preprocess.errors import ConfigError, InputError
from tests.conftest import REPOSITORY


@pytest.fixture()
def flow_csv(tmp_path):
    path = tmp_path / "flows.csv"
    path.write_text(
        "srcip,dstip,srcport,dstport,proto,ts,td,pkt,byt,type\n10.0.0.1,10.0.0.2,1234,80,TCP,1458298072364000,1.5,3,180,background\n"
    )
    return path


def write(tmp_path, value):
    path = tmp_path / "config.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_the_smallest_config_is_a_file_name(tmp_path, flow_csv):
    config = load_config(write(tmp_path, {"input": "flows.csv"}))
    assert config.input.files == [str(flow_csv)]
    assert config.preset == "netflow"
    assert config.output.folder == str(tmp_path / "config-run")


def test_file_names_are_shown_without_detours(tmp_path, flow_csv):
    (tmp_path / "configs").mkdir()
    config = load_config(write(tmp_path / "configs", {"input": "../flows.csv"}))
    assert config.input.files == [str(flow_csv)]


def test_own_values_override_the_preset_and_set_overrides_both(tmp_path, flow_csv):
    path = write(
        tmp_path, {"input": {"files": ["flows.csv"]}, "training": {"steps": 7}, "generator": {"kind": "doppelganger"}}
    )
    config = load_config(
        path, ["training.finetune_steps=9", "training.steps=8", "training.device=cpu", "input.limit=5"]
    )
    assert (config.training.steps, config.training.finetune_steps, config.training.device) == (8, 9, "cpu")
    assert config.generator.kind == "doppelganger"
    assert config.input.limit == 5


def test_work_dir_is_relative_to_where_one_stands(tmp_path, flow_csv, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config(write(tmp_path, {"input": "flows.csv"}), work_dir="here").output.folder == str(tmp_path / "here")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"input": "flows.csv", "trainin": {}}, "trainin is not a known key; did you mean training?"),
        ({"input": "flows.csv", "training": {"step": 1}}, "training.step is not a known key; did you mean steps?"),
        ({"input": "flows.csv", "training": {"steps": "many"}}, 'training.steps is "many"'),
        ({"input": "flows.csv", "chunks": {"count": 0}}, "chunks.count is 0"),
        ({"input": []}, "input.files is []"),
        ({"input": ""}, "a file name is empty"),
        ({"input": 5}, "input is 5: it should be a file name"),
        ({"input": "flows.csv", "chunks": 3}, "chunks is 3: it should be an object"),
        ({"input": "flows.csv", "output": {"folder": 5}}, "output.folder is 5"),
        ({"input": "flows.csv", "addresses": {"prefixes": ["10.0.0.0/99"]}}, "give one like 10.0.0.0/8"),
        ({"input": "flows.csv", "addresses": {"avoid_real": True}}, "json: addresses.avoid_real needs"),
        ({}, "input is missing"),
        ("{", "not valid JSON"),
        ("[1]", "a config is a JSON object"),
    ],
)
def test_mistakes_are_named_in_one_line(tmp_path, flow_csv, value, message):
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, value))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_input_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.pcap"):
        load_config(write(tmp_path, {"input": "nowhere.pcap"}))


@pytest.mark.parametrize("text", ["training", "=3", "seed.x=3"])
def test_a_malformed_override_is_refused(tmp_path, flow_csv, text):
    with pytest.raises(ConfigError, match="--set"):
        load_config(write(tmp_path, {"input": "flows.csv", "seed": 1}), [text])


@pytest.mark.parametrize("name", ["pcap", "netflow", "doppelganger-paper"])
def test_presets_hold_known_keys_only(name):
    Config.model_validate({**read_preset(name), "input": "x"})


@pytest.mark.parametrize("preset", ["doppelganger-paper", ["doppelganger-paper"], ["netflow", "doppelganger-paper"]])
def test_the_papers_settings_come_on_top_of_those_for_the_input(tmp_path, flow_csv, preset):
    config = load_config(
        write(tmp_path, {"input": "flows.csv", "preset": preset}), ["generator.doppelganger.lstm_units=50"]
    )
    assert config.preset == "netflow"
    assert config.generator.kind == "doppelganger"
    settings = config.generator.doppelganger
    assert (settings.metadata_layers, settings.lstm_initial_state, settings.horizon) == (2, "random", "full")
    assert settings.lstm_units == 50
    preset = read_preset("doppelganger-paper")["generator"]["doppelganger"]
    assert set(preset) == set(type(settings).model_fields) - {"autotune_steps", "validation"}


def test_one_preset_for_the_input_is_enough(tmp_path, flow_csv):
    with pytest.raises(ConfigError, match="only one of"):
        load_config(write(tmp_path, {"input": "flows.csv", "preset": ["pcap", "netflow"]}))


def test_a_config_a_mapping_and_traces_are_taken_alike(tmp_path, flow_csv, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from_file = load_config(write(tmp_path, {"input": "flows.csv", "seed": 3, "output": {"folder": "run"}}))
    mapping = {"input": flow_csv, "seed": 3, "output": {"folder": tmp_path / "run"}}
    assert load_config(mapping) == load_config({**mapping, "input": [flow_csv]}) == from_file
    assert load_config(from_file) == from_file
    changed = load_config(from_file, ["seed=4"], work_dir="other")
    assert (changed.seed, changed.output.folder) == (4, str(tmp_path / "other"))
    by_hand = Config(input={"files": ["flows.csv"]}, seed=3, output={"folder": "run"})
    assert load_config(by_hand) == from_file


@pytest.mark.parametrize("name", ["flows.csv", "flows.*", "."])
def test_a_trace_in_place_of_a_config_is_learnt_with_all_defaults(tmp_path, flow_csv, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    config = load_config(name)
    assert config.preset == "netflow"
    assert config.input.files == [str(tmp_path / name)]
    assert load_config([name, name]).input.files == [str(tmp_path / name)] * 2


def test_a_config_needs_no_suffix(tmp_path, flow_csv):
    (tmp_path / "settings").write_text('  {"input": "flows.csv", "seed": 9}')
    assert load_config(tmp_path / "settings").seed == 9


@pytest.mark.parametrize("source", [5, [], [5], {"input": object()}, None])
def test_what_is_no_config_is_refused_in_one_line(source):
    with pytest.raises(ConfigError, match=r"go to netshare\.Synthesizer|give a path, a mapping, a Config"):
        load_config(source)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"input": {"limit": 5}, "preset": "pcap"}, "input.files is missing"),
        ({"preset": "pcap"}, "input is missing"),
        ({"input": "x", "chunks": 3, "privacy": {"epsilon": 1, "method": "gradients"}}, "chunks is 3"),
    ],
)
def test_a_run_on_files_needs_an_input(value, message):
    with pytest.raises(ConfigError, match=message):
        load_config(value)


def test_data_in_memory_need_a_preset_and_no_input():
    config = default_config(["netflow", "doppelganger-paper"], {"seed": 5, "training": {"steps": 7}})
    assert (config.preset, config.seed, config.training.steps, config.input.files) == ("netflow", 5, 7, [])
    assert config.generator.doppelganger.metadata_layers == 2
    assert default_config("timeseries").generator.autoregressive.continuous_bins == 64
    with pytest.raises(ConfigError, match="preset is doppelganger-paper: it should name one of pcap, netflow"):
        default_config("doppelganger-paper")
    with pytest.raises(ConfigError, match="seedd is not a known key; did you mean seed"):
        default_config("pcap", {"seedd": 5})


def test_every_preset_and_quickstart_is_taken(tmp_path):
    for path in sorted((REPOSITORY / "configs").glob("quickstart*.json")):
        assert load_config(path, work_dir=tmp_path).preset in ("pcap", "netflow", "timeseries")


def test_every_key_says_what_it_means():
    assert "|  |" not in config_markdown()
