"""Clean a raw table: infer its schema, conform its columns, and report all issues at once.

`prepare_table` returns the clean table of a source, or every issue that keeps it from being one.
`conform_to_schema` turns any raw table into the columns of a known schema, also at prediction
time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from evertune.data.column_kinds import (
    LOOKS_LIKE_IDENTIFIER,
    ParsedColumn,
    describe_time_column,
    detect_formats,
    feature_advice,
    find_unusable_columns,
    infer_kind,
    open_number_issues,
    read_column,
    read_number,
    text_issues,
)
from evertune.data.number_formats import NumberFormat
from evertune.data.parsing import as_number, as_text, detect_day_first, mask_missing_words
from evertune.data.plain_numbers import PlainNumbers, find_plain_numbers
from evertune.data.schema import (
    NO_COLUMN,
    RESERVED_COLUMNS,
    Column,
    PreparedTable,
    TableSchema,
    TableSpec,
)
from evertune.data.target import (
    infer_classes,
    parse_class_labels,
    parse_target,
    resolve_task,
    target_issues,
)
from evertune.data.validation import (
    DataIssue,
    issue_for_cells,
    option,
    quote_list,
    quote_name,
)
from evertune.messages import did_you_mean
from evertune.unicode_text import clean_text

MIN_TABLE_ROWS = 10
OPTIONAL_ROLES = ("identifier", "time", "group")  # those that `evertune use` has an option for


def prepare_table(
    raw: pd.DataFrame, spec: TableSpec
) -> tuple[PreparedTable | None, tuple[DataIssue, ...]]:
    """Return the clean table of a raw one, typed or text; None if there are issues.

    Examples
    --------
    >>> raw = pd.DataFrame({"age": ["31", "50"] * 10, "left": ["no", "yes"] * 10})
    >>> prepare_table(raw, TableSpec("left"))[0].clean.shape
    (20, 2)
    >>> prepare_table(raw.replace("yes", "no"), TableSpec("left"))[1][0].problem
    "all rows have the value 'no'"
    """
    issues: list[DataIssue] = [*_name_issues([str(name) for name in raw.columns], spec)]
    if issues:
        return None, tuple(issues)
    if spec.number_formats is None:
        spec = detect_formats(raw, spec)
    if len(raw) < MIN_TABLE_ROWS:
        problem = f"{len(raw)} rows, need at least {MIN_TABLE_ROWS}"
        issues.append(DataIssue(None, problem, remedy="Give more rows."))
    issues += target_issues(raw[spec.target], spec)
    for role, name in spec.roles.items():
        if role in OPTIONAL_ROLES:
            cells = as_text(raw[name], missing=spec.missing_values)
            issues += issue_for_cells(
                raw[name],
                (mask_missing_words(cells) if role == "time" else cells).isna(),
                problem=f"cells are missing, but the {role} must be complete",
                remedy="Fill them, or take the rows out.",
                options=_without_role(role),
            )
    plain = find_plain_numbers(raw, spec.missing_values)
    excluded = find_unusable_columns(raw, spec, plain)
    spec = replace(spec, ignore=(*spec.ignore, *excluded))
    if len({*spec.roles.values(), *spec.ignore}) == raw.shape[1]:
        reasons = "; ".join(f"{quote_name(name)}, {why}" for name, why in excluded.items())
        remedy = f"Give more columns.{f' Left out are {reasons}.' if reasons else ''}"
        options = [
            feature_advice(raw[name], spec)
            for name, why in excluded.items()
            if why == LOOKS_LIKE_IDENTIFIER
        ]
        problem = "no column is left to learn from"
        issues.append(DataIssue(None, problem, remedy=remedy, options=" ".join(options)))
        return None, tuple(issues)
    schema = infer_schema(raw, spec, plain)
    issues += monotone_issues(schema, spec)
    features, feature_issues = conform_to_schema(raw, schema, plain)
    without_time = (
        "To leave the column out, add "
        f"`{option('time', NO_COLUMN)} {option('ignore', str(spec.time))}`."
    )
    issues += [
        replace(issue, words=(), kind=None, options=f"{issue.options} {without_time}".strip())
        if issue.column == spec.time
        else issue
        for issue in feature_issues
    ]
    issues += _ambiguous_cells(raw, schema, spec)
    parts = [features, parse_target(raw[schema.target], schema.task, spec).reset_index(drop=True)]
    for name in filter(None, (schema.human, schema.existing)):
        predictions, prediction_issues = parse_given_predictions(raw[name], schema, spec)
        parts.append(predictions.reset_index(drop=True))
        issues += [replace(issue, kind=None) for issue in prediction_issues]
    if schema.weight is not None:
        weights, weight_issues = parse_weights(raw[schema.weight], spec)
        parts.append(weights.reset_index(drop=True))
        issues += weight_issues
    if issues:
        return None, tuple(issues)
    table = pd.concat(parts, axis="columns")
    clean = table.dropna(subset=[schema.target]).reset_index(drop=True)
    return PreparedTable(clean, schema, excluded, len(table) - len(clean)), ()


def _ambiguous_cells(
    raw: pd.DataFrame, schema: TableSchema, spec: TableSpec
) -> Iterator[DataIssue]:
    """Yield issues of cells that can be read, but hardly as they are meant."""
    for column in (*schema.features, *([schema.time_column] if schema.time_column else [])):
        if column.kind in {"category", "text"}:
            yield from text_issues(raw[column.name], missing=spec.missing_values)
        elif column.kind == "number":
            yield from open_number_issues(raw[column.name], spec)
    for name in filter(None, (schema.human, schema.existing)):
        yield from open_number_issues(raw[name], spec)


def parse_weights(column: pd.Series, spec: TableSpec) -> tuple[pd.Series, tuple[DataIssue, ...]]:
    """Return the weights of rows, float64 with NaN for empty cells, and what is wrong with them."""
    weights, unread = read_number(
        column, missing=spec.missing_values, number_format=spec.format_of(column.name)
    )
    issues = [*open_number_issues(column, spec), *(replace(issue, kind=None) for issue in unread)]
    without = "Correct them, or set data.weight: null in params.yaml."
    issues += issue_for_cells(
        column,
        (weights < 0) | np.isinf(weights),
        problem="cells are negative or infinite, but how much a row counts must be a number from 0",
        remedy=without,
    )
    if not issues and not (weights > 0).any():
        problem = "no row has a weight above 0, so that no row would count"
        issues.append(DataIssue(str(column.name), problem, remedy=without))
    return weights, tuple(issues)


def with_monotone(columns: Sequence[Column], spec: TableSpec) -> tuple[Column, ...]:
    """Return columns with the direction that a spec names for them."""
    return tuple(
        replace(column, monotone=trend) if (trend := spec.monotone.get(column.name)) else column
        for column in columns
    )


def monotone_issues(schema: TableSchema, spec: TableSpec) -> Iterator[DataIssue]:
    """Yield what keeps the columns of `data.monotone` from being so."""
    if spec.monotone and schema.task == "multiclass":
        yield DataIssue(
            schema.target,
            f"has {len(schema.classes)} classes, but data.monotone needs two, or a number to"
            " predict",
            remedy="Take data.monotone out of params.yaml.",
        )
    kinds = {column.name: column.kind for column in schema.features}
    for name in spec.monotone:
        kind = kinds.get(name)
        if kind not in ("number", "boolean"):
            found = "is no feature" if kind is None else f"is of kind {kind}"
            yield DataIssue(
                name,
                f"{found}, but data.monotone needs a feature of kind number or boolean",
                remedy="Take it out of data.monotone in params.yaml, or correct the name.",
            )


def infer_schema(
    raw: pd.DataFrame, spec: TableSpec, plain: Mapping[str, PlainNumbers] | None = None
) -> TableSchema:
    """Return the schema of a raw table.

    Parameters
    ----------
    plain : mapping, optional
        From `find_plain_numbers`, where it is known.
    """
    roles = spec.roles
    absent = [name for name in roles.values() if name not in raw.columns]
    if absent:
        raise ValueError(f"Expected the columns {absent}, but the table lacks them.")
    without = {*roles.values(), *spec.ignore}
    names = [name for name in raw.columns if name not in without]
    if not names:
        raise ValueError("Expected at least one feature, but none is left.")
    if spec.number_formats is None:
        spec = detect_formats(raw, spec)
    plain = plain or {}
    task, time, formats = resolve_task(raw[spec.target], spec), spec.time, spec.number_formats or {}
    described = [describe_column(raw[name], spec, plain.get(str(name))) for name in names]
    return TableSchema(
        features=with_monotone(described, spec),
        target=spec.target,
        task=task,
        classes=infer_classes(raw[spec.target], task, spec),
        identifier=spec.identifier,
        time=time,
        group=spec.group,
        weight=spec.weight,
        human=spec.human,
        existing=spec.existing,
        time_column=describe_time_column(
            raw[time], missing=spec.missing_values, number_format=formats.get(time)
        )
        if time
        else None,
        missing_values=spec.missing_values,
        decimal=spec.decimal or ".",
        target_format=formats.get(spec.target) if task == "regression" else None,
    )


def with_formats_of(raw: pd.DataFrame, schema: TableSchema) -> TableSchema:
    """Return a schema whose numbers are read as a raw table of another source writes them."""
    kinds = {column.name: column.kind for column in schema.features}
    spec = TableSpec(schema.target, columns=kinds, missing_values=schema.missing_values)
    spec = detect_formats(raw, spec)

    def written(name: str, known: NumberFormat | None) -> NumberFormat | None:
        return known if name in spec.open_numbers else (spec.number_formats or {}).get(name)

    def adapt(column: Column) -> Column:
        return replace(column, number_format=written(column.name, column.number_format))

    return replace(
        schema,
        features=tuple(map(adapt, schema.features)),
        time_column=schema.time_column and adapt(schema.time_column),
        target_format=written(schema.target, schema.target_format),
        decimal=spec.decimal or ".",
    )


def describe_column(
    column: pd.Series, spec: TableSpec, plain: PlainNumbers | None = None
) -> Column:
    """Return the description of a raw column; its kind is inferred if none is declared."""
    name, missing = str(column.name), spec.missing_values
    declared, written = spec.columns.get(name, "number"), spec.format_of(name)
    if plain is not None and declared == "number" and plain.are_read_by(written):
        return Column(
            name,
            "number",
            minimum=float(np.nanmin(plain.values)),
            maximum=float(np.nanmax(plain.values)),
            number_format=(spec.number_formats or {}).get(name),
        )
    kind = spec.columns.get(name) or infer_kind(column, missing)
    if kind == "number":
        values, _ = as_number(column, missing=missing, number_format=written)
        values = values.dropna()
        low, high = (float(values.min()), float(values.max())) if len(values) else (None, None)
        own = (spec.number_formats or {}).get(name)
        return Column(name, kind, minimum=low, maximum=high, number_format=own)
    if kind == "category":
        categories = as_text(column, missing=missing).dropna().unique()
        return Column(name, kind, categories=tuple(sorted(categories)))
    if kind == "date":
        return Column(name, kind, day_first=detect_day_first(column, missing))
    return Column(name, kind)


def with_schema_names(raw: pd.DataFrame, schema: TableSchema) -> pd.DataFrame:
    """Return a table whose columns have the schema's names where they only differ in coding."""
    roles = (schema.time, schema.identifier, schema.group)
    known = [column.name for column in schema.features] + [name for name in roles if name]
    by_form = {clean_text(name): name for name in known}
    names = [by_form.get(clean_text(str(name)), str(name)) for name in raw.columns]
    return raw.set_axis(pd.Index(names), axis="columns")


