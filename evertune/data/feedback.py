"""Merge labelled production rows into the training table, and read evaluation tables.

`merge_feedback` counts a row of both sources once: production's row wins, because its label is
newer and its inputs are those that were known at prediction time. Rows match by identifier, or
by all their cells where there is none. `parse_evaluation_table` reads any table with a target
and leaves out the rows that the model was trained or selected on.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from evertune.data.cleaning import conform_to_schema
from evertune.data.holdout import ROW_KEY, add_row_keys
from evertune.data.inference import parse_target
from evertune.data.labels import describe_expected_label, normalize_label_column
from evertune.data.schema import MOMENT_COLUMN, Column, PreparedTable, TableSchema, TableSpec
from evertune.data.validation import DataIssue, issue_for_cells
from evertune.messages import did_you_mean
from evertune.types import Mask


@dataclass(frozen=True, eq=False)
class MergedTable:
    """A clean table of the source and of production.

    Attributes
    ----------
    clean : DataFrame
        With `moment`: when a row of production happened, NaT for a row of the source.
    schema : TableSchema
        The source's, with the categories and ranges of the joined rows.
    n_absorbed : int
        Rows of production.
    n_replaced : int
        Rows of the source that are rows of production too, and so count once.
    n_unusable : int
        Rows of production without a time, a group or a label that the schema knows.
    breaches : tuple of DataIssue
        Their cells that could not be read, which count as missing.
    """

    clean: pd.DataFrame
    schema: TableSchema
    n_absorbed: int
    n_replaced: int
    n_unusable: int
    breaches: tuple[DataIssue, ...]


def merge_feedback(
    prepared: PreparedTable, absorbed: pd.DataFrame, declared: TableSpec
) -> MergedTable:
    """Return the source's clean table with labelled rows of production, each row once.

    A row of both is production's: its label is the newer one, its inputs are those that were
    known when it was predicted. Rows are the same by their identifier; without one by all they
    hold, and then as many of the source's give way as production has.

    Parameters
    ----------
    prepared : PreparedTable
        Of the source, whose schema holds.
    absorbed : DataFrame of n rows
        Raw columns, the target and `moment`; the label that came last stands last. Columns that
        it lacks are missing.
    declared : TableSpec

    Examples
    --------
    >>> clean = pd.DataFrame({"id": ["a", "b"], "age": [1.0, 2.0], "price": [3.0, 4.0]})
    >>> schema = TableSchema((Column("age", "number"),), "price", "regression", identifier="id")
    >>> late = pd.DataFrame({"id": ["b"], "age": [9], "price": [5.0], "moment": pd.NaT})
    >>> found = merge_feedback(PreparedTable(clean, schema, {}, 0), late, TableSpec("price", identifier="id"))
    >>> found.clean[["id", "age", "price"]].values.tolist()
    [['a', 1.0, 3.0], ['b', 9.0, 5.0]]
    """
    schema, source = prepared.schema, prepared.clean
    source = source.assign(
        **{MOMENT_COLUMN: pd.Series(pd.NaT, source.index, dtype="datetime64[us]")}
    )
    late, breaches = _clean_labelled_rows(absorbed, schema, declared)
    usable = late[_usable_rows(late, schema)]
    keys = add_row_keys(usable, schema)[ROW_KEY]
    if schema.identifier is not None:
        usable, keys = usable[~keys.duplicated(keep="last")], keys.drop_duplicates(keep="last")
    stays = _source_rows_to_keep(
        add_row_keys(source, schema)[ROW_KEY], keys, whole=bool(schema.identifier)
    )
    parts = [source[stays], usable.reindex(columns=source.columns)] if len(usable) else [source]
    clean = pd.concat(parts, ignore_index=True).astype(source.dtypes.to_dict())
    return MergedTable(
        clean=clean,
        schema=_extend_schema(schema, clean) if len(usable) else schema,
        n_absorbed=len(usable),
        n_replaced=int((~stays).sum()),
        n_unusable=len(late) - len(usable),
        breaches=breaches,
    )


def clean_production_rows(
    absorbed: pd.DataFrame, schema: TableSchema
) -> tuple[pd.DataFrame, tuple[DataIssue, ...]]:
    """Return absorbed rows as clean rows without target, and their cells that cannot be read.

    Parameters
    ----------
    absorbed : DataFrame of n rows
        Raw columns and `moment`, which is the time of a row that has none.
    schema : TableSchema

    Examples
    --------
    >>> schema = TableSchema((Column("age", "number"),), "price", "regression")
    >>> late = pd.DataFrame({"moment": pd.to_datetime(["2024-01-01"])})
    >>> clean_production_rows(late, schema)[0].values.tolist()
    [[nan, Timestamp('2024-01-01 00:00:00')]]
    """
    raw = absorbed.reset_index(drop=True)
    named = [column.name for column in schema.features]
    named += [name for name in (schema.time, schema.identifier, schema.group) if name]
    absent = {name: pd.Series(None, raw.index, dtype="str") for name in named if name not in raw}
    features, breaches = conform_to_schema(raw.assign(**absent), schema)
    clean = features.assign(**{MOMENT_COLUMN: raw[MOMENT_COLUMN].astype("datetime64[us]")})
    if schema.time is not None and clean[schema.time].dtype.kind == "M":
        clean[schema.time] = clean[schema.time].fillna(clean[MOMENT_COLUMN])
    return clean, breaches


def _clean_labelled_rows(
    absorbed: pd.DataFrame, schema: TableSchema, declared: TableSpec
) -> tuple[pd.DataFrame, tuple[DataIssue, ...]]:
    clean, breaches = clean_production_rows(absorbed, schema)
    none = pd.Series(None, absorbed.index, dtype="str", name=schema.target)
    target = parse_target(absorbed.get(schema.target, none), schema.task, declared)
    return clean.assign(**{schema.target: target.to_numpy()}), breaches


def _usable_rows(late: pd.DataFrame, schema: TableSchema) -> Mask:
    needed = [name for name in (schema.target, schema.time, schema.group) if name]
    complete = late[needed].notna().all(axis="columns")
    known = late[schema.target].isin(schema.classes) if schema.classes else complete
    return np.asarray(complete & known)


def _source_rows_to_keep(source: pd.Series, late: pd.Series, *, whole: bool) -> Mask:
    """Return which rows of the source stay, by their keys and those of production."""
    if whole:
        return np.asarray(~source.isin(late))
    given_way = source.map(late.value_counts()).fillna(0)
    return np.asarray(source.groupby(source).cumcount() >= given_way)


def _extend_schema(schema: TableSchema, clean: pd.DataFrame) -> TableSchema:
    features = tuple(_extend_column(column, clean[column.name]) for column in schema.features)
    return replace(schema, features=features)


def _extend_column(column: Column, values: pd.Series) -> Column:
    known: Iterable[str] = values.dropna().unique()
    if column.kind == "category":
        return replace(column, categories=tuple(sorted({*column.categories, *known})))
    if column.kind == "number" and values.notna().any():
        return replace(column, minimum=float(values.min()), maximum=float(values.max()))
    return column


DIGEST_LENGTH = 12


@dataclass(frozen=True, eq=False)
class EvaluationTable:
    """Rows that can judge a model.

    Attributes
    ----------
    table : DataFrame
        Clean rows with the target and a `row_key`, and the columns that were asked for beside.
    n_unlabelled : int
        Rows that were left out, for they have no target.
    n_trained : int
        Rows that were left out, for the model was trained or chosen on them.
    n_repeated : int
        Rows of the table that repeat an earlier one.
    """

    table: pd.DataFrame
    n_unlabelled: int
    n_trained: int
    n_repeated: int


def parse_evaluation_table(
    raw: pd.DataFrame, schema: TableSchema, *, trained: Sequence[str], beside: Sequence[str] = ()
) -> tuple[EvaluationTable | None, tuple[DataIssue, ...]]:
    """Return the rows of a raw table that can judge a model; None where there are breaches.

    Parameters
    ----------
    raw : DataFrame
        Typed or text cells.
    schema : TableSchema
        Of the model.
    trained : sequence of str
        Keys of the rows that the model was trained or chosen on.
    beside : sequence of str
        Columns that are kept beside the clean ones where the table has them, such as those that
        no model may see.

    Examples
    --------
    >>> from evertune.data.schema import Column
    >>> schema = TableSchema((Column("age", "number"),), "left", "binary", ("no", "yes"))
    >>> raw = pd.DataFrame({"age": ["31", "40"], "left": ["yes", ""]})
    >>> found, breaches = parse_evaluation_table(raw, schema, trained=())
    >>> found.table["left"].tolist(), found.n_unlabelled, breaches
    (['yes'], 1, ())
    """
    if schema.target not in raw:
        nearest = did_you_mean(schema.target, [str(name) for name in raw.columns])
        problem = "the target is expected, but the table has no such column"
        return None, (DataIssue(schema.target, problem, remedy=nearest.strip()),)
    clean, breaches = conform_to_schema(raw, schema)
    truth, wrong = _parse_target_labels(raw[schema.target].reset_index(drop=True), schema)
    if breaches or wrong:
        return None, (*breaches, *wrong)
    extra = {name: raw[name].to_numpy() for name in beside if name in raw and name not in clean}
    whole = add_row_keys(clean, schema).assign(**{schema.target: truth}, **extra)
    known = whole.dropna(subset=[schema.target])
    seen = known[ROW_KEY].isin(set(trained))
    table = known[~seen].reset_index(drop=True)
    n_repeated = int(table[ROW_KEY].duplicated().sum())
    return EvaluationTable(table, len(whole) - len(known), int(seen.sum()), n_repeated), ()


def count_unseen_category_rows(table: pd.DataFrame, schema: TableSchema) -> int:
    """Return how many rows have a category that is not in the schema.

    Examples
    --------
    >>> from evertune.data.schema import Column
    >>> schema = TableSchema((Column("plan", "category", ("a",)),), "y", "binary")
    >>> count_unseen_category_rows(pd.DataFrame({"plan": ["a", "b", None]}), schema)
    1
    """
    strange = np.zeros(len(table), dtype=bool)
    for column in schema.features:
        if column.kind == "category":
            cells = table[column.name]
            strange |= (cells.notna() & ~cells.isin(column.categories)).to_numpy()
    return int(strange.sum())


def digest_table(raw: pd.DataFrame) -> str:
    """Return a short hash of a table's columns and cells, in their order.

    Examples
    --------
    >>> len(digest_table(pd.DataFrame({"a": [1, 2]})))
    12
    """
    digest = hashlib.sha256("\x1f".join(map(str, raw.columns)).encode())
    digest.update(pd.util.hash_pandas_object(raw.astype(str), index=False).to_numpy().tobytes())
    return digest.hexdigest()[:DIGEST_LENGTH]


def _parse_target_labels(
    cells: pd.Series, schema: TableSchema
) -> tuple[pd.Series, tuple[DataIssue, ...]]:
    texts, bad = normalize_label_column(cells, schema)
    if bad.any():
        expected = describe_expected_label(cells[bad].iloc[0], schema)
        remedy = expected[0].upper() + expected[1:]
        found = issue_for_cells(
            cells, bad, problem="cells are no label of the model", remedy=remedy
        )
        return texts, found
    return (texts if schema.classes else texts.astype(float)), ()
