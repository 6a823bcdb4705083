from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import numpy as np
import pandas as pd
import pytest

from evertune.data.schema import Column, TableSchema
from evertune.models.compiled_rows import date_features
from evertune.preprocessing.encoders import (
    CATEGORICAL_ENCODINGS,
    INTERACTION_KINDS,
    NUMERIC_ENCODINGS,
    NUMERIC_TRANSFORMERS,
    EncodingSpec,
    feature_frame,
    format_encoding,
    make_encoder,
    make_numeric_encoder,
    make_ordinal_encoder,
    ordinal_columns,
    parse_encoding,
)
from evertune.preprocessing.text import TEXT_ENCODINGS

MANY = tuple(f"l{number}" for number in range(40))
SCHEMA = TableSchema(
    (
        Column("age", "number"),
        Column("paid", "boolean"),
        Column("plan", "category", ("a", "b")),
        Column("shop", "category", MANY),
        Column("note", "text"),
        Column("since", "date"),
    ),
    "y",
    "binary",
    ("no", "yes"),
    time="when",
)


@pytest.fixture
def table():
    draws = np.random.default_rng(0)
    n = 200
    return pd.DataFrame(
        {
            "age": draws.normal(size=n),
            "paid": draws.integers(0, 2, n).astype(float),
            "plan": draws.choice(["a", "b"], n),
            "shop": draws.choice(MANY, n),
            "note": draws.choice([f"some note {number}" for number in range(9)], n),
            "since": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(n), unit="h"),
            "when": pd.Timestamp("2026-01-05 13:00") + pd.to_timedelta(np.arange(n), unit="D"),
        }
    ).astype(dict.fromkeys(("plan", "shop", "note"), "str"))


@pytest.fixture
def truth():
    return np.tile([0.0, 1.0], 100)


def test_a_date_becomes_days_month_weekday_and_hour(table):
    first = feature_frame(table, SCHEMA).iloc[5]
    assert first["since:days"] == pytest.approx(20454 + 5 / 24)
    assert [first[f"since:{part}"] for part in ("month", "weekday", "hour")] == [1, 3, 5]


def test_the_time_column_gives_weekday_and_hour_alone(table):
    made = feature_frame(table, SCHEMA)
    assert made.loc[0, ["when:weekday", "when:hour"]].tolist() == [0, 13]
    assert not {"when", "when:days", "when:month"} & set(made)


def test_a_table_without_its_time_column_has_unknown_times(table):
    made = feature_frame(table.drop(columns="when"), SCHEMA)
    assert made[["when:weekday", "when:hour"]].isna().all(axis=None)
    assert list(made) == list(feature_frame(table, SCHEMA))


def test_a_text_gives_its_lengths(table):
    made = feature_frame(table.assign(note="two words"), SCHEMA)
    assert made.loc[0, ["note:characters", "note:words"]].tolist() == [9, 2]


def test_a_number_beyond_the_range_of_forests_is_clipped(table):
    assert feature_frame(table.assign(age=1e300), SCHEMA)["age"].max() == pytest.approx(1e37)


def test_the_last_day_that_dates_know_is_a_number_like_others(table):
    far = table.assign(since=pd.Series(["9999-12-31"] * 200).astype("datetime64[s]"))
    assert feature_frame(far, SCHEMA).loc[0, "since:days"] == 2932896


def test_a_date_has_the_days_that_a_single_cell_has(table):
    moment = datetime(2031, 5, 6, 7, 8, 9, 123457, tzinfo=UTC)
    made = feature_frame(table.assign(since=pd.Timestamp(moment).tz_localize(None)), SCHEMA)
    assert made.loc[0, "since:days"] == date_features(moment)[0]


def test_an_unknown_date_has_no_days(table):
    made = feature_frame(table.assign(since=pd.NaT), SCHEMA)
    assert made["since:days"].isna().all()


@pytest.mark.parametrize(
    ("form", "first"),
    [
        ("plain", []),
        ("ordinal", ["plan"]),
        ("ordinal_all", ["plan", "shop"]),
        ("scaled+target", []),
    ],
)
def test_the_columns_that_a_form_makes_codes_come_first(table, truth, form, first):
    fitted = make_encoder(form, SCHEMA).fit(feature_frame(table, SCHEMA), truth)
    assert ordinal_columns(form, SCHEMA) == first
    assert list(fitted.get_feature_names_out())[: len(first)] == first


def test_levels_as_means_of_the_target_are_one_column_each(table, truth):
    widths = [
        make_encoder(form, SCHEMA).fit_transform(feature_frame(table, SCHEMA), truth).shape[1]
        for form in ("scaled+target", "scaled")
    ]
    assert widths[1] - widths[0] == len(("a", "b")) - 1


