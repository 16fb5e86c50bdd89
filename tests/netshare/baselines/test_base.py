"""What baselines share: lengths, groups of fields, weights that fit, and the list of methods."""

import pytest
import torch

from netshare.baselines.adversarial import convincing, standard_step
from netshare.baselines.base import check_width, field_groups
from netshare.baselines.independent_columns import IndependentColumns
from netshare.baselines.registry import BASELINES, all_methods, choose_methods
from netshare.baselines.series import lengths_of
from netshare.generators.registry import kinds
from netshare.preprocess.encoded import Column, Schema
from netshare.preprocess.errors import ConfigError, TrainingError
from tests.netshare.generator_contract import SCHEMA, random_series


def test_a_series_ends_with_the_first_record_that_stops():
    stops = torch.tensor([[0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 1]], dtype=torch.bool)
    assert lengths_of(stops).tolist() == [2, 4, 1, 4]


def test_a_field_of_flows_and_of_records_is_two_groups():
    schema = Schema(
        metadata=(Column("a.0", "a", "continuous"), Column("size.m", "size", "continuous"), Column("a.1", "a", "continuous")),
        measurements=(Column("size.r", "size", "continuous"), Column("ttl", "ttl", "continuous")),
        max_length=3,
    )  # fmt: skip
    assert field_groups(schema) == {"a": [0, 2], "size": [1], "record size": [3], "ttl": [4]}


def test_weights_of_another_width_are_refused():
    check_width(torch.zeros(3, 5), 5)
    for other in (torch.zeros(3, 4), torch.zeros(5)):
        with pytest.raises(TrainingError, match="another width than 5"):
            check_width(other, 5)


def test_independent_columns_keep_each_column_and_no_pair():
    data = random_series(3000, longest=1)
    data.metadata[:, 4] = data.metadata[:, 5]  # protocol and label are the same in what is learnt
    generator = IndependentColumns(SCHEMA)
    generator.prepare(data, seed=1, steps=1)
    generator.step()
    made = generator.sample(3000, seed=2).metadata
    assert (data.metadata[:, 4] == data.metadata[:, 5]).all()
    for value in range(4):
        assert abs((made[:, 4] == value).mean() - (data.metadata[:, 4] == value).mean()) < 0.04
    assert abs((made[:, 4] == made[:, 5]).mean() - 0.25) < 0.04


def test_the_standard_loss_teaches_a_critic_to_tell_real_from_fake():
    generator = IndependentColumns(SCHEMA)
    torch.manual_seed(0)
    generator.networks["critic"] = torch.nn.Linear(1, 1)
    generator.adam("critic", "critic", rate=0.05)
    real, fake = torch.full((32, 1), 1.0), torch.full((32, 1), -1.0)
    losses = [standard_step(generator, real, fake) for _ in range(60)]
    critic = generator.networks["critic"]
    assert losses[-1] < 0.3 < losses[0]
    assert convincing(critic(real)) < 0.2 < convincing(critic(fake))


def test_methods_are_chosen_by_name_once_each_in_the_order_given():
    assert choose_methods(None) == all_methods() == (*kinds(), *BASELINES)
    assert choose_methods(" ctgan, hmm,ctgan ,") == ("ctgan", "hmm")
    with pytest.raises(ConfigError, match=r"nonsense is no method; choose of autoregressive, doppelganger, .*ctgan"):
        choose_methods("ctgan,nonsense")
    with pytest.raises(ConfigError, match="an empty list is no method"):
        choose_methods(" , ")


def test_every_method_says_which_paper_or_idea_it_is():
    for method in BASELINES.values():
        assert method.title and method.create(SCHEMA).__class__.__doc__
