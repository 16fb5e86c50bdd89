"""Plans and the settings behind them."""

import json

import pytest

from netshare.commands.main import main
from netshare.config.load import load_config
from netshare.preprocess.errors import ConfigError, InputError
from netshare.privacy.accounting import Ledger, alternatives, make_ledger, make_plan, read_ledger, statement
from netshare.privacy.accounting.accountant import epsilon_of, gaussian_noise_for

BOUNDS = {"begin": "2015-09-08T14:00:00Z", "seconds": 3600, "units": 18_000}
QUICK = {"epsilon": 4, "method": "gradients", "accountant": "rdp", "bounds": BOUNDS}


def config(sample_netflow, **privacy):
    return load_config({"input": str(sample_netflow), "privacy": {**QUICK, **privacy}})


def test_the_plan_meets_the_budget_with_all_mechanisms(sample_netflow):
    plan = make_plan(config(sample_netflow))
    assert plan.delta == pytest.approx(1 / 180_000)
    assert plan.training.steps == 1000
    assert plan.sampling_rate == pytest.approx(256 / 18_000)
    assert epsilon_of([plan.counting, plan.training], plan.delta, "rdp") == plan.spent <= 4
    assert plan.spent > 3.9


def test_units_that_may_last_are_accounted_for_in_every_chunk(sample_netflow):
    many = {"input": str(sample_netflow), "chunks": {"count": 5}, "training": {"steps": 100, "finetune_steps": 40}}
    lasting = make_plan(load_config({**many, "privacy": QUICK}))
    confined = make_plan(load_config({**many, "privacy": {**QUICK, "max_chunks_per_unit": 1}}))
    assert lasting.training.steps == 260 and confined.training.steps == 100
    assert lasting.noise_multiplier > confined.noise_multiplier
    assert "sequential" in lasting.text() and "parallel" in confined.text()


def test_a_record_is_protected_as_two_flows(sample_netflow):
    plan = make_plan(config(sample_netflow, unit="record"))
    assert plan.unit_epsilon == 2 and plan.epsilon_spent == 2 * plan.spent <= 4
    assert plan.unit_delta < plan.delta / 8  # (1 + e^2) times smaller


def test_more_units_and_fewer_steps_need_less_noise(sample_netflow):
    settings = config(sample_netflow)
    plan = make_plan(settings)
    noises = [float(line.split()[-1]) for line in alternatives(settings, plan)[1:]]
    assert all(value < plan.noise_multiplier for value in noises)


def test_the_command_reads_no_private_data(tmp_path, capsys):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"input": "not-there.csv", "preset": "netflow", "privacy": QUICK}))
    assert main(["privacy", "plan", str(path)]) == 0
    assert "noise multiplier" in capsys.readouterr().out
    assert main(["privacy", "plan", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mechanisms"][1]["name"] == "training"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"epsilon": 0}, "privacy.epsilon is 0"),
        ({"epsilon": -3}, "privacy.epsilon is -3"),
        ({"epsilon": None}, "privacy.epsilon is missing"),
        ({"epsilon": 1e6}, "privacy.epsilon is 1e+06"),
        ({"delta": 1e-4}, "privacy.delta is 0.0001"),
        ({"unit": "user"}, "privacy.unit is"),
        ({"unit": "host"}, "privacy.bounds.hosts"),
        ({"bounds": {}}, "privacy.bounds.begin"),
        ({"bounds": {**BOUNDS, "begin": "yesterday"}}, "privacy.bounds.begin is"),
        ({"bounds": {**BOUNDS, "begin": "9999-12-31T00:00:00Z"}}, "privacy.bounds.begin is"),
        ({"bounds": {**BOUNDS, "seconds": 1e12}}, "privacy.bounds.seconds is"),
        ({"bounds": {**BOUNDS, "units": None}}, "privacy.bounds.units"),
        ({"delta": 1e-300, "method": "marginals", "accountant": "prv"}, "delta 1e-300"),
        ({"batch": 100_000}, "privacy.batch is 100000"),
        ({"public": []}, "privacy.public"),
        ({"method": "magic"}, "privacy.method is"),
        ({"clip_norm": 0}, "privacy.clip_norm"),
        ({"epsilom": 1}, "did you mean epsilon"),
    ],
)
def test_bad_settings_get_one_clear_line(sample_netflow, change, message):
    with pytest.raises(ConfigError) as error:
        make_plan(config(sample_netflow, **change))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_public_trace_that_is_the_input_or_missing_is_refused_by_the_plan(tmp_path, capsys):
    path = tmp_path / "config.json"
    (tmp_path / "a.csv").write_text("")
    for public, message in (("a.csv", "also the input"), ("nope.csv", "nope.csv")):
        privacy = {**QUICK, "public": str(tmp_path / public)}
        path.write_text(json.dumps({"input": str(tmp_path / "a.csv"), "preset": "netflow", "privacy": privacy}))
        assert main(["privacy", "plan", str(path)]) == 2
        error = capsys.readouterr().err.strip()
        assert message in error and "\n" not in error


