"""The audit convicts what is broken, and does not convict what holds."""

import json
import math

import numpy as np
import pytest

from netshare.commands.main import main
from netshare.commands.privacy import audit_run
from netshare.preprocess.errors import ConfigError
from netshare.privacy.accounting.accountant import gaussian_noise_for
from netshare.privacy.audit import AuditResult, audit_counts, audit_gradients
from netshare.privacy.audit.counts import epsilon_of_mu, lower_bound_of_mu
from netshare.privacy.audit.lower_bounds import lower_bound_of, lower_bound_of_guesses, membership_bound


def test_a_perfect_attack_bounds_epsilon_by_the_number_of_trials():
    bound = lower_bound_of(np.ones(200), np.zeros(200), delta=0.0, confidence=0.95)
    rate = 0.025 ** (1 / 100)  # Clopper and Pearson of 100 of 100, and of 0 of 100
    assert bound == pytest.approx(math.log(rate / (1 - rate)), abs=1e-6)


def test_scores_that_say_nothing_bound_nothing():
    rng = np.random.default_rng(0)
    wrong = sum(lower_bound_of(rng.random(60), rng.random(60), delta=0.0, confidence=0.9) > 0 for _ in range(60))
    assert wrong <= 14  # 10% are allowed: more than 14 of 60 once in a thousand runs


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_randomised_response_is_bounded_from_below_but_not_above_its_epsilon(epsilon):
    rng, truth = np.random.default_rng(3), math.exp(epsilon) / (1 + math.exp(epsilon))
    right = int((rng.random(2000) < truth).sum())
    bound = lower_bound_of_guesses(right, 2000, chance=0.5, confidence=0.999)
    assert 0.6 * epsilon < bound < epsilon
    assert lower_bound_of_guesses(1600, 2000, chance=0.8, confidence=0.95) == 0  # no better than knowing the share


def test_the_claim_stands_where_the_noise_is_due_and_falls_where_it_is_not():
    assert not audit_gradients(epsilon=1.0, trials=40, steps=2, confidence=0.999).broken
    result = audit_gradients(epsilon=0.5, trials=120, steps=1, confidence=0.99, sampling_rate=1.0, noise_factor=0.02)
    assert result.broken


def test_too_few_trials_are_refused_in_one_line(capsys):
    assert main(["privacy", "audit", "--trials", "4"]) == 2
    printed = capsys.readouterr().err
    assert "4 trials" in printed and printed.count("\n") == 1
    with pytest.raises(ConfigError, match="confidence"):
        audit_gradients(confidence=1.5)


def test_a_refuted_claim_says_so():
    result = AuditResult("canary", 3.2, 1.0, 0.95, 600)
    assert result.broken and "REFUTED" in result.text()
    assert not AuditResult("canary", 0.4, 1.0, 0.95, 600).broken


def test_membership_is_guessed_where_scores_tell_it():
    rng = np.random.default_rng(0)
    bound, _ = membership_bound(rng.normal(3, 1, 800), rng.normal(0, 1, 200), chance=0.8, confidence=0.95)
    assert bound > 2
    bound, _ = membership_bound(rng.normal(0, 1, 800), rng.normal(0, 1, 200), chance=0.8, confidence=0.999)
    assert bound == 0
    with pytest.raises(ConfigError, match="too few"):
        membership_bound(np.ones(10), np.ones(10), chance=0.5, confidence=0.9)


def test_an_over_fitted_model_gives_its_members_away(tmp_path, sample_netflow):
    config = tmp_path / "config.json"
    raw = {
        "input": {"files": [str(sample_netflow)], "limit": 700},
        "chunks": {"count": 1},
        "cluster": {"mode": "inline"},
        "evaluate": {"holdout": 0.5},
        "generator": {
            "autoregressive": {
                "recall": False, "validation": 0, "epochs": 30, "epochs_without_validation": 30,
                "learning_rate": 0.01, "dropout": 0,
                "column_dropout": 0, "weight_decay": 0, "metadata_state": 32, "record_state": 8, "record_hidden": 8,
            }
        },
    }  # fmt: skip
    config.write_text(json.dumps(raw))
    assert main(["train", str(config), "--work-dir", str(tmp_path / "run"), "-q"]) == 0
    result = audit_run(tmp_path / "run")
    assert result.lower_bound > 0.5 and result.claimed is None
    assert main(["privacy", "audit", str(tmp_path)]) == 2


def test_what_is_found_of_noisy_counts_approaches_what_is_claimed():
    result = audit_counts(epsilon=4.0, trials=1_600, confidence=0.99)
    assert 1.0 < result.lower_bound < 4.0 and not result.broken
    assert audit_counts(epsilon=4.0, trials=1_000, confidence=0.99, noise_factor=0.4).broken


def test_separation_of_two_gaussians_is_bounded_from_below():
    rng = np.random.default_rng(0)
    found = lower_bound_of_mu(rng.normal(1.5, 1, 4000), rng.normal(0, 1, 4000), confidence=0.999)
    assert 1.2 < found < 1.5
    assert lower_bound_of_mu(rng.random(400), rng.random(400), confidence=0.999) == 0
    assert epsilon_of_mu(1 / gaussian_noise_for(3.0, 1e-5), 1e-5) == pytest.approx(3.0, rel=1e-3)
    assert epsilon_of_mu(0.0, 1e-5) == 0


def test_the_attack_is_reached_from_the_command_line(capsys):
    command = ["privacy", "audit", "--trials", "200", "--epsilon", "2"]
    assert main(command) == 0
    assert "claimed: at most 2; not refuted" in capsys.readouterr().out
    assert main([*command, "--noise-factor", "0.02"]) != 0
    assert "REFUTED" in capsys.readouterr().err
