from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from evertune.data.schema import Column, TableSchema
from evertune.preprocessing.encoders import (
    ENCODING_CHOICES,
    Encoding,
    feature_frame,
    make_encoder,
    ordinal_columns,
)
from evertune.preprocessing.transformers import date_cells

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


DRAWS = np.random.default_rng(0)
N = 200
TABLE = pd.DataFrame(
    {
        "age": DRAWS.normal(size=N),
        "paid": DRAWS.integers(0, 2, N).astype(float),
        "plan": DRAWS.choice(["a", "b"], N),
        "shop": DRAWS.choice(MANY, N),
        "note": DRAWS.choice([f"some note {number}" for number in range(9)], N),
        "since": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(N), unit="h"),
        "when": pd.Timestamp("2026-01-05 13:00") + pd.to_timedelta(np.arange(N), unit="D"),
    }
).astype(dict.fromkeys(("plan", "shop", "note"), "str"))
Y = np.tile([0.0, 1.0], N // 2)


def fit(encoding, schema=SCHEMA, table=TABLE):
    return make_encoder(encoding, schema).fit(feature_frame(table, schema), Y)


def names(encoding, schema=SCHEMA):
    return list(fit(encoding, schema).get_feature_names_out())


def test_a_date_becomes_days_month_weekday_and_hour():
    first = feature_frame(TABLE, SCHEMA).iloc[5]
    assert first["since:days"] == pytest.approx(20454 + 5 / 24)
    assert [first[f"since:{part}"] for part in ("month", "weekday", "hour")] == [1, 3, 5]


def test_the_time_column_gives_weekday_and_hour_alone():
    features = feature_frame(TABLE, SCHEMA)
    assert features.loc[0, ["when:weekday", "when:hour"]].tolist() == [0, 13]
    assert not {"when", "when:days", "when:month"} & set(features)


def test_a_table_without_its_time_column_has_unknown_times():
    features = feature_frame(TABLE.drop(columns="when"), SCHEMA)
    assert features[["when:weekday", "when:hour"]].isna().all(axis=None)
    assert list(features) == list(feature_frame(TABLE, SCHEMA))


def test_a_text_gives_its_lengths():
    features = feature_frame(TABLE.assign(note="two words"), SCHEMA)
    assert features.loc[0, ["note:characters", "note:words"]].tolist() == [9, 2]


def test_a_number_beyond_the_range_of_forests_is_clipped():
    assert feature_frame(TABLE.assign(age=1e300), SCHEMA)["age"].max() == pytest.approx(1e37)


def test_the_last_day_that_dates_know_is_a_number_like_others():
    far = TABLE.assign(since=pd.Series(["9999-12-31"] * N).astype("datetime64[s]"))
    assert feature_frame(far, SCHEMA).loc[0, "since:days"] == 2932896


def test_a_date_has_the_days_that_a_single_cell_has():
    moment = datetime(2031, 5, 6, 7, 8, 9, 123457, tzinfo=UTC)
    features = feature_frame(TABLE.assign(since=pd.Timestamp(moment).tz_localize(None)), SCHEMA)
    assert features.loc[0, "since:days"] == date_cells(moment)[0]


def test_an_unknown_date_has_no_days():
    features = feature_frame(TABLE.assign(since=pd.NaT), SCHEMA)
    assert features["since:days"].isna().all()


def test_a_feature_named_like_a_part_of_a_date_keeps_its_cells():
    named = Column("since:days", "number")
    schema = replace(SCHEMA, features=(*SCHEMA.features, named, Column("when:hour", "number")))
    features = feature_frame(TABLE.assign(**{"since:days": 7.0, "when:hour": 99.0}), schema)
    assert features.loc[0, ["since:days", "when:hour", "when::hour"]].tolist() == [7, 99, 13]
    assert features.loc[0, "since::days"] == pytest.approx(20454)


@pytest.mark.parametrize(
    ("method", "first"),
    [("one_hot", []), ("target", []), ("ordinal", ["plan"]), ("ordinal_all", ["plan", "shop"])],
)
def test_ordinal_codes_come_first(method, first):
    encoding = Encoding(categorical_encoding=method)
    assert ordinal_columns(encoding, SCHEMA) == first
    assert names(encoding)[: len(first)] == first


def test_rare_categories_share_a_code_and_a_new_one_is_unknown():
    plans = pd.Series(["x"] * 190 + ["y"] * 5 + ["z"] * 2 + ["w"] * 3, dtype="str")
    encoder = fit(Encoding(categorical_encoding="ordinal"), table=TABLE.assign(plan=plans))
    asked = TABLE.head(5).assign(plan=["x", "y", "z", "new", "z"])
    codes = encoder.transform(feature_frame(asked, SCHEMA))[:, 0]
    assert len(set(codes[:3])) == 3
    assert codes[2] == codes[4]
    assert np.isnan(codes[3])


@pytest.mark.parametrize(
    ("method", "width"), [("one_hot", 2 + 1), ("target", 1 + 1), ("hashed", 2 + 16)]
)
def test_a_category_becomes_columns_of_0_and_1_or_one_mean_or_sixteen_of_a_hash(method, width):
    kinds = [column for column in SCHEMA.features if column.kind == "category"]
    schema = replace(SCHEMA, features=tuple(kinds), time=None)
    assert len(names(Encoding("scaled", method), schema)) == width


@pytest.mark.filterwarnings("ignore:Bins whose width", "ignore:Feature .* is constant")
@pytest.mark.parametrize("transform", ENCODING_CHOICES["numeric_transform"])
def test_missing_values_unseen_categories_and_empty_columns_are_harmless(transform):
    encoder = fit(Encoding(transform), table=TABLE.assign(paid=np.nan))
    strange = TABLE.head(3).assign(plan="new", shop="new", note=None, since=pd.NaT, age=np.nan)
    encoded = encoder.transform(feature_frame(strange, SCHEMA))
    assert encoded.dtype == float
    assert transform == "plain" or np.isfinite(encoded).all()


def test_an_extreme_value_has_little_effect_on_robust_numbers():
    schema = replace(SCHEMA, features=SCHEMA.features[:1], time=None)
    far = feature_frame(TABLE.head(1).assign(age=1e9), schema)
    assert abs(fit(Encoding("robust"), schema).transform(far)[0, 0]) < 5


def test_the_mean_of_the_target_is_learned_from_other_rows():
    alone = feature_frame(TABLE.assign(shop=[f"l{number % 40}" for number in range(N)]), SCHEMA)
    own, others = (make_encoder(Encoding(), SCHEMA).fit_transform(alone, y) for y in (Y, 1 - Y))
    assert not np.allclose(own, others)


@pytest.mark.parametrize(
    ("interactions", "parts"),
    [
        ("none", set()),
        ("numeric", {"products"}),
        ("categorical", {"crosses"}),
        ("both", {"products", "crosses"}),
        ("arithmetic", {"products"}),
    ],
)
def test_interactions_are_added_where_an_encoding_asks_for_them(interactions, parts):
    encoder = fit(Encoding(interactions=interactions))
    assert {"products", "crosses"} & set(encoder.named_transformers_) == parts


def test_one_column_has_no_interactions():
    schema = replace(SCHEMA, features=(Column("plan", "category", ("a", "b")),), time=None)
    encoder = fit(Encoding(interactions="both"), schema)
    assert not {"products", "crosses"} & set(encoder.named_transformers_)


@pytest.mark.parametrize("field", ENCODING_CHOICES)
def test_an_encoding_that_does_not_exist_is_refused(field):
    with pytest.raises(ValueError, match=rf"{field} must be one of .*, but got 'odd'"):
        Encoding(**{field: "odd"})
