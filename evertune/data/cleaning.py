"""Clean a raw table: infer its schema, conform its columns, and report all issues at once.

`prepare_table` returns the clean table, or None with every issue. `conform_to_schema` turns any
raw table into the columns of a known schema, also at prediction time: categories that the
schema does not know are kept, and columns that it does not name are dropped.
`parse_given_predictions` reads predictions of people or of the system in use, which a table may
hold.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace

import pandas as pd

from evertune.data.inference import (
    ParsedColumn,
    describe_time_column,
    find_unusable_columns,
    infer_classes,
    infer_kind,
    parse_class_labels,
    parse_target,
    read_column,
    read_number,
    resolve_task,
    target_issues,
    text_issues,
)
from evertune.data.parsing import as_number, as_text, detect_day_first
from evertune.data.schema import RESERVED_COLUMNS, Column, PreparedTable, TableSchema, TableSpec
from evertune.data.validation import DataIssue, issue_for_cells, quote_list
from evertune.messages import did_you_mean


def infer_schema(raw: pd.DataFrame, declared: TableSpec) -> TableSchema:
    """Return the schema of a raw table whose roles and target were checked.

    Parameters
    ----------
    raw : DataFrame
        Typed or text cells.
    declared : TableSpec

    Raises
    ------
    ValueError
        Where a column is not there, or no feature is left.

    Examples
    --------
    >>> raw = pd.DataFrame({"age": ["31", "?"], "left": ["no", "yes"]})
    >>> schema = infer_schema(raw, TableSpec("left", positive="yes", missing_values=("?",)))
    >>> schema.features[0].kind, schema.features[0].maximum, schema.classes
    ('number', 31.0, ('no', 'yes'))
    """
    roles = declared.roles
    _check_columns_exist(raw, list(roles.values()))
    names = [name for name in raw.columns if name not in {*roles.values(), *declared.ignore}]
    if not names:
        raise ValueError("Expected at least one feature, but none is left.")
    task = resolve_task(raw[declared.target], declared)
    time = roles.get("time")
    return TableSchema(
        features=tuple(describe_column(raw[name], declared) for name in names),
        target=declared.target,
        task=task,
        classes=infer_classes(raw[declared.target], task, declared),
        identifier=declared.identifier,
        time=time,
        group=declared.group,
        human=declared.human,
        existing=declared.existing,
        time_column=describe_time_column(raw[time], missing=declared.missing_values)
        if time
        else None,
        missing_values=declared.missing_values,
        decimal=declared.decimal,
    )


def _check_columns_exist(raw: pd.DataFrame, names: Collection[str]) -> None:
    absent = [name for name in names if name not in raw.columns]
    if absent:
        raise ValueError(f"Expected the columns {absent}, but the table lacks them.")


def describe_column(column: pd.Series, declared: TableSpec) -> Column:
    """Return what a raw column is; a look tells its kind where none is declared.

    Examples
    --------
    >>> describe_column(pd.Series(["b", "a", ""], name="plan"), TableSpec("left")).categories
    ('a', 'b')
    """
    name, missing, decimal = str(column.name), declared.missing_values, declared.decimal
    kind = declared.columns.get(name) or infer_kind(column, missing, decimal=decimal)
    if kind == "number":
        values = as_number(column, missing=missing, decimal=decimal)[0].dropna()
        low, high = (float(values.min()), float(values.max())) if len(values) else (None, None)
        return Column(name, kind, minimum=low, maximum=high)
    if kind == "category":
        levels = as_text(column, missing=missing).dropna().unique()
        return Column(name, kind, categories=tuple(sorted(levels)))
    if kind == "date":
        return Column(name, kind, day_first=detect_day_first(column, missing))
    return Column(name, kind)


def conform_to_schema(
    raw: pd.DataFrame, schema: TableSchema
) -> tuple[pd.DataFrame, tuple[DataIssue, ...]]:
    """Return the clean columns of a raw table, and all that keeps it from being one.

    Categories that the schema does not know are kept. The order of columns does not count, and
    columns that the schema does not name are left out.

    Parameters
    ----------
    raw : DataFrame of n rows
        Typed or text cells.
    schema : TableSchema

    Returns
    -------
    DataFrame of n rows, tuple of DataIssue
        The features, the time column, and identifier and group where the table has them, with
        rows numbered from 0. A feature or time column that is not there is a breach.

    Examples
    --------
    >>> schema = TableSchema((Column("age", "number"),), "left", "binary", ("no", "yes"))
    >>> conform_to_schema(pd.DataFrame({"extra": ["x"], "age": ["31"]}), schema)
    (    age
    0  31.0, ())
    """
    raw = raw.reset_index(drop=True).set_axis(raw.columns.map(str), axis="columns")
    wanted = [*schema.features, *_time_columns(schema)]
    twice = tuple(_duplicate_column_issue(name) for name in raw.columns[raw.columns.duplicated()])
    if twice:
        return pd.DataFrame(index=raw.index), twice
    breaches = tuple(
        _missing_feature_issue(raw, column.name) for column in wanted if column.name not in raw
    )
    readings = [
        read_column(raw[column.name], column, missing=schema.missing_values, decimal=schema.decimal)
        for column in wanted
        if column.name in raw
    ]
    names = [name for name in (schema.identifier, schema.group) if name and name in raw]
    parts = [values for values, _ in readings]
    parts += [as_text(raw[name], missing=schema.missing_values) for name in names]
    clean = pd.concat(parts, axis="columns") if parts else pd.DataFrame(index=raw.index)
    return clean, breaches + tuple(breach for _, found in readings for breach in found)


def _time_columns(schema: TableSchema) -> list[Column]:
    if schema.time is None:
        return []
    return [schema.time_column or Column(schema.time, "date")]


def _duplicate_column_issue(name: str) -> DataIssue:
    return DataIssue(name, "the table has several columns of this name", remedy="Rename them.")


def _missing_feature_issue(raw: pd.DataFrame, name: str) -> DataIssue:
    nearest = did_you_mean(name, [str(column) for column in raw.columns])
    return DataIssue(name, "expected, but the table has no such column", remedy=nearest.strip())


def parse_given_predictions(
    column: pd.Series, schema: TableSchema, declared: TableSpec
) -> ParsedColumn:
    """Return predictions as a clean column, and a breach for cells that are none.

    Parameters
    ----------
    column : series of n cells
    schema : TableSchema
    declared : TableSpec

    Returns
    -------
    series, tuple of Breach
        Class text; or float64 where the task is regression, or where it is binary and the cells
        are numbers from 0 to 1 other than the classes: probabilities of the positive class. NaN
        where a row has no prediction.

    Examples
    --------
    >>> schema = TableSchema((), "left", "binary", ("no", "yes"))
    >>> parse_given_predictions(pd.Series(["yes", ""]), schema, TableSpec("left"))[0].tolist()
    ['yes', nan]
    >>> parse_given_predictions(pd.Series(["0.9", "0.1"]), schema, TableSpec("left"))[0].tolist()
    [0.9, 0.1]
    """
    missing, decimal = declared.missing_values, declared.decimal
    if schema.task == "regression":
        return read_number(column, missing=missing, decimal=decimal)
    stated = parse_class_labels(column, missing)
    unknown = stated.notna() & ~stated.isin(schema.classes)
    values, bad = as_number(column, missing=missing, decimal=decimal)
    shares = schema.task == "binary" and not bad.any() and values.dropna().between(0, 1).all()
    if unknown.any() and shares:
        return values, ()
    remedy = f"Write one of the classes {', '.join(schema.classes)}."
    problem = "cells are no class of the target"
    return stated.mask(unknown), issue_for_cells(column, unknown, problem=problem, remedy=remedy)


MIN_TABLE_ROWS = 10


def column_name_issues(raw: pd.DataFrame, declared: TableSpec) -> tuple[DataIssue, ...]:
    """Return roles that name no column or share one, and columns with a name that is taken.

    Examples
    --------
    >>> raw = pd.DataFrame({"Churn": ["no"], "age": ["1"]})
    >>> column_name_issues(raw, TableSpec("churn"))[0].remedy
    "Columns are 'Churn', 'age'. Did you mean 'Churn'? Set data.target in params.yaml."
    """
    names = [str(name) for name in raw.columns]
    return (
        *_missing_column_issues(names, declared),
        *_shared_role_issues(declared),
        *_reserved_name_issues(names, declared),
    )


def _missing_column_issues(names: list[str], declared: TableSpec) -> Iterator[DataIssue]:
    ignored = {f"ignore ({name})": name for name in declared.ignore}
    kinds = {f"columns ({name})": name for name in declared.columns}
    for role, name in {**declared.roles, **ignored, **kinds}.items():
        if name not in names:
            key = role.split(" ")[0]
            remedy = (
                f"Columns are {quote_list(names)}.{did_you_mean(name, names)} "
                f"Set data.{key} in params.yaml."
            )
            yield DataIssue(name, f"the table has no such column, named as {key}", remedy=remedy)


def _shared_role_issues(declared: TableSpec) -> Iterator[DataIssue]:
    by_name: dict[str, list[str]] = {}
    for role, name in declared.roles.items():
        by_name.setdefault(name, []).append(role)
    for name, roles in by_name.items():
        if len(roles) > 1:
            problem = f"one column cannot be {' and '.join(roles)}"
            yield DataIssue(name, problem, remedy="Set one of them to another column or to null.")


def _reserved_name_issues(names: list[str], declared: TableSpec) -> Iterator[DataIssue]:
    taken = [name for name in RESERVED_COLUMNS if name != declared.existing]
    for name in names:
        if name.lower() in taken or name in taken:
            yield DataIssue(name, "the name is reserved", remedy="Rename the column.")


def row_issues(raw: pd.DataFrame, declared: TableSpec) -> tuple[DataIssue, ...]:
    """Return what is wrong with the target, with the identifier and group, and with few rows.

    Examples
    --------
    >>> raw = pd.DataFrame({"y": ["0", "1"] * 10, "who": [""] + ["a"] * 19})
    >>> row_issues(raw, TableSpec("y", group="who"))[0].problem
    '1 of 20 cells are missing'
    """
    few = len(raw) < MIN_TABLE_ROWS
    rows = f"{len(raw)} rows, need at least {MIN_TABLE_ROWS}"
    return (
        *([DataIssue(None, rows, remedy="Give more rows.")] if few else []),
        *target_issues(raw[declared.target], declared),
        *(
            breach
            for name in _required_columns(declared)
            for breach in _missing_cell_issues(raw[name], declared)
        ),
    )


def _required_columns(declared: TableSpec) -> list[str]:
    named = (declared.identifier, declared.group, declared.time)
    return [name for name in named if name is not None]


def _missing_cell_issues(column: pd.Series, declared: TableSpec) -> tuple[DataIssue, ...]:
    gaps = as_text(column, missing=declared.missing_values).isna()
    remedy = "Fill them, or take the rows out; a column with this role must be complete."
    return issue_for_cells(column, gaps, problem="cells are missing", remedy=remedy)


def prepare_table(
    raw: pd.DataFrame, declared: TableSpec
) -> tuple[PreparedTable | None, tuple[DataIssue, ...]]:
    """Return the clean table of a raw one; None where there are breaches.

    Parameters
    ----------
    raw : DataFrame
        Typed or text cells.
    declared : TableSpec

    Examples
    --------
    >>> raw = pd.DataFrame({"age": ["31", "x"] * 10, "left": ["no", "yes"] * 10})
    >>> prepare_table(raw.replace("x", "50"), TableSpec("left"))[0].clean.shape
    (20, 2)
    >>> prepare_table(raw.replace("yes", "no"), TableSpec("left"))[1][0].problem
    "all rows have the value 'no'"
    """
    breaches = column_name_issues(raw, declared)
    if breaches:
        return None, breaches
    excluded = find_unusable_columns(raw, declared)
    kept = replace(declared, ignore=(*declared.ignore, *excluded))
    faults = row_issues(raw, declared)
    if len({*kept.roles.values(), *kept.ignore}) == raw.shape[1]:
        return None, (
            *faults,
            DataIssue(None, "no column is left to learn from", remedy=_exclusion_remedy(excluded)),
        )
    schema = infer_schema(raw, kept)
    table, more = _build_clean_table(raw, schema, kept)
    if faults or more:
        return None, (*faults, *more)
    clean = table.dropna(subset=[schema.target]).reset_index(drop=True)
    return PreparedTable(clean, schema, excluded, len(table) - len(clean)), ()


def _exclusion_remedy(excluded: dict[str, str]) -> str:
    reasons = "; ".join(f"{name}: {reason}" for name, reason in excluded.items())
    return f"Give more columns.{f' Left out: {reasons}.' if reasons else ''}"


def _build_clean_table(
    raw: pd.DataFrame, schema: TableSchema, declared: TableSpec
) -> tuple[pd.DataFrame, tuple[DataIssue, ...]]:
    features, breaches = conform_to_schema(raw, schema)
    names = [name for name in (schema.human, schema.existing) if name]
    opinions = [parse_given_predictions(raw[name], schema, declared) for name in names]
    truth = parse_target(raw[schema.target], schema.task, declared)
    columns = [part.reset_index(drop=True) for part in (truth, *(cells for cells, _ in opinions))]
    found = [
        *_text_column_issues(raw, schema, declared),
        *(each for _, those in opinions for each in those),
    ]
    return pd.concat([features, *columns], axis="columns"), (*breaches, *found)


def _text_column_issues(
    raw: pd.DataFrame, schema: TableSchema, declared: TableSpec
) -> Iterator[DataIssue]:
    for column in schema.features:
        if column.kind in {"category", "text"}:
            yield from text_issues(raw[column.name], missing=declared.missing_values)
