"""Every key of the schema: where it has a meaning it is taken, elsewhere it is refused by its name."""

from typing import Any, get_args, get_origin

import pytest

from netshare.config.applicable import CONDITIONS, conditions_of, leaves
from netshare.config.generator import keys_of
from netshare.config.load import default_config, load_config
from netshare.config.schema import Config
from netshare.preprocess.errors import ConfigError

BOUNDS = {"begin": "2015-09-08T14:00:00Z", "seconds": 3600, "units": 20_000}
# Runs of each kind: what the data are, and what makes the run what it is.
RUNS: dict[str, tuple[Any, dict[str, Any]]] = {
    "packets": ("pcap", {}),
    "records": ("netflow", {}),
    "series": ("timeseries", {}),
    "adversarial": ("pcap", {"generator": {"kind": "doppelganger"}}),
    "inline": ("netflow", {"cluster": {"mode": "inline"}}),
    "counts": ("pcap", {"privacy": {"epsilon": 4, "bounds": BOUNDS}}),
    "gradients": ("netflow", {"privacy": {"epsilon": 4, "method": "gradients", "bounds": BOUNDS}}),
}
# Values other than the default, where the type alone does not give one.
VALUES: dict[str, Any] = {
    "input.files": ["trace.pcap"],
    "input.columns": {"src": "from"},
    "input.netflow_exports": True,
    "output.formats": ["csv"],
    "fields.encodings": {"ttl": "bits"},
    "series.types": {"a": "integer"},
    "addresses.prefixes": ["10.0.0.0/8"],
    "training.device": "cpu",
    "ip2vec.model": "/models/ports",
    "privacy.delta": 1e-6,
    "privacy.public": None,
    "privacy.bounds.begin": "2020-01-01T00:00:00Z",
    "privacy.bounds.hosts": ["10.0.0.0/8"],
    "generator.doppelganger.records_per_pass": 3,
}
# What a value needs beside it.
BESIDE: dict[str, dict[str, Any]] = {"addresses.avoid_real": {"addresses": {"prefixes": ["10.0.0.0/8"]}}}
KEYS = [path for path, _ in leaves(Config()) if path != ("preset",)]


def other_value(path: tuple[str, ...]) -> Any:
    """A valid value that is not the default."""
    name = ".".join(path)
    if name in VALUES:
        return VALUES[name]
    model: Any = Config
    for part in path:
        declared = keys_of(model)[part]
        model = declared.annotation
    default, options = declared.get_default(call_default_factory=True), [declared.annotation]
    while any(get_args(one) and get_origin(one) is not list for one in options):
        options = [part for one in options for part in (get_args(one) or (one,))]
    for option in options:
        if isinstance(option, str) and option != default:
            return option
    if bool in options:
        return not default
    if int in options or float in options:
        return 64 if default is None else default + 1 if default >= 1 else (default + 1) / 2 if default else 0.5
    return ["a"] if get_origin(options[0]) is list else "a"


def load(preset: Any, values: dict[str, Any], path: tuple[str, ...], value: Any) -> Config:
    value = {path[-1]: value}
    for part in reversed(path[:-1]):
        value = {part: value}
    return default_config(preset, merged(merged(values, BESIDE.get(".".join(path), {})), value))


