"""First configurations of a search from earlier searches on similar tables.

`meta_features` describes a table by a few numbers. `transfer_configurations` takes the earlier
searches whose tables are nearest by these, and picks a small greedy portfolio of configurations
that did best there. Only configurations are passed on, never rows.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from evertune.data.schema import TableSchema
from evertune.models.families import COMMON_DEFAULTS, FAMILIES
from evertune.search.configurations import nearest_configuration
from evertune.search.space import Space
from evertune.trials import Configuration, Trial
from evertune.types import Task

N_SEARCHES = 5  # the nearest, whose configurations are compared
N_CONFIGURATIONS = 4  # of the portfolio
MAX_DISTANCE = 3.0  # of tables that are alike enough
OTHER_METRIC_DISTANCE = 0.5
# What a difference of 1 in distance is: a factor of 10 in rows, 4 in counts, a quarter of a share.
SCALES = {
    "n_rows": 1.0,
    "n_numbers": math.log10(4),
    "n_categories": math.log10(4),
    "n_texts": math.log10(4),
    "n_dates": math.log10(4),
    "most_categories": 1.0,
    "n_classes": math.log10(4),
    "rarest_class_share": 0.25,
    "missing_share": 0.25,
}
COUNTS = tuple(name for name in SCALES if not name.endswith("_share"))


@dataclass(frozen=True)
class EarlierSearch:
    """A search that has ended.

    Attributes
    ----------
    name : str
        By which a person knows its run.
    meta : mapping of str to float
        What `meta_features` says of its table.
    trials : tuple of Trial
        Only complete ones count.
    """

    name: str
    task: Task
    metric: str
    greater_is_better: bool
    meta: Mapping[str, float]
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class Transfer:
    """What earlier searches give to a new one.

    Attributes
    ----------
    configurations : tuple of Configuration
        To try first, the most promising before the others.
    sources : tuple of (str, float)
        The searches that they come from, with the distances of their tables.
    """

    configurations: tuple[Configuration, ...] = ()
    sources: tuple[tuple[str, float], ...] = ()


def meta_features(table: pd.DataFrame, schema: TableSchema) -> dict[str, float]:
    """Return what a clean table of n rows is like: counts of rows and columns, and shares of cells.

    Examples
    --------
    >>> from evertune.data.schema import Column
    >>> schema = TableSchema((Column("a", "number"),), "y", "binary", ("no", "yes"))
    >>> table = pd.DataFrame({"a": [1.0, None], "y": ["no", "yes"]})
    >>> found = meta_features(table, schema)
    >>> found["n_rows"], found["n_numbers"], found["missing_share"], found["rarest_class_share"]
    (2.0, 1.0, 0.5, 0.5)
    """
    kinds = [column.kind for column in schema.features]
    cells = table[[column.name for column in schema.features]]
    shares = table[schema.target].astype("str").value_counts(normalize=True)
    return {
        "n_rows": float(len(table)),
        "n_numbers": float(sum(kind in ("number", "boolean") for kind in kinds)),
        "n_categories": float(kinds.count("category")),
        "n_texts": float(kinds.count("text")),
        "n_dates": float(kinds.count("date")),
        "most_categories": float(
            max((len(each.categories) for each in schema.features), default=0)
        ),
        "n_classes": float(len(schema.classes)),
        "rarest_class_share": float(shares.min()) if schema.classes else 0.0,
        "missing_share": float(cells.isna().to_numpy().mean()) if cells.size else 0.0,
    }


def meta_distance(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Return the distance of two tables, the Euclidean one in the units of `SCALES`.

    Examples
    --------
    >>> meta_distance({"n_rows": 99.0}, {"n_rows": 999.0})
    1.0
    """

    def difference(name: str) -> float:
        values = one.get(name, 0.0), other.get(name, 0.0)
        if name in COUNTS:
            values = math.log10(1 + max(values[0], 0.0)), math.log10(1 + max(values[1], 0.0))
        return (values[0] - values[1]) / SCALES[name]

    return math.hypot(*map(difference, SCALES))


