"""What a look at a table finds: task, classes, kinds of columns, and what is suspicious."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from pipelines.core.cells import as_text
from pipelines.core.declared import Declared
from pipelines.core.exclusions import IDENTIFIER_NAME, names_rows
from pipelines.core.predictions import Task
from pipelines.core.prepared import Prepared
from pipelines.core.schema import Kind
from pipelines.core.suspicions import suspicions


@dataclass(frozen=True)
class ColumnProfile:
    """A feature: its kind, how many values it has, and the share of its cells that are missing."""

    name: str
    kind: Kind
    n_values: int
    missing_share: float


@dataclass(frozen=True)
class Profile:
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


def profile(
    raw: pd.DataFrame, prepared: Prepared, declared: Declared, *, today: datetime
) -> Profile:
    """Return what is to be said about a table that can be used.

    Parameters
    ----------
    raw : DataFrame
    prepared : Prepared
        What was made of it.
    declared : Declared
    today : datetime
    """
    schema, clean = prepared.schema, prepared.clean
    counts = {name: int((clean[schema.target] == name).sum()) for name in schema.classes}
    positive = schema.classes[1] if schema.task == "binary" else None
    dates = [column.name for column in schema.features if column.kind == "date"]
    return Profile(
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
        notes=suspicions(raw, prepared, declared, today=today),
    )


def likely_identifier(raw: pd.DataFrame, declared: Declared) -> str | None:
    """Return the one column without a role that surely names rows, None where none or several do.

    Its cells are complete and all different, and its name says so.

    Examples
    --------
    >>> raw = pd.DataFrame({"user_id": range(30), "age": [1] * 30, "y": [0, 1] * 15})
    >>> likely_identifier(raw, Declared("y"))
    'user_id'
    """
    names = [
        str(name)
        for name in raw.columns
        if name not in {*declared.roles.values(), *declared.ignore, *declared.columns}
        and IDENTIFIER_NAME.search(str(name))
        and as_text(raw[name], missing=declared.missing_values).is_unique
        and names_rows(raw[name], declared)
    ]
    return names[0] if len(names) == 1 else None


def profile_lines(found: Profile) -> list[str]:
    """Return a profile as lines for a terminal."""
    roles = {"identifier": found.identifier, "time": found.time, "group": found.group}
    lines = [f"{found.rows} rows, target {found.target}: {_task_words(found)}"]
    lines += [f"{role}: {name}" for role, name in roles.items() if name]
    lines += [f"{kind}: {', '.join(names)}" for kind, names in _by_kind(found).items()]
    lines += [f"left out {name}: {reason}" for name, reason in found.excluded.items()]
    lines += [f"{name} could order the rows: --time {name}" for name in found.likely_times]
    return [*lines, *(f"note: {note}" for note in found.notes)]


def _task_words(found: Profile) -> str:
    if found.positive is not None and found.positive_share is not None:
        return f"binary, {found.positive!r} is the positive class with {found.positive_share:.1%}"
    return f"{found.task}, {len(found.classes)} classes" if found.classes else found.task


def _by_kind(found: Profile) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for column in found.features:
        names.setdefault(column.kind, []).append(column.name)
    return names
