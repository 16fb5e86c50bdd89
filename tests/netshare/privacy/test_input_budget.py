"""The ledger of all looks at an input: they add up, whatever run makes them, and a limit holds."""

import json
import secrets
import stat
import threading

import pytest

from netshare.config.load import load_config
from netshare.preprocess.errors import ConfigError, RunFolderError
from netshare.privacy.accounting import InputBudget, Look, Mechanism, epsilon_of, make_plan

BOUNDS = {"begin": "2026-01-01T00:00:00Z", "seconds": 60, "units": 1000}


def plan_of(epsilon=0.5, **privacy):
    raw = {"input": "x.csv", "preset": "netflow", "privacy": {"epsilon": epsilon, "bounds": BOUNDS, **privacy}}
    return make_plan(load_config(raw))


def look(*contents, plan, identity=None, unit="unidirectional flow", secure=True):
    return Look(identity or secrets.token_hex(16), contents, unit, plan, plan.mechanisms, secure)


@pytest.fixture(scope="module")
def plan():
    return plan_of()


def test_five_looks_compose(tmp_path, plan):
    budget, sums = InputBudget(tmp_path), []
    for _ in range(5):
        sums.append(budget.charge(look("input", plan=plan), limit=None).epsilon)
    assert sums == sorted(sums) and sums[0] <= 0.5
    five = Mechanism("counts", plan.counting.noise_multiplier, 1.0, 5)
    assert sums[-1] == pytest.approx(epsilon_of([five], plan.delta), abs=0.03)
    assert 1.0 < sums[-1] < 2.5  # more than one look, less than five times one
    assert budget.charge(look("another", plan=plan), limit=None).looks == 1


def test_a_look_that_goes_on_is_not_charged_twice(tmp_path, plan):
    budget, one = InputBudget(tmp_path), look("input", plan=plan, identity="a" * 32)
    first = budget.charge(one, limit=None)
    assert budget.charge(one, limit=0.6) == first
    assert len((tmp_path / "looks.jsonl").read_text().splitlines()) == 1


def test_above_the_limit_a_look_is_refused_in_one_line_and_not_entered(tmp_path, plan):
    budget = InputBudget(tmp_path)
    budget.charge(look("input", plan=plan), limit=0.6)
    with pytest.raises(ConfigError, match=r"privacy\.lifetime_epsilon is 0\.6: 1 look") as refused:
        budget.charge(look("input", plan=plan), limit=0.6)
    assert "\n" not in str(refused.value)
    assert budget.charge(look("other", plan=plan), limit=0.6).looks == 1
    assert len((tmp_path / "looks.jsonl").read_text().splitlines()) == 2


def test_what_the_run_does_later_counts_against_the_limit(tmp_path):
    plan = plan_of(epsilon=4, method="gradients", batch=20, accountant="rdp")
    counting = Look("b" * 32, ("input",), "unidirectional flow", plan, (plan.counting,), True)
    budget = InputBudget(tmp_path)
    with pytest.raises(ConfigError, match="lifetime_epsilon"):
        budget.charge(counting, limit=3.0, upcoming=[plan.training])
    assert budget.charge(counting, limit=4.0, upcoming=[plan.training]).epsilon < 3.0
    training = Look("c" * 32, ("input",), "unidirectional flow", plan, (plan.training,), True)
    assert budget.charge(training, limit=4.0).epsilon == pytest.approx(plan.spent, rel=1e-6)


def test_inputs_that_share_a_file_are_one_also_by_way_of_a_third(tmp_path, plan):
    budget = InputBudget(tmp_path)
    for contents in (("a",), ("b",), ("a", "b")):
        found = budget.charge(look(*contents, plan=plan), limit=None)
    assert found.looks == 3
    assert budget.charge(look("b", "c", plan=plan), limit=None).looks == 4
    assert budget.charge(look("d", plan=plan), limit=None).looks == 1


def test_the_ledger_does_not_tell_which_inputs_it_knows(tmp_path, plan):
    for folder in ("one", "two"):
        InputBudget(tmp_path / folder).charge(look("5f3a", plan=plan), limit=None)
    said = [json.loads((tmp_path / name / "looks.jsonl").read_text())["marks"] for name in ("one", "two")]
    assert said[0] != said[1] and "5f3a" not in str(said)
    assert stat.S_IMODE((tmp_path / "one").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "one" / "key").stat().st_mode) == 0o600


def test_half_a_line_is_of_a_look_that_never_happened_and_anything_else_is_damage(tmp_path, plan):
    budget = InputBudget(tmp_path)
    budget.charge(look("input", plan=plan), limit=None)
    with (tmp_path / "looks.jsonl").open("a") as file:
        file.write('{"look": "torn')
    assert budget.charge(look("input", plan=plan), limit=None).looks == 2
    (tmp_path / "looks.jsonl").write_text("[]\n")
    with pytest.raises(RunFolderError, match="damaged"):
        budget.charge(look("input", plan=plan), limit=None)


def test_looks_at_the_same_time_see_one_another(tmp_path, plan):
    """With room for two of eight looks, two are entered."""
    two = epsilon_of([Mechanism("counts", plan.counting.noise_multiplier, 1.0, 2)], plan.delta)
    outcomes = []

    def charge():
        try:
            outcomes.append(InputBudget(tmp_path).charge(look("input", plan=plan), limit=two + 0.02).looks)
        except ConfigError:
            outcomes.append(0)

    threads = [threading.Thread(target=charge) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [0] * 6 + [1, 2]


def test_what_a_record_s_release_costs_grows_with_the_group(tmp_path):
    plan = plan_of(epsilon=1, unit="record")
    found = InputBudget(tmp_path).charge(look("input", plan=plan), limit=None)
    assert found.epsilon == pytest.approx(plan.epsilon_spent, abs=0.03)
    assert found.delta == pytest.approx(plan.delta, rel=0.05)


def test_noise_from_a_seed_and_other_units_are_said(tmp_path, plan):
    budget = InputBudget(tmp_path)
    budget.charge(look("input", plan=plan, secure=False), limit=None)
    said = budget.charge(look("input", plan=plan, unit="host"), limit=None)
    assert said.insecure == 1 and "guarantees nothing" in said.text() and "host, unidirectional flow" in said.text()


def test_a_place_that_cannot_be_written_is_named(tmp_path, plan):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="NETSHARE_STATE"):
        InputBudget(tmp_path / "file" / "state").charge(look("input", plan=plan), limit=None)


def test_where_it_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("NETSHARE_STATE", str(tmp_path / "own"))
    assert InputBudget.open().folder == tmp_path / "own"
    monkeypatch.delenv("NETSHARE_STATE")
    assert InputBudget.open().folder == tmp_path / "netshare"
