"""Training within a budget of CPU time."""

import time

import torch

from netshare.baselines.ctgan import CTGAN
from netshare.baselines.row_bootstrap import RowBootstrap
from netshare.comparison.budget import Spent, train_within
from tests.netshare.generator_contract import SCHEMA, random_series


def test_a_method_without_use_for_its_budget_ends_itself():
    generator = RowBootstrap(SCHEMA)
    spent = train_within(generator, random_series(50), seed=1, cpu_seconds=1000)
    assert spent.ended_itself and spent.steps == generator.steps_done and spent.cpu_seconds < 60


def test_the_step_under_way_is_the_last_and_the_model_can_be_sampled():
    threads, generator = torch.get_num_threads(), CTGAN(SCHEMA)
    begun = time.process_time()
    spent = train_within(generator, random_series(200, longest=1), seed=1, cpu_seconds=0.0)
    assert (spent.steps, spent.ended_itself) == (1, False)
    assert 0 < spent.cpu_seconds <= time.process_time() - begun + 0.01
    assert len(generator.sample(10, seed=1).metadata) == 10
    assert torch.get_num_threads() == threads


def test_a_longer_budget_takes_more_steps():
    def spend(cpu_seconds: float) -> Spent:
        return train_within(CTGAN(SCHEMA), random_series(200, longest=1), seed=1, cpu_seconds=cpu_seconds)

    shortest = spend(0.0)
    assert shortest.steps == 1 < spend(shortest.cpu_seconds + 0.5).steps
