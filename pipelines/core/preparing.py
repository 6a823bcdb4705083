"""From a raw table to a clean one, or to all that keeps it from being one."""

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from pipelines.core.breaches import Breach
from pipelines.core.checks import name_breaches, row_breaches
from pipelines.core.conforming import conform, schema_of
from pipelines.core.declared import Declared
from pipelines.core.exclusions import exclusions
from pipelines.core.opinions import opinion
from pipelines.core.prepared import Prepared
from pipelines.core.readings import word_breaches
from pipelines.core.schema import Schema
from pipelines.core.targets import target_values


def prepare(raw: pd.DataFrame, declared: Declared) -> tuple[Prepared | None, tuple[Breach, ...]]:
    """Return the clean table of a raw one; None where there are breaches.

    Parameters
    ----------
    raw : DataFrame
        Typed or text cells.
    declared : Declared

    Examples
    --------
    >>> raw = pd.DataFrame({"age": ["31", "x"] * 10, "left": ["no", "yes"] * 10})
    >>> prepare(raw.replace("x", "50"), Declared("left"))[0].clean.shape
    (20, 2)
    >>> prepare(raw.replace("yes", "no"), Declared("left"))[1][0].problem
    "all rows have the value 'no'"
    """
    breaches = name_breaches(raw, declared)
    if breaches:
        return None, breaches
    excluded = exclusions(raw, declared)
    kept = replace(declared, ignore=(*declared.ignore, *excluded))
    faults = row_breaches(raw, declared)
    if len({*kept.roles.values(), *kept.ignore}) == raw.shape[1]:
        return None, (
            *faults,
            Breach(None, "no column is left to learn from", remedy=_why(excluded)),
        )
    schema = schema_of(raw, kept)
    table, more = _table(raw, schema, kept)
    if faults or more:
        return None, (*faults, *more)
    clean = table.dropna(subset=[schema.target]).reset_index(drop=True)
    return Prepared(clean, schema, excluded, len(table) - len(clean)), ()


def _why(excluded: dict[str, str]) -> str:
    reasons = "; ".join(f"{name}: {reason}" for name, reason in excluded.items())
    return f"Give more columns.{f' Left out: {reasons}.' if reasons else ''}"


def _table(
    raw: pd.DataFrame, schema: Schema, declared: Declared
) -> tuple[pd.DataFrame, tuple[Breach, ...]]:
    features, breaches = conform(raw, schema)
    names = [name for name in (schema.human, schema.existing) if name]
    opinions = [opinion(raw[name], schema, declared) for name in names]
    truth = target_values(raw[schema.target], schema.task, declared)
    columns = [part.reset_index(drop=True) for part in (truth, *(cells for cells, _ in opinions))]
    found = [*_wordy(raw, schema, declared), *(each for _, those in opinions for each in those)]
    return pd.concat([features, *columns], axis="columns"), (*breaches, *found)


def _wordy(raw: pd.DataFrame, schema: Schema, declared: Declared) -> Iterator[Breach]:
    for column in schema.features:
        if column.kind in {"category", "text"}:
            yield from word_breaches(raw[column.name], missing=declared.missing_values)
