"""What a person should look at before trusting a table."""

import re
from collections.abc import Iterator
from datetime import datetime

import pandas as pd

from pipelines.core.breaches import listed
from pipelines.core.cells import as_text, is_text, plain, stripped
from pipelines.core.declared import Declared
from pipelines.core.exclusions import names_rows
from pipelines.core.kinds import LEADING_ZERO, number_share
from pipelines.core.leaks import leaks
from pipelines.core.prepared import Prepared
from pipelines.core.schema import Column
from pipelines.core.targets import words_kept

MOSTLY_MISSING = 0.95
RARE_CLASS = 0.01
MANY_CLASSES = 100
FIRST_YEAR = 1900
OUTCOME = re.compile(
    r"cancel|churn|clos(e|ing)|end(ed)?(_|$)|exit|terminat|resol|paid|default|death|died|discharge"
    r"|left|returned|outcome|result",
    re.I,
)


def suspicions(
    raw: pd.DataFrame, prepared: Prepared, declared: Declared, *, today: datetime
) -> tuple[str, ...]:
    """Return sentences about what looks suspicious in a table that can be used.

    Parameters
    ----------
    raw : DataFrame
    prepared : Prepared
        What was made of it.
    declared : Declared
    today : datetime
        Later dates count as lying in the future.
    """
    columns = [
        sentence
        for column in prepared.schema.features
        for sentence in _of_column(raw[column.name], column, declared)
    ]
    return (
        *_of_target(prepared),
        *_of_rows(prepared),
        *_of_leaks(prepared),
        *_of_dates(prepared, today),
        *columns,
    )


def _of_target(prepared: Prepared) -> Iterator[str]:
    schema = prepared.schema
    if prepared.n_unlabelled:
        yield f"{prepared.n_unlabelled} rows have no target and are left out"
    if schema.task == "regression":
        return
    shares = prepared.clean[schema.target].value_counts(normalize=True)
    if shares.min() < RARE_CLASS:
        rarest = f"class {shares.idxmin()!r} has {shares.min():.2%} of the rows"
        yield f"{rarest}: prefer pr_auc, f1 or log_loss to accuracy"
    if len(shares) >= MANY_CLASSES:
        yield f"{len(shares)} classes: is the target a number?"


def _of_rows(prepared: Prepared) -> Iterator[str]:
    clean, schema = prepared.clean, prepared.schema
    roles = [name for name in (schema.identifier, schema.time) if name]
    plain_rows = clean.drop(columns=roles)
    n_twice = int(plain_rows.duplicated().sum())
    n_unlike = int((~plain_rows.duplicated() & _features(prepared).duplicated()).sum())
    if n_twice:
        yield f"{n_twice} rows repeat an earlier row"
    if n_unlike and n_unlike > len(clean) / 100:
        yield f"{n_unlike} rows have the features of another row and a different target"
    if schema.identifier and clean[schema.identifier].duplicated().any():
        yield f"{schema.identifier} repeats: where its rows belong together make it the group"


def _features(prepared: Prepared) -> pd.DataFrame:
    return prepared.clean[[column.name for column in prepared.schema.features]]


def _of_leaks(prepared: Prepared) -> Iterator[str]:
    schema, clean = prepared.schema, prepared.clean
    names = [column.name for column in schema.features]
    for name in leaks(clean, names, clean[schema.target], schema.task):
        yield (
            f"{name} alone tells {schema.target} nearly perfectly: is it known before the outcome? "
            "If not, add it to data.ignore"
        )


def _of_dates(prepared: Prepared, today: datetime) -> Iterator[str]:
    dates = [column.name for column in prepared.schema.features if column.kind == "date"]
    for name in dates:
        cells = prepared.clean[name]
        if OUTCOME.search(name):
            yield f"{name} sounds like a date after the outcome; if so, add it to data.ignore"
        odd = cells[(cells > today) | (cells.dt.year < FIRST_YEAR)]
        if len(odd):
            first = f"such as {odd.iloc[0].date()}"
            yield f"{name} has {len(odd)} dates in the future or before {FIRST_YEAR}, {first}"


def _of_column(raw: pd.Series, column: Column, declared: Declared) -> Iterator[str]:
    name, missing = column.name, declared.missing_values
    share = float(as_text(raw, missing=missing).isna().mean())
    if share > MOSTLY_MISSING:
        yield f"{name} is missing in {share:.1%} of the rows"
    if column.kind == "number" and names_rows(raw, declared):
        yield f"{name} differs in each row: is it an identifier?"
    if column.kind in {"category", "text"} and name not in declared.columns:
        yield from _of_words(raw, declared)


def _of_words(raw: pd.Series, declared: Declared) -> Iterator[str]:
    kept = words_kept(raw)
    if kept:
        yield (
            f"{raw.name} has {listed(kept)}, kept as ordinary values; if they mean missing, list "
            "them under data.missing_values"
        )
    if not is_text(plain(raw)):
        return
    share = number_share(raw, declared.missing_values)
    if stripped(plain(raw), declared.missing_values).str.fullmatch(LEADING_ZERO, na=False).any():
        yield f"{raw.name} has leading zeros and is read as labels"
    elif share > 1 / 2:
        yield f"{raw.name} is read as words, although {share:.0%} of its cells are numbers"
