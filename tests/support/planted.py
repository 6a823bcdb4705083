"""Tables in which something is known to happen: the planted cases, made from a seed.

Each has days of rows in the order of time, two kinds of customers, a few numbers and a target. The
relation between them is known, and so is what changes, and when. Nothing under pipelines knows
these cases.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FIRST_DAY = "2024-01-01"
TIME, TARGET = "at", "left"
LEARNED_DAYS, PLAYED_DAYS = 150, 100
CHANGE_DAYS = 28  # from the first day that is played
NARROW = 0.02  # within it hardly any row was learned from
PERIOD = 7


@dataclass(frozen=True)
class Planted:
    """A table with a known story.

    Attributes
    ----------
    table : DataFrame
        Columns `at`, `use`, `price`, `calls`, `age`, `region` and the target `left`.
    start : Timestamp
        Where what is played begins; what lies before is learned from.
    changes : tuple of Timestamp
        When something changes.
    """

    table: pd.DataFrame
    start: pd.Timestamp
    changes: tuple[pd.Timestamp, ...] = ()


Numbers = NDArray[np.float64]


def planted(name: str, *, seed: int = 0, rows_a_day: int = 60) -> Planted:
    """Return a case by its name."""
    return CASES[name](np.random.default_rng(seed), rows_a_day)


def quiet(random: np.random.Generator, rows_a_day: int) -> Planted:
    """Nothing changes but chance, and the volume by the day of the week."""
    return _told(_labelled(_inputs(random, rows_a_day), random))


def seasonal(random: np.random.Generator, rows_a_day: int) -> Planted:
    """Inputs move with the week and with a season that was learned from; the relation stands."""
    inputs = _inputs(random, rows_a_day)
    day = _days(inputs)
    wave = 0.4 * np.sin(2 * np.pi * day / 40) + 0.3 * (day % PERIOD >= PERIOD - 2)
    return _told(_labelled(inputs.assign(age=inputs["age"] + wave), random))


def covariate(random: np.random.Generator, rows_a_day: int) -> Planted:
    """Most rows come to lie where hardly any lay; what holds there held before."""
    inputs = _inputs(random, rows_a_day)
    n_rows = len(inputs)
    moved = _since(inputs, CHANGE_DAYS) & (random.random(n_rows) < 0.7)
    near = {
        "use": random.uniform(-NARROW, NARROW, n_rows).round(3),
        "price": random.normal(10.0, 0.3, n_rows).round(2),
        "calls": 2.0,
    }
    return _told(_labelled(_moved(inputs, near, moved), random), CHANGE_DAYS)


def label(random: np.random.Generator, rows_a_day: int) -> Planted:
    """The share of those who leave rises; inputs keep their distribution."""
    inputs = _inputs(random, rows_a_day)
    odds = _log_odds(inputs) + 3.0 * _since(inputs, CHANGE_DAYS)
    return _told(_drawn(inputs, odds, random), CHANGE_DAYS)


def concept(random: np.random.Generator, rows_a_day: int) -> Planted:
    """What drove customers away keeps them now; inputs keep their distribution."""
    inputs = _inputs(random, rows_a_day)
    odds = np.where(_since(inputs, CHANGE_DAYS), _other_log_odds(inputs), _log_odds(inputs))
    return _told(_drawn(inputs, odds, random), CHANGE_DAYS)


def broken(random: np.random.Generator, rows_a_day: int) -> Planted:
    """For a week one column arrives empty and another in another unit; then all is well again."""
    table = _labelled(_inputs(random, rows_a_day), random)
    bad = _since(table, CHANGE_DAYS) & ~_since(table, CHANGE_DAYS + PERIOD)
    harmed = table.assign(
        price=np.where(bad, 100 * table["price"], table["price"]),
        calls=np.where(bad & (random.random(len(table)) < 0.8), np.nan, table["calls"]),
    )
    return _told(harmed, CHANGE_DAYS, CHANGE_DAYS + PERIOD)


def unlearnable(random: np.random.Generator, rows_a_day: int) -> Planted:
    """Most rows come to lie where chance rules: every model is worse, none can be better."""
    inputs = _inputs(random, rows_a_day)
    n_rows = len(inputs)
    moved = _since(inputs, CHANGE_DAYS) & (random.random(n_rows) < 0.7)
    near = {
        "use": random.choice([-1.0, 1.0], n_rows) * random.uniform(0.2, 0.5, n_rows).round(3),
        "price": random.normal(10.0, 0.5, n_rows).round(2),
        "calls": 2.0,
    }
    return _told(_labelled(_moved(inputs, near, moved), random), CHANGE_DAYS)


def passing(random: np.random.Generator, rows_a_day: int, *, days: int = 7) -> Planted:
    """The relation turns over and soon back: what was learned between is worse then."""
    inputs = _inputs(random, rows_a_day)
    turned = _since(inputs, CHANGE_DAYS) & ~_since(inputs, CHANGE_DAYS + days)
    odds = np.where(turned, _other_log_odds(inputs), _log_odds(inputs))
    return _told(_drawn(inputs, odds, random), CHANGE_DAYS, CHANGE_DAYS + days)


CASES: dict[str, Callable[[np.random.Generator, int], Planted]] = {
    "quiet": quiet,
    "seasonal": seasonal,
    "covariate": covariate,
    "label": label,
    "concept": concept,
    "broken": broken,
    "unlearnable": unlearnable,
    "passing": passing,
}


def _inputs(random: np.random.Generator, rows_a_day: int) -> pd.DataFrame:
    days = np.arange(LEARNED_DAYS + PLAYED_DAYS)
    busy = rows_a_day * np.where(days % PERIOD >= PERIOD - 2, 0.8, 1.08)
    day = np.repeat(days, random.poisson(busy))
    n_rows = len(day)
    seconds = np.sort(day * 86_400 + random.integers(0, 86_400, n_rows))
    return pd.DataFrame(
        {
            TIME: pd.Timestamp(FIRST_DAY).as_unit("us") + pd.to_timedelta(seconds, unit="s"),
            "use": random.normal(0.0, 1.0, n_rows).round(3),
            "price": random.normal(10.0, 2.0, n_rows).round(2),
            "calls": random.poisson(2.0, n_rows).astype(float),
            "age": random.normal(0.0, 1.0, n_rows).round(3),
            "region": random.choice(["north", "south", "west"], n_rows),
        }
    )


def _moved(
    inputs: pd.DataFrame, values: dict[str, Numbers | float], rows: NDArray[np.bool_]
) -> pd.DataFrame:
    return inputs.assign(
        **{name: np.where(rows, value, inputs[name]) for name, value in values.items()}
    )


def _log_odds(inputs: pd.DataFrame) -> Numbers:
    north = np.where(inputs["region"] == "north", 1.0, -1.0)
    usual = 2.5 * inputs["use"] * north + 0.8 * (inputs["calls"] - 2) - 0.4 * (inputs["price"] - 10)
    narrow = 3.5 * np.sign(inputs["age"])
    return np.where(inputs["use"].abs() <= NARROW, narrow, usual)


def _other_log_odds(inputs: pd.DataFrame) -> Numbers:
    return -_log_odds(inputs)


def _labelled(inputs: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    return _drawn(inputs, _log_odds(inputs), random)


def _drawn(inputs: pd.DataFrame, odds: Numbers, random: np.random.Generator) -> pd.DataFrame:
    left = random.random(len(inputs)) < 1 / (1 + np.exp(-odds))
    return inputs.assign(**{TARGET: np.where(left, "yes", "no")})


def _days(inputs: pd.DataFrame) -> Numbers:
    return np.asarray((inputs[TIME] - pd.Timestamp(FIRST_DAY)).dt.days, dtype=np.float64)


def _since(inputs: pd.DataFrame, days: int) -> NDArray[np.bool_]:
    return np.asarray(inputs[TIME] >= _moment(days), dtype=bool)


def _moment(days: int) -> pd.Timestamp:
    return pd.Timestamp(FIRST_DAY) + pd.Timedelta(days=LEARNED_DAYS + days)


def _told(table: pd.DataFrame, *changes: int) -> Planted:
    return Planted(table, _moment(0), tuple(_moment(days) for days in changes))