@pytest.mark.parametrize(
    "override",
    [
        "generator.autoregressive.recall=true",
        'generator={"kind": "doppelganger", "doppelganger": {"packing": 2}}',
        "generate.avoid_real_flows=true",
        "input.limit=1000",
        "cluster.mode=ray",
        "preset=timeseries",
    ],
)
def test_what_would_break_the_guarantee_is_refused(sample_netflow, override):
    with pytest.raises(ConfigError, match="privacy"):
        load_config({"input": str(sample_netflow), "privacy": QUICK}, [override])


def test_noisy_counts_are_one_mechanism_whatever_is_trained_on_them(sample_netflow):
    plan = make_plan(config(sample_netflow, method="marginals", accountant="prv"))
    assert plan.training is None and [m.steps for m in plan.mechanisms] == [1]
    assert plan.spent == epsilon_of(plan.mechanisms, plan.delta) <= 4
    assert plan.noise_multiplier == pytest.approx(gaussian_noise_for(4, plan.delta), rel=0.01)  # the closed form
    assert "of all counts together" in plan.text(alternatives(config(sample_netflow, method="marginals"), plan))


def test_counts_allow_what_training_on_the_input_does_not(sample_netflow):
    overrides = ["generator.kind=doppelganger", "cluster.mode=ray", "generator.autoregressive.recall=true"]
    found = load_config({"input": str(sample_netflow), "privacy": {**QUICK, "method": "marginals"}}, overrides)
    assert found.generator.autoregressive.recall and found.chunks.count is None
    with pytest.raises(ConfigError, match=r"fields\.flow_key is bidirectional"):
        load_config(
            {"input": str(sample_netflow), "privacy": {**QUICK, "method": "marginals"}},
            ["fields.flow_key=bidirectional"],
        )


def test_nothing_changes_without_privacy(sample_netflow):
    plain = load_config({"input": str(sample_netflow)})
    assert plain.generator.autoregressive.recall and plain.generate.avoid_real_flows and plain.chunks.count is None
    assert not plain.privacy.enabled


def test_a_comparison_of_methods_is_refused_since_it_is_not_private(sample_netflow, tmp_path):
    from netshare.comparison.compare import compare

    with pytest.raises(ConfigError, match="no baseline is private"):
        compare(config(sample_netflow), folder=tmp_path)


def test_an_ip2vec_model_of_unknown_origin_is_refused(sample_netflow, tmp_path):
    from netshare.preprocess.ip2vec.model import SHIPPED

    for method in ("gradients", "marginals"):
        raw = {"input": str(sample_netflow), "privacy": {**QUICK, "method": method}, "ip2vec": {"model": str(SHIPPED)}}
        with pytest.raises(ConfigError, match=r"ip2vec\.model is set.*privacy is on"):
            load_config(raw)
        raw["privacy"]["public_ip2vec"] = True
        assert make_plan(load_config(raw)).spent <= 4


@pytest.mark.parametrize("change", [{}, {"method": "marginals"}, {"unit": "record"}, {"unit": "host"}])
def test_a_ledger_survives_being_written_and_read(sample_netflow, change):
    bounds = {**BOUNDS, **({"hosts": ["10.0.0.0/8"]} if change.get("unit") == "host" else {})}
    settings = config(sample_netflow, **change, bounds=bounds)
    ledger = make_ledger(settings, make_plan(settings), {"sample": "9c1"}, "unidirectional")
    assert Ledger.from_json(json.loads(json.dumps(ledger.to_json()))) == ledger
    assert f"e^{ledger.plan.epsilon_spent:.4g}" in statement(ledger, "run")


def test_a_damaged_ledger_gets_one_clear_line(sample_netflow, tmp_path):
    (tmp_path / "models").mkdir()
    for content in ("{", "[]", '{"unit": "flow"}'):
        (tmp_path / "models" / "privacy.json").write_text(content)
        with pytest.raises(InputError, match="damaged") as error:
            read_ledger(tmp_path)
        assert "\n" not in str(error.value)