def conform_to_schema(
    raw: pd.DataFrame, schema: TableSchema, plain: Mapping[str, PlainNumbers] | None = None
) -> tuple[pd.DataFrame, tuple[DataIssue, ...]]:
    """Return the clean columns of a raw table, and its issues.

    Cells may be typed or text and columns in any order; more of them are dropped. Categories that
    the schema does not know stay as they are.

    Parameters
    ----------
    plain : mapping, optional
        From `find_plain_numbers`, where it is known.

    Returns
    -------
    DataFrame of n rows, tuple of DataIssue
        The features, the time column, and identifier and group if the table has them, with rows
        numbered from 0. A missing feature or time column is an issue.

    Examples
    --------
    >>> schema = TableSchema((Column("age", "number"),), "left", "binary", ("no", "yes"))
    >>> conform_to_schema(pd.DataFrame({"extra": ["x"], "age": ["31"]}), schema)
    (    age
    0  31.0, ())
    """
    raw = with_schema_names(raw, schema).reset_index(drop=True)
    issues = [
        DataIssue(name, "the table has several columns of this name", remedy="Rename them.")
        for name in raw.columns[raw.columns.duplicated()]
    ]
    if issues:
        return pd.DataFrame(index=raw.index), tuple(issues)
    wanted = list(schema.features)
    if schema.time is not None:
        wanted.append(schema.time_column or Column(schema.time, "date"))
    missing, parts = schema.missing_values, []
    cell_issues: list[DataIssue] = []
    for column in wanted:
        if column.name in raw:
            written = schema.format_of(column.number_format)
            numbers = plain.get(column.name) if plain and column.kind == "number" else None
            if numbers is not None and numbers.are_read_by(written):
                parts.append(pd.Series(numbers.values, name=column.name))
                continue
            values, faults = read_column(
                raw[column.name], column, missing=missing, number_format=written
            )
            parts.append(values)
            cell_issues += faults
        else:
            remedy = did_you_mean(column.name, list(raw.columns)).strip()
            problem = "expected, but the table has no such column"
            issues.append(DataIssue(column.name, problem, remedy=remedy))
    names = [name for name in (schema.identifier, schema.group) if name and name in raw]
    parts += [as_text(raw[name], missing=missing) for name in names]
    clean = pd.concat(parts, axis="columns") if parts else pd.DataFrame(index=raw.index)
    return clean, (*issues, *cell_issues)