def merged(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    both = dict(low)
    for key, value in high.items():
        both[key] = merged(low[key], value) if isinstance(low.get(key), dict) and isinstance(value, dict) else value
    return both


@pytest.mark.parametrize("path", KEYS, ids=".".join)
def test_a_key_is_taken_or_refused_by_name_in_each_kind_of_run(path):
    name = ".".join(path)
    conditions = conditions_of(path)
    for preset, values in RUNS.values():
        bare = default_config(preset, values)
        if name == "privacy.epsilon" or (name == "ip2vec.model" and bare.privacy.enabled):
            continue  # tests of their own
        value = other_value(path)
        broken = [condition for condition in conditions if not condition.holds(bare)]
        try:
            found = load(preset, values, path, value)
        except ConfigError as error:
            assert path[-1] in str(error)
            assert "\n" not in str(error)
            if broken:
                assert f"only for {broken[0].belongs_to}; drop" in str(error)
        else:
            assert not broken
            assert dict(leaves(found))[path] == value


def test_every_declared_condition_is_about_a_key_or_section_of_the_schema():
    for name in CONDITIONS:
        model: Any = Config
        for part in name.split("."):
            model = keys_of(model)[part].annotation


def test_every_key_is_taken_in_some_kind_of_run():
    everything = {condition for path in KEYS for condition in conditions_of(path)}
    host = {"epsilon": 4, "unit": "host", "bounds": {**BOUNDS, "hosts": ["10.0.0.0/8"]}}
    model = {"epsilon": 4, "public_ip2vec": True, "bounds": BOUNDS}
    more = [("pcap", {"privacy": host}), ("pcap", {"privacy": model, "ip2vec": {"model": "/here"}})]
    runs = [default_config(preset, values) for preset, values in [*RUNS.values(), *more]]
    assert [condition.belongs_to for condition in everything if not any(map(condition.holds, runs))] == []


@pytest.mark.parametrize(
    ("preset", "values", "message"),
    [
        (
            "pcap",
            {"series": {"key": "nonsense"}},
            'series.key is "nonsense", but preset is pcap: only for tables of time',
        ),
        (
            "timeseries",
            {"chunks": {"count": 3}},
            "chunks.count is 3, but preset is timeseries: only for traces of packets",
        ),
        ("netflow", {"postprocess": {"snaplen": 96}}, "postprocess.snaplen is 96, but preset is netflow"),
        (
            "netflow",
            {"output": {"formats": ["csv", "pcap"]}},
            "output.formats has pcap, but preset is netflow: flow rec",
        ),
        ("timeseries", {"output": {"formats": ["pcap"]}}, "output.formats has pcap, but preset is timeseries"),
        ("pcap", {"output": {"formats": ["npz"]}}, "output.formats has npz, but preset is pcap"),
        (
            "pcap",
            {"generator": {"doppelganger": {"packing": 2, "batch_size": 7}}},
            "generator.doppelganger.batch_size, generator.doppelganger.packing are set, but generator.kind is autoreg",
        ),
        ("pcap", {"cluster": {"mode": "inline", "address": "h:1"}}, "cluster.mode is inline: only for training on Ray"),
        ("pcap", {"privacy": {"unit": "host"}}, 'privacy.unit is "host", but privacy.epsilon is missing, so nothing'),
        (
            "pcap",
            {"privacy": {"epsilon": 1, "batch": 7, "bounds": BOUNDS}},
            "privacy.batch is 7, but privacy.method is marginals",
        ),
    ],
)
def test_the_line_names_the_key_the_kind_of_run_and_what_to_do(preset, values, message):
    with pytest.raises(ConfigError) as caught:
        default_config(preset, values)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_the_preset_sets_or_is_the_default_asks_for_nothing():
    timeseries = default_config("timeseries", {"generator": {"kind": "doppelganger"}})
    assert timeseries.generator.autoregressive.continuous_bins == 64
    again = default_config("timeseries", timeseries.model_dump(mode="json", exclude={"input", "preset"}))
    assert again == timeseries
    assert default_config("netflow", {"output": {"formats": ["pcap", "csv", "parquet"]}}).preset == "netflow"


def test_a_comparison_of_all_generators_takes_the_settings_of_each():
    values = {"generator": {"doppelganger": {"packing": 2}, "autoregressive": {"epochs": 3}}}
    with pytest.raises(ConfigError, match=r"generator\.doppelganger\.packing is 2"):
        default_config("pcap", values)
    assert default_config("pcap", values, all_generators=True).generator.doppelganger.packing == 2


def test_a_private_run_takes_no_ip2vec_model_unless_it_is_declared_public():
    values = {"ip2vec": {"model": "/models/ports"}, "privacy": {"epsilon": 4, "bounds": BOUNDS}}
    with pytest.raises(ConfigError, match="trained on private data; drop it, or declare"):
        default_config("pcap", values)
    values["privacy"]["public_ip2vec"] = True
    config = default_config("pcap", values)
    assert config.privacy.public_ip2vec
    assert Config.model_validate_json(config.model_dump_json()) == config


def test_privacy_without_the_declaration_is_written_as_before():
    values = {"privacy": {"epsilon": 4, "bounds": BOUNDS}}
    assert "public_ip2vec" not in default_config("pcap", values).privacy.model_dump(mode="json")


def test_a_private_series_is_refused():
    with pytest.raises(ConfigError, match="privacy is built for traces only"):
        load_config({"input": "x", "preset": "timeseries", "privacy": {"epsilon": 4, "bounds": BOUNDS}})
