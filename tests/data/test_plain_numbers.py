import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from evertune.data.cleaning import conform_to_schema, infer_schema, prepare_table
from evertune.data.column_kinds import detect_formats, find_unusable_columns, infer_kind
from evertune.data.number_formats import PLAIN
from evertune.data.parsing import as_number
from evertune.data.plain_numbers import find_plain_numbers
from evertune.data.schema import TableSpec

NUMBERS = [
    *("0", "1", "-2", "+3", "2.5", ".5", "7.", "1e3", "-0.0", "1.438", "12.345", "9.123"),
    *("", " ", "NA", "-999", "\u00a06", "1e-400"),
]
OTHERS = ["007", "1e39", "inf", "1,5", "x", "\u2212", "3 kg", "1e400", "0x1", "true"]
COLUMNS = st.one_of(
    st.lists(st.sampled_from(NUMBERS), min_size=20, max_size=20),
    st.lists(st.sampled_from(["1.438", "989", "12.345"]), min_size=20, max_size=20),
    st.lists(st.sampled_from([*NUMBERS, *OTHERS]), min_size=20, max_size=20),
    st.permutations(range(20)).map(lambda places: [str(place) for place in places]),
)


@settings(max_examples=40, deadline=None)
@given(
    columns=st.lists(COLUMNS, min_size=1, max_size=4),
    missing=st.sampled_from([(), ("-999",)]),
    decimal=st.sampled_from([None, ".", ","]),
)
def test_columns_that_are_read_together_are_read_as_one_by_one(columns, missing, decimal):
    names = ["a", "b_id", "c", "d"][: len(columns)]
    raw = pd.DataFrame(dict(zip(names, columns, strict=True)), dtype="str")
    raw["y"] = pd.Series(["no", "yes"] * 10, dtype="str")
    for name, numbers in find_plain_numbers(raw, missing).items():
        values, bad = as_number(raw[name], missing=missing)
        assert infer_kind(raw[name], missing) == "number"
        assert not bad.any()
        np.testing.assert_array_equal(numbers.values, values)
        assert numbers.are_read_by(PLAIN)
    spec = detect_formats(raw, TableSpec("y", missing_values=missing, decimal=decimal))
    excluded = find_unusable_columns(raw, spec)
    assert find_unusable_columns(raw, spec, {}) == excluded
    prepared, issues = prepare_table(raw, spec)
    if len(excluded) == len(columns):
        assert prepared is None
        return
    schema = infer_schema(raw, TableSpec(**{**vars(spec), "ignore": tuple(excluded)}))
    clean, alone = conform_to_schema(raw, schema)
    if prepared is None:
        assert {issue.column for issue in issues} >= {issue.column for issue in alone}
        return
    assert prepared.schema == schema
    pd.testing.assert_frame_equal(prepared.clean[[*clean]], clean)


def test_in_a_long_table_a_late_word_makes_a_column_none():
    cells = [str(n) for n in range(5000)]
    raw = pd.DataFrame({"a": cells, "b": [*cells[:-1], "x"]}, dtype="str")
    assert find_plain_numbers(raw).keys() == {"a"}