def parse_given_predictions(
    column: pd.Series, schema: TableSchema, spec: TableSpec
) -> ParsedColumn:
    """Return predictions by people or by the system in use as a clean column, and its issues.

    Class text; or float64 if the task is regression, or if it is binary and the cells are numbers
    from 0 to 1 other than the classes: probabilities of the positive class. NaN if a row has no
    prediction.
    """
    missing, written = spec.missing_values, spec.format_of(column.name)
    if schema.task == "regression":
        return read_number(column, missing=missing, number_format=written)
    labels = parse_class_labels(column, missing)
    unknown = labels.notna() & ~labels.isin(schema.classes)
    values, bad = as_number(column, missing=missing, number_format=written)
    are_proba = schema.task == "binary" and not bad.any() and values.dropna().between(0, 1).all()
    if unknown.any() and are_proba:
        return values, ()
    remedy = f"Write one of the classes {', '.join(schema.classes)}."
    problem = "cells are not classes of the target"
    return labels.mask(unknown), issue_for_cells(column, unknown, problem=problem, remedy=remedy)


def _name_issues(names: list[str], spec: TableSpec) -> Iterator[DataIssue]:
    """Yield roles that name no column or share one, and columns with a reserved name."""
    declared = [*spec.roles.items(), *(("ignore", name) for name in spec.ignore)]
    declared += [("columns", name) for name in spec.columns]
    known_names = set(names)
    absent = [(role, name) for role, name in declared if name not in known_names]
    for number, (role, name) in enumerate(absent, start=1):
        hint = did_you_mean(name, names).strip()
        known = f"Columns are {quote_list(names, most=30)}." if number == len(absent) else ""
        remedy = " ".join(filter(None, (hint, known)))
        yield DataIssue(name, f"the table has no such column, named as {role}", remedy=remedy)
    by_name: dict[str, list[str]] = {}
    for role, name in spec.roles.items():
        by_name.setdefault(name, []).append(role)
    for name, roles in by_name.items():
        if len(roles) > 1:
            problem = f"one column cannot be {' and '.join(roles)}"
            optional = [_without_role(role) for role in roles if role in OPTIONAL_ROLES]
            remedy = "Give each role a column of its own."
            yield DataIssue(name, problem, remedy=remedy, options=" ".join(optional[:1]))
    reserved = [name for name in RESERVED_COLUMNS if name != spec.existing]
    for name in names:
        if name in reserved or name.lower() in reserved:
            yield DataIssue(name, "the name is reserved", remedy="Rename the column.")


def _without_role(role: str) -> str:
    article = "an" if role == "identifier" else "a"
    return f"To do without {article} {role} column, add `{option(role, NO_COLUMN)}`."
