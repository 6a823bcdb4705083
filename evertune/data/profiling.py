"""Profile a table and warn about what looks wrong in it, such as target leakage.

`profile_table` summarises task, classes and columns; `data_warnings` lists what a person should
look at. `find_leaky_features` finds features that alone predict the target nearly perfectly: by
the share of a majority guess's errors that they avoid (classes), by rank correlation or
explained variance (numbers).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from evertune.data.inference import (
    IDENTIFIER_NAME_PATTERN,
    LEADING_ZERO_PATTERN,
    literal_missing_words,
    looks_like_identifier,
    number_share,
)
from evertune.data.parsing import as_text, is_text_column, normalize_dtype, strip_cells
from evertune.data.schema import Column, PreparedTable, TableSpec
from evertune.data.validation import quote_list
from evertune.types import ColumnKind, Task

N_LEAKAGE_BINS = 50
MIN_LEAKAGE_ROWS = 50
SUSPICIOUS_SKILL = 0.98


def find_leaky_features(
    clean: pd.DataFrame, features: list[str], truth: pd.Series, task: Task
) -> list[str]:
    """Return the features that alone tell the target nearly perfectly.

    Parameters
    ----------
    clean : DataFrame of n rows
    features : list of str
    truth : series of n
    task : str

    Examples
    --------
    >>> clean = pd.DataFrame({"copy": ["a", "b"] * 30, "age": range(60)})
    >>> find_leaky_features(clean, ["copy", "age"], pd.Series(["no", "yes"] * 30), "binary")
    ['copy']
    """
    if len(truth) < MIN_LEAKAGE_ROWS:
        return []
    told = single_feature_value_skill if task == "regression" else single_feature_class_skill
    return [name for name in features if told(clean[name], truth) >= SUSPICIOUS_SKILL]


def single_feature_class_skill(column: pd.Series, truth: pd.Series) -> float:
    """Return the share of a majority guess's errors that guessing by one column avoids, 0 to 1.

    Levels with a single row tell nothing.

    Examples
    --------
    >>> single_feature_class_skill(pd.Series(["a", "a", "b", "b"]), pd.Series(["no", "no", "yes", "yes"]))
    1.0
    """
    counts = pd.crosstab(_bin_values(column), truth.to_numpy())
    single = counts.sum(axis=1) == 1
    n_right = counts[~single].max(axis=1).sum() + single.sum() * counts.sum().max() / len(truth)
    n_wrong_alone = len(truth) - counts.sum().max()
    return float(1 - (len(truth) - n_right) / n_wrong_alone)


def single_feature_value_skill(column: pd.Series, truth: pd.Series) -> float:
    """Return how well one column orders or groups a number, 0 to 1.

    Of a number, the size of Spearman's rank correlation; of other columns, the share of the
    variance that lies between levels with several rows.

    Examples
    --------
    >>> single_feature_value_skill(pd.Series([1.0, 2.0, 3.0]), pd.Series([1.0, 4.0, 9.0]))
    1.0
    """
    if column.dtype.kind in "fM":
        return _rank_correlation(column, truth)
    groups = truth.groupby(_bin_values(column)).transform
    within = np.where(groups("size") > 1, truth - groups("mean"), truth - truth.mean())
    return float(1 - (within**2).mean() / truth.var(ddof=0))


def _rank_correlation(column: pd.Series, truth: pd.Series) -> float:
    filled = column.notna()
    left, right = column[filled].rank(), truth[filled].rank()
    if min(left.nunique(), right.nunique()) <= 1:
        return 0.0
    return float(abs(round(left.corr(right), 12)) * filled.mean())


def _bin_values(column: pd.Series) -> np.ndarray:
    if column.dtype.kind not in "fM" or column.nunique() <= N_LEAKAGE_BINS:
        return column.astype("str").fillna("").to_numpy(dtype=object)
    codes = pd.qcut(column, N_LEAKAGE_BINS, labels=False, duplicates="drop")
    return codes.fillna(-1).to_numpy(dtype=object)


MOSTLY_MISSING_SHARE = 0.95
RARE_CLASS_SHARE = 0.01
MANY_CLASSES = 100
FIRST_PLAUSIBLE_YEAR = 1900
OUTCOME_NAME_PATTERN = re.compile(
    r"cancel|churn|clos(e|ing)|end(ed)?(_|$)|exit|terminat|resol|paid|default|death|died|discharge"
    r"|left|returned|outcome|result",
    re.I,
)


def data_warnings(
    raw: pd.DataFrame, prepared: PreparedTable, declared: TableSpec, *, today: datetime
) -> tuple[str, ...]:
    """Return sentences about what looks suspicious in a table that can be used.

    Parameters
    ----------
    raw : DataFrame
    prepared : PreparedTable
        What was made of it.
    declared : TableSpec
    today : datetime
        Later dates count as lying in the future.
    """
    columns = [
        sentence
        for column in prepared.schema.features
        for sentence in _column_warnings(raw[column.name], column, declared)
    ]
    return (
        *_target_warnings(prepared),
        *_row_warnings(prepared),
        *_leakage_warnings(prepared),
        *_date_warnings(prepared, today),
        *columns,
    )


def _target_warnings(prepared: PreparedTable) -> Iterator[str]:
    schema = prepared.schema
    if prepared.n_unlabelled:
        yield f"{prepared.n_unlabelled} rows have no target and are left out"
    if schema.task == "regression":
        return
    shares = prepared.clean[schema.target].value_counts(normalize=True)
    if shares.min() < RARE_CLASS_SHARE:
        rarest = f"class {shares.idxmin()!r} has {shares.min():.2%} of the rows"
        yield f"{rarest}: prefer pr_auc, f1 or log_loss to accuracy"
    if len(shares) >= MANY_CLASSES:
        yield f"{len(shares)} classes: is the target a number?"


def _row_warnings(prepared: PreparedTable) -> Iterator[str]:
    clean, schema = prepared.clean, prepared.schema
    roles = [name for name in (schema.identifier, schema.time) if name]
    plain_rows = clean.drop(columns=roles)
    n_twice = int(plain_rows.duplicated().sum())
    n_unlike = int((~plain_rows.duplicated() & _feature_table(prepared).duplicated()).sum())
    if n_twice:
        yield f"{n_twice} rows repeat an earlier row"
    if n_unlike and n_unlike > len(clean) / 100:
        yield f"{n_unlike} rows have the features of another row and a different target"
    if schema.identifier and clean[schema.identifier].duplicated().any():
        yield f"{schema.identifier} repeats: where its rows belong together make it the group"


def _feature_table(prepared: PreparedTable) -> pd.DataFrame:
    return prepared.clean[[column.name for column in prepared.schema.features]]


def _leakage_warnings(prepared: PreparedTable) -> Iterator[str]:
    schema, clean = prepared.schema, prepared.clean
    names = [column.name for column in schema.features]
    for name in find_leaky_features(clean, names, clean[schema.target], schema.task):
        yield (
            f"{name} alone tells {schema.target} nearly perfectly: is it known before the outcome? "
            "If not, add it to data.ignore"
        )


def _date_warnings(prepared: PreparedTable, today: datetime) -> Iterator[str]:
    dates = [column.name for column in prepared.schema.features if column.kind == "date"]
    for name in dates:
        cells = prepared.clean[name]
        if OUTCOME_NAME_PATTERN.search(name):
            yield f"{name} sounds like a date after the outcome; if so, add it to data.ignore"
        odd = cells[(cells > today) | (cells.dt.year < FIRST_PLAUSIBLE_YEAR)]
        if len(odd):
            first = f"such as {odd.iloc[0].date()}"
            yield f"{name} has {len(odd)} dates in the future or before {FIRST_PLAUSIBLE_YEAR}, {first}"


def _column_warnings(raw: pd.Series, column: Column, declared: TableSpec) -> Iterator[str]:
    name, missing = column.name, declared.missing_values
    share = float(as_text(raw, missing=missing).isna().mean())
    if share > MOSTLY_MISSING_SHARE:
        yield f"{name} is missing in {share:.1%} of the rows"
    if column.kind == "number" and looks_like_identifier(raw, declared):
        yield f"{name} differs in each row: is it an identifier?"
    if column.kind in {"category", "text"} and name not in declared.columns:
        yield from _text_warnings(raw, declared)


def _text_warnings(raw: pd.Series, declared: TableSpec) -> Iterator[str]:
    kept = literal_missing_words(raw)
    if kept:
        yield (
            f"{raw.name} has {quote_list(kept)}, kept as ordinary values; if they mean missing, list "
            "them under data.missing_values"
        )
    if not is_text_column(normalize_dtype(raw)):
        return
    share = number_share(raw, declared.missing_values)
    if (
        strip_cells(normalize_dtype(raw), declared.missing_values)
        .str.fullmatch(LEADING_ZERO_PATTERN, na=False)
        .any()
    ):
        yield f"{raw.name} has leading zeros and is read as labels"
    elif share > 1 / 2:
        yield f"{raw.name} is read as words, although {share:.0%} of its cells are numbers"


@dataclass(frozen=True)
class ColumnProfile:
    """A feature: its kind, how many values it has, and the share of its cells that are missing."""

    name: str
    kind: ColumnKind
    n_values: int
    missing_share: float


@dataclass(frozen=True)
class TableProfile:
    """What was found in a table.

    Attributes
    ----------
    rows : int
        Rows with a target.
    target : str
    task : str
    classes : mapping from class to its number of rows
        Empty in regression.
    positive : str, optional
        The class of interest in a binary task.
    positive_share : float, optional
        Its share of the rows.
    features : tuple of ColumnProfile
    identifier, time, group : str, optional
    likely_times : tuple of str
        Columns of dates that could order the rows.
    excluded : mapping from column to reason
        Columns that are no features.
    notes : tuple of str
        What a person should look at.
    """

    rows: int
    target: str
    task: Task
    classes: Mapping[str, int]
    positive: str | None
    positive_share: float | None
    features: tuple[ColumnProfile, ...]
    identifier: str | None
    time: str | None
    group: str | None
    likely_times: tuple[str, ...]
    excluded: Mapping[str, str]
    notes: tuple[str, ...]


def profile_table(
    raw: pd.DataFrame, prepared: PreparedTable, declared: TableSpec, *, today: datetime
) -> TableProfile:
    """Return what is to be said about a table that can be used.

    Parameters
    ----------
    raw : DataFrame
    prepared : PreparedTable
        What was made of it.
    declared : TableSpec
    today : datetime
    """
    schema, clean = prepared.schema, prepared.clean
    counts = {name: int((clean[schema.target] == name).sum()) for name in schema.classes}
    positive = schema.classes[1] if schema.task == "binary" else None
    dates = [column.name for column in schema.features if column.kind == "date"]
    return TableProfile(
        rows=len(clean),
        target=schema.target,
        task=schema.task,
        classes=counts,
        positive=positive,
        positive_share=counts[positive] / len(clean) if positive else None,
        features=tuple(
            ColumnProfile(
                column.name,
                column.kind,
                n_values=int(clean[column.name].nunique()),
                missing_share=float(clean[column.name].isna().mean()),
            )
            for column in schema.features
        ),
        identifier=schema.identifier,
        time=schema.time,
        group=schema.group,
        likely_times=() if schema.time else tuple(dates),
        excluded=prepared.excluded,
        notes=data_warnings(raw, prepared, declared, today=today),
    )


def find_identifier(raw: pd.DataFrame, declared: TableSpec) -> str | None:
    """Return the one column without a role that surely names rows, None where none or several do.

    Its cells are complete and all different, and its name says so.

    Examples
    --------
    >>> raw = pd.DataFrame({"user_id": range(30), "age": [1] * 30, "y": [0, 1] * 15})
    >>> find_identifier(raw, TableSpec("y"))
    'user_id'
    """
    names = [
        str(name)
        for name in raw.columns
        if name not in {*declared.roles.values(), *declared.ignore, *declared.columns}
        and IDENTIFIER_NAME_PATTERN.search(str(name))
        and as_text(raw[name], missing=declared.missing_values).is_unique
        and looks_like_identifier(raw[name], declared)
    ]
    return names[0] if len(names) == 1 else None


def format_profile(found: TableProfile) -> list[str]:
    """Return a profile as lines for a terminal."""
    roles = {"identifier": found.identifier, "time": found.time, "group": found.group}
    lines = [f"{found.rows} rows, target {found.target}: {_describe_task(found)}"]
    lines += [f"{role}: {name}" for role, name in roles.items() if name]
    lines += [f"{kind}: {', '.join(names)}" for kind, names in _names_by_kind(found).items()]
    lines += [f"left out {name}: {reason}" for name, reason in found.excluded.items()]
    lines += [f"{name} could order the rows: --time {name}" for name in found.likely_times]
    return [*lines, *(f"note: {note}" for note in found.notes)]


def _describe_task(found: TableProfile) -> str:
    if found.positive is not None and found.positive_share is not None:
        return f"binary, {found.positive!r} is the positive class with {found.positive_share:.1%}"
    return f"{found.task}, {len(found.classes)} classes" if found.classes else found.task


def _names_by_kind(found: TableProfile) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for column in found.features:
        names.setdefault(column.kind, []).append(column.name)
    return names
