"""Series from tables: what is read, how it is typed and filled, and that encoding loses nothing."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netshare.preprocess.encoded import Encoded
from netshare.preprocess.errors import ConfigError, InputError
from netshare.preprocess.timeseries import (
    SeriesCodec,
    SeriesColumns,
    load_series,
    read_series,
    save_series,
    split_series,
)
from netshare.preprocess.timeseries.folding import best_fold, fold_records, mean_autocorrelation, unfold_records
from netshare.preprocess.timeseries.order import order_columns, order_values

LONG = """who,day,plan,age,load,state
b,2024-01-02,gold,31,2.5,up
a,2024-01-01,iron,40,1.0,up
b,2024-01-01,gold,31,1.5,down
a,2024-01-03,iron,40,,up
a,2024-01-05,iron,40,4.0,
"""


@pytest.fixture
def table(tmp_path):
    def write(text, name="t.csv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def many(n=30, seed=0, lengths=(1, 60)):
    rng = np.random.default_rng(seed)
    parts = []
    for i in range(n):
        length = int(rng.integers(*lengths))
        level = rng.lognormal(2, 2)
        parts.append(
            pd.DataFrame(
                {
                    "id": i,
                    "at": np.cumsum(rng.integers(1, 9, length)) * 300,
                    "kind": "xyz"[i % 3],
                    "load": level * (1 + 0.5 * np.sin(np.arange(length) * 2 * np.pi / 7)),
                    "count": rng.integers(-3, 40, length) * 5,
                    "state": rng.choice(["up", "down"], length),
                }
            )
        )
    return pd.concat(parts)


def test_a_long_table_is_sorted_typed_and_filled(table):
    series = read_series(table(LONG), key="who", order="day")
    assert series.lengths.tolist() == [2, 3]  # in the order in which b and a appear
    assert series.kinds["plan"] == "categorical"
    assert series.kinds["age"] == "integer"
    assert series.kinds["load"] == "continuous"
    assert list(series.metadata) == ["plan", "age", "day.start"]
    assert series.measurements["load"].tolist() == [1.5, 2.5, 1.0, 2.5, 4.0]  # the gap lies half-way
    assert series.texts("state").tolist() == ["down", "up", "up", "up", ""]
    days = (series.measurements["day.step"] // 86_400_000_000_000).tolist()
    assert days == [1, 1, 2, 2, 2]
    assert series.notes == ("column load: 1 missing values are filled in",)


def test_gzip_and_parquet_hold_the_same_series_as_csv(tmp_path):
    frame = many()
    frame.to_parquet(tmp_path / "t.parquet")
    (tmp_path / "t.gz").write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    one, other = (read_series(tmp_path / name, key="id", order="at") for name in ("t.parquet", "t.gz"))
    assert one.kinds == other.kinds
    for name, values in one.measurements.items():
        np.testing.assert_allclose(values, other.measurements[name])


def test_wide_tables_end_a_series_at_its_empty_cells(table):
    text = "name,site,v0,v1,v2,v3\na,x,1,2,3,4\nb,y,5,,7,\nc,x,,,,\n"
    series = read_series(table(text), key="name")
    assert series.layout.form == "wide"
    assert series.lengths.tolist() == [4, 3]
    assert series.measurements["v"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert series.kinds["v"] == "integer"
    assert series.texts("site").tolist() == ["x", "y"]
    assert "1 series without a record are left out" in series.notes


def test_list_columns_are_series(tmp_path):
    pd.DataFrame({"site": ["x", "y"], "v": [[1.5, 2.0], [3.0]], "w": [["p", "q"], ["q"]]}).to_parquet(
        tmp_path / "l.parquet"
    )
    series = read_series(tmp_path / "l.parquet")
    assert series.layout.form == "list"
    assert series.lengths.tolist() == [2, 1]
    assert series.measurements["v"].tolist() == [1.5, 2.0, 3.0]
    assert series.texts("w").tolist() == ["p", "q", "q"]


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (LONG, {}, "series.key"),
        (LONG, {"key": "whom"}, "no column whom"),
        (LONG.replace("2.5", "much"), {"key": "who"}, "'much' in data row"),
        (LONG, {"key": "who", "order": "plan"}, "neither a number nor a date"),
        (LONG, {"key": "who", "columns": SeriesColumns(metadata=["load"])}, "changes within a series"),
        (LONG, {"key": "who", "columns": SeriesColumns(types={"load": "integer"})}, "declared integer, but holds 2.5"),
        ("a,b\n1,2\n", {"key": "a"}, "series.measurements"),
        ("a,b\n", {"key": "a"}, "without rows"),
        ("", {"key": "a"}, "empty"),
        ("a,v0,v1,v2,w0,w1,w2,w3\n1,1,1,1,1,1,1,1\n", {"key": "a"}, "v has 3, w has 4"),
        (LONG, {"key": "who", "layout": "wide"}, "not wide"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(table, text, arguments, message):
    with pytest.raises((InputError, ConfigError)) as caught:
        read_series(table(text), **arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_ids_are_no_categories(table):
    rows = "\n".join(f"{i % 9},token-{i},{i}" for i in range(5000))
    with pytest.raises(InputError, match=r"5,000 distinct texts.*series\.ignore"):
        read_series(table("k,token,v\n" + rows), key="k")
    assert list(
        read_series(table("k,token,v\n" + rows), key="k", columns=SeriesColumns(ignore=["token"])).measurements
    ) == ["v"]


def arrays(path, **changes):
    flags = np.array([[1, 1, 1], [1, 0, 0]], np.float32)
    feature = np.array([[[0.5, 1, 0], [0, 0, 1], [1, 1, 0]], [[0.25, 0, 1], [0, 0, 0], [0, 0, 0]]], np.float32)
    attribute = np.array([[0, 1, -0.5], [1, 0, 1]], np.float32)
    content = {"data_feature": feature, "data_attribute": attribute, "data_gen_flag": flags} | changes
    np.savez(path, **content)
    described = {
        "features": [{"name": "load", "type": "continuous", "dim": 1, "normalization": "ZERO_ONE"},
                     {"name": "state", "type": "discrete", "dim": 2, "values": ["up", "down"]}],
        "attributes": [{"type": "discrete", "dim": 2},
                       {"name": "x", "type": "continuous", "dim": 1, "normalization": "MINUSONE_ONE"}],
    }  # fmt: skip
    path.with_name(f"{path.stem}.fields.json").write_text(json.dumps(described))
    return path


def test_the_three_arrays_are_read(tmp_path):
    series = read_series(arrays(tmp_path / "data_train.npz"))
    assert series.lengths.tolist() == [3, 1]
    assert series.measurements["load"].tolist() == [0.5, 0, 1, 0.25]
    assert series.texts("state").tolist() == ["up", "down", "up", "down"]
    assert series.texts("attribute0").tolist() == ["1", "0"]
    assert series.metadata["x"].tolist() == [-0.5, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data_feature": np.array([[[{}]]], dtype=object)}, "never loaded"),
        ({"data_gen_flag": np.array([[1, 0, 1], [1, 0, 0]])}, "may end only once"),
        ({"data_attribute": np.zeros((3, 3))}, "do not go together"),
        ({"data_attribute": np.full((2, 3), np.nan)}, "NaN"),
        ({"data_attribute": np.zeros((2, 4))}, "4 columns, its description 3"),
        ({"data_attribute": np.full((2, 3), 7.0)}, "outside -1 to 1"),
    ],
)
def test_three_arrays_that_do_not_fit_are_refused(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        read_series(arrays(tmp_path / "data_train.npz", **changes))


def test_the_pickle_beside_the_three_arrays_is_not_asked_for(tmp_path):
    path = arrays(tmp_path / "data_train.npz")
    path.with_name("data_train.fields.json").unlink()
    with pytest.raises(InputError, match=r"data_train\.fields\.json"):
        read_series(path)


@pytest.mark.parametrize("style", ["gan", "autoregressive"])
@pytest.mark.parametrize("fold", [None, 1, 4])
def test_encoding_and_decoding_give_the_same_series(tmp_path, style, fold):
    many().to_csv(tmp_path / "t.csv", index=False)
    series = read_series(tmp_path / "t.csv", key="id", order="at")
    codec = SeriesCodec.fit(series, style=style, fold=fold)
    codec = SeriesCodec.from_json(json.loads(json.dumps(codec.to_json())))
    encoded = codec.encode(series)
    back = codec.decode(encoded, seed=0)
    assert np.array_equal(back.offsets, series.offsets)
    for side in ("metadata", "measurements"):
        for name, values in getattr(series, side).items():
            np.testing.assert_allclose(getattr(back, side)[name], values, rtol=1e-4, atol=1e-4, err_msg=name)
    assert codec.template.layout == series.layout


@given(st.integers(0, 2**32), st.sampled_from(["gan", "autoregressive"]))
@settings(max_examples=15, deadline=None)
def test_whatever_a_generator_makes_decodes_to_valid_series(tmp_path_factory, seed, style):
    path = tmp_path_factory.mktemp("drawn") / "t.csv"
    many(12).to_csv(path, index=False)
    series = read_series(path, key="id", order="at")
    codec, rng = SeriesCodec.fit(series, style=style), np.random.default_rng(seed)

    def drawn(columns, rows):
        kinds = [rng.integers(0, c.cardinality, rows) if c.cardinality else rng.random(rows) for c in columns]
        return np.stack(kinds, axis=1).astype(np.float32)

    offsets = np.array([0, 1, 4, 9])
    back = codec.decode(
        Encoded(drawn(codec.schema.metadata, 3), drawn(codec.schema.measurements, 9), offsets, codec.schema), seed=0
    )
    assert len(back) == 3
    for name, values in back.measurements.items():
        assert np.isfinite(values).all()
        assert values.min() >= series.measurements[name].min() - 1e-9
        assert values.max() <= series.measurements[name].max() + 1e-9
    assert (back.measurements["count"] % 5 == 0).all()


def test_levels_that_differ_are_normalised_and_even_steps_cost_nothing(tmp_path):
    frame = many(40)
    frame["at"] = frame.groupby("id").cumcount() * 3600
    frame.to_csv(tmp_path / "t.csv", index=False)
    codec = SeriesCodec.fit(read_series(tmp_path / "t.csv", key="id", order="at"))
    assert [each.name for each in codec.normalized] == ["load"]
    assert {row["field"]: row["encoding"] for row in codec.describe()}["at.step"] == "constant"


def test_series_of_one_length_come_out_with_it(tmp_path):
    many(12, lengths=(20, 21)).to_csv(tmp_path / "t.csv", index=False)
    codec = SeriesCodec.fit(read_series(tmp_path / "t.csv", key="id", order="at"), fold=1)
    made = codec.decode(
        Encoded(
            np.zeros((2, len(codec.schema.metadata)), np.float32),
            np.zeros((23, len(codec.schema.measurements)), np.float32),
            np.array([0, 3, 23]),
            codec.schema,
        ),
        seed=0,
    )
    assert made.lengths.tolist() == [20, 20]
    assert made.notes == ("1 series brought to 20 records",)


def test_constants_alone_are_nothing_to_learn(table):
    text = "k,v0,v1,v2\n" + "".join(f"{i},3,3,3\n" for i in range(12))
    with pytest.raises(Exception, match="all are constant"):
        SeriesCodec.fit(read_series(table(text), key="k"))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(1, 9))
def test_folding_loses_nothing(lengths, fold):
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = np.arange(offsets[-1] * 2, dtype=np.float32).reshape(-1, 2)
    folded, ends, last = fold_records(values, offsets, fold)
    back, again = unfold_records(folded, ends, last, fold)
    assert np.array_equal(back, values)
    assert np.array_equal(again, offsets)


@given(st.lists(st.lists(st.integers(-(2**60), 2**60), min_size=1, max_size=6), min_size=1, max_size=5))
def test_an_order_column_comes_back(groups):
    groups = [sorted(group) for group in groups]
    offsets = np.concatenate([[0], np.cumsum([len(group) for group in groups])])
    numbers = np.concatenate(groups).astype(np.int64)
    start, step = order_columns("t", numbers, offsets)
    assert np.array_equal(order_values(start["t.start"], step["t.step"], offsets), numbers)


def test_a_week_is_folded(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"k": np.repeat(np.arange(20), 70), "day": np.tile(np.arange(70), 20)})
    frame["v"] = np.where(frame["day"] % 7 < 5, 1.0, 0.2) + rng.normal(0, 0.1, len(frame))
    frame.to_csv(tmp_path / "t.csv", index=False)
    assert best_fold(read_series(tmp_path / "t.csv", key="k", order="day")) == 7


def test_autocorrelation_of_a_sine_is_a_cosine():
    t = np.arange(7 * 200)
    lagged = mean_autocorrelation(np.sin(2 * np.pi * t / 7), np.array([0, len(t)]), 14)
    np.testing.assert_allclose(lagged, np.cos(2 * np.pi * np.arange(15) / 7), atol=0.01)


def test_saved_series_are_loaded_as_they_were(tmp_path):
    many().to_csv(tmp_path / "t.csv", index=False)
    series = read_series(tmp_path / "t.csv", key="id", order="at")
    part, rest = split_series(series, 0.7, 1)
    assert len(part) + len(rest) == len(series)
    save_series(part, tmp_path / "s.parquet")
    back = load_series(tmp_path / "s.parquet")
    assert back.layout == part.layout
    assert back.categories == part.categories
    for name, values in part.measurements.items():
        assert np.array_equal(back.measurements[name], values)
        assert back.measurements[name].dtype == values.dtype