@pytest.mark.filterwarnings("ignore:Bins whose width", "ignore:Feature .* is constant")
@pytest.mark.parametrize("form", NUMERIC_ENCODINGS)
def test_missing_values_and_unseen_levels_are_harmless(table, truth, form):
    fitted = make_encoder(form, SCHEMA).fit(feature_frame(table, SCHEMA), truth)
    strange = table.head(3).assign(plan="new", shop="new", note=None, since=pd.NaT, age=np.nan)
    encoded = fitted.transform(feature_frame(strange, SCHEMA))
    assert encoded.dtype == float
    assert form in ("plain", "ordinal", "ordinal_all") or np.isfinite(encoded).all()


def test_the_mean_of_the_target_is_learned_from_other_rows(table, truth):
    alone = table.assign(shop=[f"l{number % 40}" for number in range(200)])
    own = make_encoder("plain", SCHEMA).fit_transform(feature_frame(alone, SCHEMA), truth)
    others = make_encoder("plain", SCHEMA).fit_transform(feature_frame(alone, SCHEMA), 1 - truth)
    assert not np.allclose(own, others)


def test_a_feature_named_like_a_part_of_a_date_keeps_its_cells(table):
    named = Column("since:days", "number")
    schema = replace(SCHEMA, features=(*SCHEMA.features, named, Column("when:hour", "number")))
    made = feature_frame(table.assign(**{"since:days": 7.0, "when:hour": 99.0}), schema)
    assert made.loc[0, ["since:days", "when:hour", "when::hour"]].tolist() == [7, 99, 13]
    assert made.loc[0, "since::days"] == pytest.approx(20454)


@pytest.mark.parametrize(("form", "width"), [("scaled", 0), ("scaled+hashed", 15)])
def test_many_levels_are_one_mean_or_sixteen_columns_of_a_hash(table, truth, form, width):
    plain = make_encoder("scaled", SCHEMA).fit(feature_frame(table, SCHEMA), truth)
    found = make_encoder(form, SCHEMA).fit(feature_frame(table, SCHEMA), truth)
    gained = len(found.get_feature_names_out()) - len(plain.get_feature_names_out())
    assert gained == width


@pytest.mark.parametrize(
    ("form", "parts"),
    [
        ("plain+interactions:numeric", {"products"}),
        ("plain+interactions:categorical", {"crosses"}),
        ("ordinal_all+interactions:both", {"products", "crosses"}),
        ("ordinal_all", set()),
    ],
)
def test_pairs_are_added_where_a_form_asks_for_them(table, truth, form, parts):
    found = make_encoder(form, SCHEMA).fit(feature_frame(table, SCHEMA), truth)
    assert {"products", "crosses"} & set(found.named_transformers_) == parts


def test_one_column_makes_no_pair(table, truth):
    schema = replace(SCHEMA, features=SCHEMA.features[2:4], time=None)
    found = make_encoder("plain+interactions:both", schema).fit(feature_frame(table, schema), truth)
    assert "products" not in found.named_transformers_


DRAWS = np.random.default_rng(0)


@pytest.mark.filterwarnings("ignore:Bins whose width", "ignore:Feature .* is constant")
@pytest.mark.parametrize("way", NUMERIC_TRANSFORMERS)
def test_a_column_without_a_value_is_harmless(way):
    X = np.column_stack([DRAWS.normal(size=200), np.full(200, np.nan)])
    assert np.isfinite(make_numeric_encoder(way).fit_transform(X)).all()


def test_an_extreme_value_has_no_great_say_in_robust_numbers():
    X = DRAWS.normal(size=(200, 1))
    found = make_numeric_encoder("robust").fit(X).transform(np.array([[1e9]]))
    assert abs(found[0, 0]) < 5


def test_rare_levels_share_a_code_and_a_new_one_is_unknown():
    levels = pd.DataFrame({"a": ["x"] * 9 + ["y", "z"]}, dtype=object)
    codes = (
        make_ordinal_encoder().fit(levels).transform(pd.DataFrame({"a": ["x", "y", "z", "new"]}))
    )
    assert codes[1, 0] == codes[2, 0] != codes[0, 0]
    assert np.isnan(codes[3, 0])


@pytest.mark.parametrize("form", NUMERIC_ENCODINGS)
def test_every_form_has_one_name(form):
    assert format_encoding(parse_encoding(form)) == form


def test_every_way_can_be_read_from_its_name():
    numbers = ("scaled", "box_cox", "plain")
    for parts in product(numbers, CATEGORICAL_ENCODINGS, TEXT_ENCODINGS, INTERACTION_KINDS):
        name = format_encoding(EncodingSpec(*parts))
        assert format_encoding(parse_encoding(name)) == name
        assert parse_encoding(name).categorical_encoding == parts[1]


@pytest.mark.parametrize(
    "form",
    [
        "round",
        "scaled+round",
        "scaled+text:odd",
        "plain+interactions:odd",
        "plain+ordinal_all+target",
    ],
)
def test_a_form_that_does_not_exist_is_refused(form):
    with pytest.raises(ValueError, match=r"encoding must be one of scaled, .* but got "):
        parse_encoding(form)