def transfer_configurations(
    meta: Mapping[str, float],
    earlier: Sequence[EarlierSearch],
    *,
    task: Task,
    metric: str,
    space: Space,
) -> Transfer:
    """Return the configurations with which to begin a search.

    Of the nearest searches with the same task, each complete trial is worth 0 at the median score
    of its search and 1 at the best. Configurations are taken one by one: each time the one that
    adds most to the sum, over searches, of the greatest worth among those taken, nearer searches
    weighing more; then the best of further families.

    Parameters
    ----------
    earlier : sequence of EarlierSearch
        The newest first: at equal distance the newer one is nearer.
    space : Space
        Of the new search. Other families are not taken, and values outside are moved inside.
    """
    distances = [
        meta_distance(meta, each.meta) + OTHER_METRIC_DISTANCE * (each.metric != metric)
        for each in earlier
    ]
    order = [
        index
        for index in np.argsort(distances, kind="stable").tolist()
        if earlier[index].task == task and distances[index] <= MAX_DISTANCE
    ]
    worths: list[tuple[int, dict[str, float]]] = []
    points: dict[str, Configuration] = {}
    for index in order:
        worth = _worths(earlier[index], space, points)
        if worth and len(worths) < N_SEARCHES:
            worths.append((index, worth))
    taken: list[str] = []
    while len(taken) < N_CONFIGURATIONS:
        key = _next_point(taken, [(distances[index], worth) for index, worth in worths], points)
        if key is None:
            break
        taken.append(key)
    sources = [index for index, worth in worths if any(worth.get(key) for key in taken)]
    return Transfer(
        tuple(points[key] for key in taken),
        tuple((earlier[index].name, distances[index]) for index in sources),
    )


def _worths(
    search: EarlierSearch, space: Space, points: dict[str, Configuration]
) -> dict[str, float]:
    """Return the worth of each configuration by its text; their points are added to `points`."""
    scores: dict[str, float] = {}
    for trial in search.trials:
        if trial.status != "complete" or trial.score is None or not math.isfinite(trial.score):
            continue
        point = _usable(trial.configuration, space)
        if point is None:
            continue
        points.setdefault(str(point), point)
        score = trial.score if search.greater_is_better else -trial.score
        scores[str(point)] = max(score, scores.get(str(point), -math.inf))
    if not scores:
        return {}
    best, median = max(scores.values()), float(np.median(list(scores.values())))
    return {
        key: 1.0 if best == median else max(0.0, (score - median) / (best - median))
        for key, score in scores.items()
    }


def _usable(point: Configuration, space: Space) -> Configuration | None:
    """Return a configuration inside the space; None if its family or a name is not known here."""
    if point.family not in space:
        return None
    if not set(point.hyperparameters) <= set(COMMON_DEFAULTS | FAMILIES[point.family].defaults):
        return None
    try:
        return nearest_configuration(point, space)
    except (TypeError, ValueError):  # a text where this release takes a number
        return None


def _next_point(
    taken: Sequence[str],
    worths: Sequence[tuple[float, Mapping[str, float]]],
    points: Mapping[str, Configuration],
) -> str | None:
    """Return the configuration that adds most, else the best of a family that is not taken."""
    families = {points[key].family for key in taken}

    def total(key: str, *, beyond: bool) -> float:
        return sum(
            max(
                0.0,
                worth.get(key, 0.0) - max((worth.get(t, 0.0) for t in taken if beyond), default=0),
            )
            / (1 + distance)
            for distance, worth in worths
        )

    left = [key for _, worth in worths for key in worth if key not in taken]
    gains = {key: total(key, beyond=True) for key in left}
    if gains and max(gains.values()) > 0:
        return max(gains, key=lambda key: gains[key])
    others = {key: total(key, beyond=False) for key in left if points[key].family not in families}
    if others and max(others.values()) > 0:
        return max(others, key=lambda key: others[key])
    return None
