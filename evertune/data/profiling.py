"""Profile a table and warn about what looks wrong in it, such as target leakage.

`profile_table` summarises task, classes and columns; `data_warnings` lists what a person should
check. `find_leaky_features` finds features that alone predict the target nearly perfectly: by
the share of a majority guess's errors that they avoid (classes), by rank correlation or
explained variance (numbers).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from evertune.data.cell_patterns import match_cells
from evertune.data.column_kinds import (
    IDENTIFIER_NAME_PATTERN,
    LOOKS_LIKE_IDENTIFIER,
    feature_advice,
    literal_missing_words,
    looks_like_identifier,
    may_be_numbers,
    number_share,
)
from evertune.data.parsing import (
    FALSE_WORDS,
    LEADING_ZERO_PATTERN,
    as_text,
    is_text_column,
    normalize_dtype,
    strip_cells,
)
from evertune.data.plain_numbers import PlainNumbers, find_plain_numbers
from evertune.data.schema import NO_COLUMN, Column, PreparedTable, TableSpec
from evertune.data.validation import join_names, option, quote_list, quote_name
from evertune.messages import format_percent
from evertune.times import times_to_numbers
from evertune.types import ColumnKind, FloatArray, Task

N_LEAKAGE_BINS = 50
MIN_LEAKAGE_ROWS = 50
SUSPICIOUS_SKILL = 0.98
MOSTLY_MISSING_SHARE = 0.95
RARE_CLASS_SHARE = 0.01
MANY_CLASSES = 100
MAX_NAMES_SHOWN = 20
MAX_NOTES_SHOWN = 20
FIRST_PLAUSIBLE_YEAR = 1900
FIRST_COLUMNS = 20  # of wide tables, by which rows are told apart
OUTCOME_NAME_PATTERN = re.compile(
    r"cancel|churn|clos(e|ing)|end(ed)?(_|$)|exit|terminat|resol|paid|default|death|died|discharge"
    r"|left|returned|outcome|result",
    re.I,
)


@dataclass(frozen=True)
class TableProfile:
    """A summary of a table.

    Attributes
    ----------
    rows : int
        Rows with a target.
    classes : mapping from class to its number of rows
        Empty in regression.
    positive_share : float, optional
        The share of the positive class of a binary task.
    likely_times : tuple of str
        Columns of dates that could order the rows.
    excluded : mapping from column to reason
        Columns that are not features.
    notes : tuple of str
        What a person should check.
    """

    rows: int
    target: str
    task: Task
    classes: Mapping[str, int]
    positive: str | None
    positive_share: float | None
    kinds: Mapping[str, ColumnKind]
    identifier: str | None
    time: str | None
    group: str | None
    likely_times: tuple[str, ...]
    excluded: Mapping[str, str]
    notes: tuple[str, ...]


def profile_table(
    raw: pd.DataFrame, prepared: PreparedTable, spec: TableSpec, *, today: datetime
) -> TableProfile:
    """Return the profile of a raw table, by what it was prepared to."""
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
        kinds={column.name: column.kind for column in schema.features},
        identifier=schema.identifier,
        time=schema.time,
        group=schema.group,
        likely_times=() if schema.time else tuple(dates),
        excluded={
            name: f"{reason}. {_identifier_advice(raw[name], spec)}"
            if reason == LOOKS_LIKE_IDENTIFIER
            else reason
            for name, reason in prepared.excluded.items()
        },
        notes=(*_class_notes(prepared, spec), *data_warnings(raw, prepared, spec, today=today)),
    )


def _identifier_advice(column: pd.Series, spec: TableSpec) -> str:
    complete = as_text(column, missing=spec.missing_values).notna().all()
    if spec.identifier is not None or not complete:
        return feature_advice(column, spec)
    remedy = option("identifier", str(column.name))
    return f"Is it one? Add `{remedy}`. {feature_advice(column, spec)}"


def _class_notes(prepared: PreparedTable, spec: TableSpec) -> Iterator[str]:
    """Yield what else the classes could be, where only a person can know."""
    classes = prepared.schema.classes
    if len(classes) == 2 and spec.positive == "auto" and classes[1].lower() in FALSE_WORDS:
        other = option("positive", classes[0])
        rarer = f"{classes[1]!r} is the positive class because it is rarer"
        yield f"{rarer}; for {classes[0]!r} add `{other}`"
    if len(classes) > 2 and number_share(pd.Series(classes, dtype="str")) == 1:
        remedy = option("task", "regression")
        yield f"the classes are numbers; if their order counts, add `{remedy}`"


def format_profile(profile: TableProfile) -> list[str]:
    """Return a profile as lines for a terminal; of many names and notes, the first."""
    task: str = profile.task
    if profile.positive is not None and profile.positive_share is not None:
        share = format_percent(profile.positive_share)
        task = f"binary, {profile.positive!r} is the positive class with {share}"
    elif profile.classes:
        task = f"{task}, {len(profile.classes)} classes"
    roles = {"identifier": profile.identifier, "time": profile.time, "group": profile.group}
    by_kind: dict[str, list[str]] = {}
    for name, kind in profile.kinds.items():
        by_kind.setdefault(kind, []).append(name)
    by_reason: dict[str, list[str]] = {}
    for name, reason in profile.excluded.items():
        by_reason.setdefault(reason, []).append(name)
    return [
        f"{profile.rows} rows, target {quote_name(profile.target)}: {task}",
        *(f"{role}: {quote_name(name)}" for role, name in roles.items() if name),
        *(f"{kind}: {_join_names(names)}" for kind, names in by_kind.items()),
        *_shorten(
            [
                f"{_join_names(names)} {'is' if len(names) == 1 else 'are'} left out: {reason}"
                for reason, names in by_reason.items()
            ],
            "more columns are left out",
        ),
        *(
            f"{quote_name(name)} could order the rows: add `{option('time', name)}`"
            for name in profile.likely_times[:MAX_NOTES_SHOWN]
        ),
        *(f"note: {note}" for note in _shorten(profile.notes, "more; the report lists all notes")),
    ]


def _join_names(names: list[str]) -> str:
    return join_names(map(quote_name, names), most=MAX_NAMES_SHOWN)


def _shorten(lines: Sequence[str], what: str) -> list[str]:
    """Return the first of many lines, and how many there are more."""
    n_more = len(lines) - MAX_NOTES_SHOWN
    return [*lines[:MAX_NOTES_SHOWN], *([f"and {n_more} {what}"] if n_more > 0 else [])]


def find_identifier(raw: pd.DataFrame, spec: TableSpec) -> str | None:
    """Return the one column without a role that surely names rows, None if none or several do.

    Its cells are complete and all different, and its name says so.
    """
    names = [
        str(name)
        for name in raw.columns
        if name not in {*spec.roles.values(), *spec.ignore, *spec.columns}
        and IDENTIFIER_NAME_PATTERN.search(str(name))
        and as_text(raw[name], missing=spec.missing_values).is_unique
        and looks_like_identifier(raw[name], spec)
    ]
    return names[0] if len(names) == 1 else None


def data_warnings(
    raw: pd.DataFrame, prepared: PreparedTable, spec: TableSpec, *, today: datetime
) -> tuple[str, ...]:
    """Return sentences about what looks suspicious in a table that can be used.

    Dates later than `today` are in the future.
    """
    schema, clean = prepared.schema, prepared.clean
    plain = find_plain_numbers(raw, spec.missing_values)
    names = [column.name for column in schema.features]
    leaky = [
        f"{quote_name(name)} alone tells {schema.target} nearly perfectly: is it known before the "
        f"outcome? If not, leave it out: `{option('ignore', name)}`"
        for name in find_leaky_features(clean, names, clean[schema.target], schema.task)
    ]
    return (
        *_target_warnings(prepared),
        *_row_warnings(prepared),
        *leaky,
        *_date_warnings(prepared, today),
        *(
            warning
            for column in schema.features
            if not _is_usual(plain.get(column.name), column, spec)
            for warning in _column_warnings(raw[column.name], column, spec)
        ),
    )


def find_leaky_features(
    clean: pd.DataFrame, features: list[str], y_true: pd.Series, task: Task
) -> list[str]:
    """Return the features that alone predict the target nearly perfectly."""
    if len(y_true) < MIN_LEAKAGE_ROWS:
        return []
    if task == "regression":
        skill = partial(number_skill, y_true=y_true.to_numpy(dtype=np.float64))
    else:
        skill = partial(_class_skill, y_codes=pd.factorize(y_true)[0])
    return [name for name in features if skill(clean[name]) >= SUSPICIOUS_SKILL]


def number_skill(column: pd.Series, y_true: FloatArray) -> float:
    """Return how well one column orders or groups a number, 0 to 1.

    Of a number, the size of Spearman's rank correlation; of other columns, the share of the
    variance that lies between values with several rows.
    """
    if column.dtype.kind in "fM":
        numbers = times_to_numbers(column.to_numpy())
        filled = ~np.isnan(numbers)
        ranks, y_ranks = rankdata(numbers[filled]), rankdata(y_true[filled])
        if not filled.any() or not np.ptp(ranks) or not np.ptp(y_ranks):
            return 0.0
        return float(abs(round(np.corrcoef(ranks, y_ranks)[0, 1], 12)) * filled.mean())
    groups = _bin_values(column)
    sizes, sums = np.bincount(groups), np.bincount(groups, weights=y_true)
    means = np.where(sizes > 1, sums / np.maximum(sizes, 1), y_true.mean())
    return float(1 - ((y_true - means[groups]) ** 2).mean() / y_true.var())


def _class_skill(column: pd.Series, y_codes: NDArray[np.int64]) -> float:
    """Return the share of a majority guess's errors that one column avoids, 0 to 1.

    Values with a single row do not count.
    """
    n_rows, n_classes = y_codes.size, int(y_codes.max()) + 1
    counts = np.bincount(_bin_values(column) * n_classes + y_codes)
    counts = np.pad(counts, (0, -counts.size % n_classes)).reshape(-1, n_classes)
    single = counts.sum(axis=1) == 1
    n_majority = counts.sum(axis=0).max()
    n_right = counts[~single].max(axis=1).sum() + single.sum() * n_majority / n_rows
    return float(1 - (n_rows - n_right) / (n_rows - n_majority))


def _bin_values(column: pd.Series) -> NDArray[np.int64]:
    """Return the group of each cell: its value, or the quantile bin of many numbers or dates."""
    codes, values = pd.factorize(column)
    if column.dtype.kind not in "fM" or len(values) <= N_LEAKAGE_BINS:
        return codes + 1  # a missing cell is in group 0
    numbers = times_to_numbers(column.to_numpy())
    edges = np.nanquantile(numbers, np.linspace(0, 1, N_LEAKAGE_BINS + 1))
    return np.maximum(np.searchsorted(np.unique(edges), numbers), 1)


def _target_warnings(prepared: PreparedTable) -> Iterator[str]:
    schema = prepared.schema
    if prepared.n_unlabelled:
        yield f"{prepared.n_unlabelled} rows have no target and are left out"
    if schema.task == "regression":
        return
    shares = prepared.clean[schema.target].value_counts(normalize=True)
    if shares.min() < RARE_CLASS_SHARE:
        rarest = f"class {shares.idxmin()!r} has {format_percent(shares.min(), 2)} of the rows"
        yield f"{rarest}: prefer pr_auc, f1 or log_loss to accuracy"
    if len(shares) >= MANY_CLASSES:
        yield f"{len(shares)} classes: is the target a number?"


def _row_warnings(prepared: PreparedTable) -> Iterator[str]:
    clean, schema = prepared.clean, prepared.schema
    rows = clean.drop(columns=[name for name in (schema.identifier, schema.time) if name])
    repeated = _repeat_earlier(rows)
    features = clean[[column.name for column in schema.features]]
    n_contradictory = int((~repeated & _repeat_earlier(features)).sum())
    if repeated.any():
        yield f"{int(repeated.sum())} rows repeat an earlier row"
    if n_contradictory > len(clean) / 100:
        yield f"{n_contradictory} rows have the features of another row and a different target"
    if schema.identifier and clean[schema.identifier].duplicated().any():
        roles = f"{option('identifier', NO_COLUMN)} {option('group', schema.identifier)}"
        repeats = f"{quote_name(schema.identifier)} repeats"
        yield f"{repeats}: if its rows belong together, make it the group: `{roles}`"


def _repeat_earlier(rows: pd.DataFrame) -> pd.Series:
    """Return a mask of the rows that repeat an earlier one; few agree in the first columns."""
    alike = rows.iloc[:, :FIRST_COLUMNS].duplicated(keep=False)
    repeated = pd.Series(False, index=rows.index)
    repeated[alike] = rows[alike].duplicated()
    return repeated


def _date_warnings(prepared: PreparedTable, today: datetime) -> Iterator[str]:
    for column in prepared.schema.features:
        if column.kind != "date":
            continue
        name, dates = column.name, prepared.clean[column.name]
        if OUTCOME_NAME_PATTERN.search(name):
            leave = f"leave it out: `{option('ignore', name)}`"
            yield f"{quote_name(name)} sounds like a date after the outcome; if so, {leave}"
        odd = dates[(dates > today) | (dates.dt.year < FIRST_PLAUSIBLE_YEAR)]
        if len(odd):
            example = f"such as {odd.iloc[0].date()}"
            period = f"in the future or before {FIRST_PLAUSIBLE_YEAR}"
            yield f"{quote_name(name)} has {len(odd)} dates {period}, {example}"


def _is_usual(plain: PlainNumbers | None, column: Column, spec: TableSpec) -> bool:
    """Return whether a column of plain numbers surely has nothing to warn about."""
    if plain is None or column.kind != "number" or plain.may_name_rows:
        return False
    is_read = plain.are_read_by(spec.format_of(column.name))
    return is_read and float(np.isnan(plain.values).mean()) <= MOSTLY_MISSING_SHARE


def _column_warnings(raw: pd.Series, column: Column, spec: TableSpec) -> Iterator[str]:
    name, shown, missing = column.name, quote_name(column.name), spec.missing_values
    texts = as_text(raw, missing=missing)
    share = float(texts.isna().mean())
    if share > MOSTLY_MISSING_SHARE:
        yield f"{shown} is missing in {format_percent(share)} of the rows"
    # a number of which it is not declared that it is one would have been left out
    if column.kind == "number" and name in spec.columns and looks_like_identifier(raw, spec):
        yield f"{shown} differs in each row: if it is an identifier, `{option('identifier', name)}`"
    if column.kind not in {"category", "text"} or name in spec.columns:
        return
    words = [word for word in literal_missing_words(texts) if word not in missing]
    if words:
        remedy = " ".join(option("missing", word) for word in words)
        kept = f"{shown} has {quote_list(words)}, kept as ordinary values"
        yield f"{kept}; if they mean missing, add `{remedy}`"
    cells = normalize_dtype(raw)
    if not is_text_column(cells) or not may_be_numbers(texts):
        return
    share = number_share(raw, missing)
    if match_cells(strip_cells(cells, missing), LEADING_ZERO_PATTERN).any():
        yield f"{shown} has leading zeros and is read as labels"
    elif share > 1 / 2:
        numbers = f"{format_percent(share, 0)} of its cells are numbers"
        yield f"{shown} is read as words, although {numbers}"
