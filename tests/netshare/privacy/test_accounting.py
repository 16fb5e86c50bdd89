"""The accountants against published and independent values."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opacus.accountants import PRVAccountant, RDPAccountant
from scipy.integrate import quad
from scipy.stats import norm

from netshare.preprocess.errors import ConfigError
from netshare.privacy.accounting.accountant import (
    EPSILON_ERROR,
    Mechanism,
    budget_of_groups,
    epsilon_of,
    gaussian_delta,
    gaussian_noise_for,
    noise_multiplier_for,
)


def test_the_gaussian_mechanism_has_the_published_deltas():
    # mu-GDP with mu = 1 / sigma: delta(eps) = Phi(-eps/mu + mu/2) - e^eps Phi(-eps/mu - mu/2) (Dong, Roth, Su 2019)
    assert gaussian_delta(1.0, 1.0) == pytest.approx(0.12693674, abs=1e-8)
    assert gaussian_delta(0.0, 1.0) == pytest.approx(2 * norm.cdf(0.5) - 1)  # the total variation distance
    assert gaussian_noise_for(1.0, 1e-5) == pytest.approx(3.730632, abs=1e-5)  # Balle and Wang's algorithm 1
    assert gaussian_noise_for(1.0, 1e-5) < math.sqrt(2 * math.log(1.25e5))  # the classical bound, 4.84


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.8, 2.0, 20.0])
@pytest.mark.parametrize("steps", [1, 16])
def test_without_sampling_both_accountants_agree_with_the_closed_form(noise, steps):
    # T Gaussians of sigma are one of sigma / sqrt(T)
    exact = next(e for e in np.linspace(0, 60, 60_001) if gaussian_delta(e, noise / math.sqrt(steps)) <= 1e-5)
    mechanism = [Mechanism("counts", noise, 1.0, steps)]
    assert exact <= epsilon_of(mechanism, 1e-5) + 1e-3
    assert epsilon_of(mechanism, 1e-5) <= exact + 3 * EPSILON_ERROR
    assert exact <= epsilon_of(mechanism, 1e-5, "rdp") <= 1.4 * exact


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Optimal order is the largest alpha", "ignore:divide by zero")  # of the reference
@pytest.mark.parametrize("name, reference", [("prv", PRVAccountant), ("rdp", RDPAccountant)])
def test_training_costs_what_opacus_says(name, reference):
    accountant = reference()
    accountant.history = [(1.25, 0.0256, 2000), (20.0, 1.0, 1)]
    ours = epsilon_of([Mechanism("training", 1.25, 0.0256, 2000), Mechanism("counts", 20.0, 1.0, 1)], 1e-5, name)
    assert ours == pytest.approx(accountant.get_epsilon(delta=1e-5), abs=1e-9)


@pytest.mark.slow
def test_another_sampling_scheme_costs_another_epsilon():
    poisson = epsilon_of([Mechanism("training", 1.25, 0.0256, 2000)], 1e-5)
    assert epsilon_of([Mechanism("training", 1.25, 1.0, 2000)], 1e-5, "rdp") > 50 * poisson  # no sampling
    assert epsilon_of([Mechanism("training", 1.25, 1.0, round(0.0256 * 2000))], 1e-5) > 5 * poisson  # shuffled passes
    assert epsilon_of([Mechanism("training", 1.25, 0.0512, 2000)], 1e-5) > 1.5 * poisson


@pytest.mark.slow
@pytest.mark.parametrize("rate, noise", [(0.3, 0.8), (0.05, 1.2)])
def test_one_step_is_the_worse_of_a_unit_removed_and_a_unit_added(rate, noise):
    def delta(epsilon, towards_more):
        def gap(x):
            more = (1 - rate) * norm.pdf(x, 0, noise) + rate * norm.pdf(x, 1, noise)
            less = norm.pdf(x, 0, noise)
            return max(more - math.exp(epsilon) * less if towards_more else less - math.exp(epsilon) * more, 0.0)

        return sum(quad(gap, a, b, limit=200)[0] for a, b in ((-12, -2), (-2, 0), (0, 2), (2, 5), (5, 12)))

    epsilon = epsilon_of([Mechanism("training", noise, rate, 1)], 1e-4)
    worst = max(delta(epsilon, True), delta(epsilon, False))
    assert worst <= 1e-4
    assert max(delta(epsilon - 3 * EPSILON_ERROR, True), delta(epsilon - 3 * EPSILON_ERROR, False)) > 0.99e-4


@pytest.mark.parametrize("epsilon, published", [(1, 4.4), (2, 2.4), (5, 1.25), (10, 0.87)])
def test_noise_is_the_least_that_meets_the_budget(epsilon, published):
    noise = noise_multiplier_for(epsilon, 1e-5, sampling_rate=0.0256, steps=2000)
    assert noise == pytest.approx(published, abs=0.06)
    assert epsilon_of([Mechanism("t", noise, 0.0256, 2000)], 1e-5) <= epsilon
    assert epsilon_of([Mechanism("t", 0.99 * noise, 0.0256, 2000)], 1e-5) > epsilon


def test_noise_leaves_room_for_what_else_is_released():
    counting = Mechanism("counts", 10.0, 1.0, 1)
    alone = noise_multiplier_for(2.0, 1e-5, sampling_rate=0.02, steps=500, accountant="rdp")
    beside = noise_multiplier_for(2.0, 1e-5, sampling_rate=0.02, steps=500, others=[counting], accountant="rdp")
    assert beside > alone


@settings(max_examples=50, deadline=None)
@given(st.floats(0.01, 20), st.floats(1e-12, 1e-3), st.integers(1, 6))
def test_groups_get_the_budget_back(epsilon, delta, size):
    own, own_delta = budget_of_groups(epsilon, delta, size)
    reached, at = 0.0, 0.0
    for _ in range(size):  # the hybrid argument, neighbour by neighbour: P(S) <= e^own P'(S) + own_delta
        at = at * math.exp(own) + own_delta
        reached += own
    assert reached == pytest.approx(epsilon)
    assert at == pytest.approx(delta)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: epsilon_of([Mechanism("t", 0.01, 0.1, 10)], 1e-5), "noise multiplier is 0.01"),
        (lambda: epsilon_of([Mechanism("t", 1.0, 0.1, 10**9)], 1e-5), "1,000,000,000 steps"),
        (lambda: epsilon_of([Mechanism("t", 1.0, 0.5, 10**6)], 1e-300), "accountant"),
        (lambda: noise_multiplier_for(1e4, 1e-5, sampling_rate=0.1, steps=10), "privacy.epsilon is 10000"),
        (
            lambda: noise_multiplier_for(1e-3, 1e-9, sampling_rate=1.0, steps=10**6, accountant="rdp"),
            "privacy.epsilon is 0.001",
        ),
        (lambda: Mechanism("t", 1.0, 1.5, 10), "sampling rate 1.5"),
    ],
)
def test_what_cannot_be_accounted_for_is_refused_in_one_line(call, message):
    with pytest.raises(ConfigError) as error:
        call()
    assert message in str(error.value) and "\n" not in str(error.value)
