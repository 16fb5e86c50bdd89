"""Overrides of single values, phrases about mistakes, and the section `series` as it reads a table."""

import pytest
from pydantic import ValidationError

from netshare.config.explain import explain
from netshare.config.input import read_table
from netshare.config.overrides import override
from netshare.config.schema import Config
from netshare.config.series import SeriesSettings
from netshare.preprocess.errors import ConfigError


@pytest.mark.parametrize(
    ("raw", "text", "expected"),
    [
        ({}, "training.steps=500", {"training": {"steps": 500}}),
        ({}, "ip2vec.model=my.npz", {"ip2vec": {"model": "my.npz"}}),
        ({"seed": 1}, "seed = 2", {"seed": 2}),
        ({"input": "a.pcap"}, "input.limit=9", {"input": {"files": ["a.pcap"], "limit": 9}}),
        ({"input": ["a", "b"]}, "input.limit=9", {"input": {"files": ["a", "b"], "limit": 9}}),
    ],
)
def test_an_override_sets_one_value(raw, text, expected):
    override(raw, text)
    assert raw == expected


@pytest.mark.parametrize("text", ["training.steps", "=5", "training..steps=5", "seed.deep=1"])
def test_a_bad_override_is_refused(text):
    with pytest.raises(ConfigError, match="--set"):
        override({"seed": 1}, text)


@pytest.mark.parametrize(
    ("raw", "phrase"),
    [
        ({"sead": 1}, "sead is not a known key; did you mean seed?"),
        ({"training": {"checkpoint_second": 1}}, "did you mean checkpoint_seconds?"),
        ({"training": 5}, "training is 5: it should be an object of settings"),
        ({"seed": "x"}, 'seed is "x": input should be a valid integer'),
    ],
)
def test_mistakes_are_explained_by_key_and_value(raw, phrase):
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(raw)
    assert any(phrase in explain(item) for item in caught.value.errors()), [explain(i) for i in caught.value.errors()]


def test_the_section_series_says_which_columns_are_what(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("who,plan,noise,use\na,x,1,5\na,x,2,6\nb,y,3,7\n")
    settings = SeriesSettings(key="who", ignore=["noise"], types={"use": "continuous"}, fold=2, auto_normalize=True)
    series = read_table(path, settings)
    assert list(series.metadata) == ["plan"] and list(series.measurements) == ["use"]
    assert series.kinds["use"] == "continuous" and series.lengths.tolist() == [2, 1]
    assert len(read_table(path, settings, limit=2)) == 1
