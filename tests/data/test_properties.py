"""Rules of the data room that hold for any table."""

import csv
import io

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from evertune.data.csv_dialects import decode_csv, parse_csv
from evertune.data.folds import make_folds
from evertune.data.holdout import add_row_keys, split_table
from evertune.data.schema import Column, TableSchema

CELLS = st.none() | st.floats(-1e6, 1e6)
ROWS = st.lists(st.tuples(CELLS, CELLS), min_size=40, max_size=80)
EXAMPLES = settings(max_examples=25, deadline=None)


def _split(rows, schema, seed=0, **columns):
    table = pd.DataFrame(rows, columns=["a", "b"], dtype=float).assign(**columns)
    table = add_row_keys(table, schema).assign(row=np.arange(len(table)))
    return split_table(table, schema, fraction=0.4, seed=seed)


def _schema(**roles):
    features = (Column("a", "number"), Column("b", "number"))
    return TableSchema(features, "y", "regression", **roles)


@EXAMPLES
@given(rows=st.lists(st.tuples(CELLS, CELLS), min_size=40, max_size=80, unique=True), more=ROWS)
def test_a_row_keeps_its_side_when_rows_are_added(rows, more):
    before, after = _split(rows, _schema()), _split([*rows, *more], _schema())
    for side in ("training", "holdout"):
        assert set(getattr(before, side)["row"]) <= set(getattr(after, side)["row"])


@EXAMPLES
@given(rows=ROWS, data=st.data(), with_time=st.booleans(), seed=st.integers(0, 3))
def test_a_group_is_never_on_both_sides_of_a_split(rows, data, with_time, seed):
    n_rows = len(rows)
    ids = st.lists(st.integers(0, 30).map("g{}".format), min_size=n_rows, max_size=n_rows)
    groups = pd.Series(data.draw(ids), dtype="str")
    groups.iloc[:31] = [f"g{number}" for number in range(31)]
    columns = {"group": groups} | ({"day": np.arange(float(n_rows))} if with_time else {})
    schema = _schema(group="group", time="day" if with_time else None)
    try:
        split = _split(rows, schema, seed, **columns)
    except ValueError as error:  # each group is among the latest rows
        assert "rows left out because their group is in the hold-out" in str(error)  # noqa: PT017
        return
    assert not set(split.training["group"]) & set(split.holdout["group"])


@EXAMPLES
@given(
    groups=st.lists(st.integers(0, 9), min_size=30, max_size=60),
    with_time=st.booleans(),
    seed=st.integers(0, 3),
)
def test_a_group_is_never_in_both_parts_of_a_fold(groups, with_time, seed):
    codes = np.array([*range(10), *groups])
    times = np.arange(float(codes.size))[::-1] if with_time else None
    try:
        folds = make_folds(
            "auto", n_rows=codes.size, y_true=np.zeros(codes.size), groups=codes, times=times,
            n_folds=3, n_repeats=1, gap_days=0, seed=seed, task="regression",
        )  # fmt: skip
    except ValueError as error:
        assert "has no training rows" in str(error)  # noqa: PT017
        return
    for fold in folds:
        assert not set(codes[fold.training]) & set(codes[fold.validation])


WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@EXAMPLES
@given(
    rows=st.lists(st.tuples(WORDS, WORDS), min_size=1),
    delimiter=st.sampled_from(",;\t|"),
    ending=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_a_csv_file_reads_back_as_it_was_written(rows, delimiter, ending, encoding):
    rows = [row for row in rows if row != ("first", "second")]  # a repeated header is refused
    rows.append(("last", ""))
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=ending, quoting=csv.QUOTE_ALL)
    writer.writerows([("first", "second"), *rows])
    content = buffer.getvalue().encode(encoding)
    table = parse_csv(decode_csv(content, "a.csv", encoding=encoding, delimiter=delimiter), "a.csv")
    assert [*table] == ["first", "second"]
    assert [tuple(row) for row in table.to_numpy()] == rows
