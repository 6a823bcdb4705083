"""What keeps a raw table from being used, beyond the cells of its features."""

from collections.abc import Iterator

import pandas as pd

from pipelines.core.breaches import Breach, cell_breach, listed
from pipelines.core.cells import as_text
from pipelines.core.declared import RESERVED, Declared
from pipelines.core.targets import target_breaches
from pipelines.core.wording import did_you_mean

FEWEST_ROWS = 10


def name_breaches(raw: pd.DataFrame, declared: Declared) -> tuple[Breach, ...]:
    """Return roles that name no column or share one, and columns with a name that is taken.

    Examples
    --------
    >>> raw = pd.DataFrame({"Churn": ["no"], "age": ["1"]})
    >>> name_breaches(raw, Declared("churn"))[0].remedy
    "Columns are 'Churn', 'age'. Did you mean 'Churn'? Set data.target in params.yaml."
    """
    names = [str(name) for name in raw.columns]
    return (*_absent(names, declared), *_shared(declared), *_reserved(names, declared))


def _absent(names: list[str], declared: Declared) -> Iterator[Breach]:
    ignored = {f"ignore ({name})": name for name in declared.ignore}
    kinds = {f"columns ({name})": name for name in declared.columns}
    for role, name in {**declared.roles, **ignored, **kinds}.items():
        if name not in names:
            key = role.split(" ")[0]
            remedy = (
                f"Columns are {listed(names)}.{did_you_mean(name, names)} "
                f"Set data.{key} in params.yaml."
            )
            yield Breach(name, f"the table has no such column, named as {key}", remedy=remedy)


def _shared(declared: Declared) -> Iterator[Breach]:
    by_name: dict[str, list[str]] = {}
    for role, name in declared.roles.items():
        by_name.setdefault(name, []).append(role)
    for name, roles in by_name.items():
        if len(roles) > 1:
            problem = f"one column cannot be {' and '.join(roles)}"
            yield Breach(name, problem, remedy="Set one of them to another column or to null.")


def _reserved(names: list[str], declared: Declared) -> Iterator[Breach]:
    taken = [name for name in RESERVED if name != declared.existing]
    for name in names:
        if name.lower() in taken or name in taken:
            yield Breach(name, "the name is reserved", remedy="Rename the column.")


def row_breaches(raw: pd.DataFrame, declared: Declared) -> tuple[Breach, ...]:
    """Return what is wrong with the target, with the identifier and group, and with few rows.

    Examples
    --------
    >>> raw = pd.DataFrame({"y": ["0", "1"] * 10, "who": [""] + ["a"] * 19})
    >>> row_breaches(raw, Declared("y", group="who"))[0].problem
    '1 of 20 cells are missing'
    """
    few = len(raw) < FEWEST_ROWS
    rows = f"{len(raw)} rows, need at least {FEWEST_ROWS}"
    return (
        *([Breach(None, rows, remedy="Give more rows.")] if few else []),
        *target_breaches(raw[declared.target], declared),
        *(breach for name in _complete(declared) for breach in _gaps(raw[name], declared)),
    )


def _complete(declared: Declared) -> list[str]:
    named = (declared.identifier, declared.group, declared.time)
    return [name for name in named if name is not None]


def _gaps(column: pd.Series, declared: Declared) -> tuple[Breach, ...]:
    gaps = as_text(column, missing=declared.missing_values).isna()
    remedy = "Fill them, or take the rows out; a column with this role must be complete."
    return cell_breach(column, gaps, problem="cells are missing", remedy=remedy)
