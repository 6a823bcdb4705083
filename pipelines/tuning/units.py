"""What one worker does at a time: a configuration on some folds."""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipelines.core.trials import Configuration, Phase
from pipelines.tuning.families import FAMILIES
from pipelines.tuning.memory import PATIENCE_SECONDS, Free, free_bytes, needed_bytes, shortage
from pipelines.tuning.work import Encodings, FoldYield, Work, fold_yield

STEP_SECONDS = 0.5  # quick folds are told of together: each message costs some 25 ms
FEWEST_ITERATIONS = 10  # what a fold that was cut short must have, to set the others' number
LENIENCY = 3.0
OUT_OF_BUDGET = "the budget was used up"
TOO_SLOW = "a fit on one fold took longer than its share of the budget"


@dataclass(frozen=True)
class Unit:
    """A configuration and the folds that it is evaluated on, one after the other.

    Attributes
    ----------
    number : int
        Of the trial.
    configuration : Configuration
    folds : tuple of int
    phase : str
    iterations : int, optional
        What every fold has exactly, once the first fold was cut short.
    fold_seconds : float
        The longest time of a fit. The first fold's model is cut short at it, and all other folds
        then have as many iterations, so that the folds stay comparable.
    deadline : float
        Moment, in seconds since 1970, at which fits end whatever they have.
    """

    number: int
    configuration: Configuration
    folds: tuple[int, ...]
    phase: Phase = "search"
    iterations: int | None = None
    fold_seconds: float = math.inf
    deadline: float = math.inf


@dataclass(frozen=True, eq=False)
class Step:
    """What a worker tells at once: some folds, and why the unit ended where it did not go on."""

    yields: tuple[FoldYield, ...]
    done: bool
    reason: str | None = None
    failed: bool = False


@dataclass(frozen=True)
class Ending:
    """Why a unit has no result on a fold, and whether it failed rather than was passed over."""

    reason: str
    failed: bool


def steps(
    work: Work, unit: Unit, encodings: Encodings, *, free: Free = free_bytes
) -> Iterator[Step]:
    """Yield the folds of a unit as they are finished, quick ones together.

    An exception of a fit ends the unit alone, and so does a fold on which the metric is undefined:
    it is its reason. A fit that would not find room in memory is not begun.

    Parameters
    ----------
    work : Work
    unit : Unit
    encodings : dict
        Of folds that were encoded before; more are added.
    free : callable
        Gives the bytes of memory that are free.
    """
    gathered: list[FoldYield] = []
    began = time.monotonic()
    for position, fold in enumerate(unit.folds):
        found = _tried(work, unit, fold, encodings, free)
        if isinstance(found, Ending):
            yield Step(tuple(gathered), True, found.reason, failed=found.failed)
            return
        reason = _obstacle(unit, found, first=position == 0)
        if reason is not None:
            yield Step(tuple(gathered), True, reason)
            return
        if not found.whole:
            unit = replace(unit, iterations=found.result.iterations)
        gathered.append(found)
        done = position == len(unit.folds) - 1
        if done or time.monotonic() - began >= STEP_SECONDS:
            yield Step(tuple(gathered), done)
            gathered, began = [], time.monotonic()


def suggestion(unit: Unit) -> dict[str, Any]:
    """Return a unit as Tune carries it; `suggested` reads it back."""
    return asdict(unit)


def suggested(config: Mapping[str, Any]) -> Unit:
    """Return the unit of a Tune trial."""
    configuration = Configuration(**config["configuration"])
    return Unit(**{**config, "configuration": configuration, "folds": tuple(config["folds"])})


def _deadline(unit: Unit) -> float:
    """Return when the next fit must end, on this machine's monotonic clock."""
    now, most = time.monotonic(), unit.fold_seconds
    if unit.iterations is not None:  # what one fold did in its time, another may do in a bit more
        most *= LENIENCY
    return min(now + most, now + unit.deadline - time.time())


def _tried(
    work: Work, unit: Unit, fold: int, encodings: Encodings, free: Free
) -> FoldYield | Ending:
    lack = _lack_of_memory(work, unit, fold, encodings, free)
    if lack is not None:
        return Ending(lack, failed=False)
    try:
        found = fold_yield(
            work,
            unit.configuration,
            fold,
            encodings=encodings,
            iterations=unit.iterations,
            deadline=_deadline(unit),
        )
    except Exception as error:
        return Ending(f"{type(error).__name__}: {error}", failed=True)
    if found.result.figures[work.metrics[0].name] is None:
        return Ending(_undefined(work, fold), failed=True)
    return found


def _lack_of_memory(
    work: Work, unit: Unit, fold: int, encodings: Encodings, free: Free
) -> str | None:
    if unit.configuration.family not in FAMILIES:  # its fit says so
        return None
    needed = needed_bytes(work, unit.configuration, fold, encodings=encodings)
    until = min(time.monotonic() + PATIENCE_SECONDS, _deadline(unit))
    return shortage(needed, until=until, free=free)


def _undefined(work: Work, fold: int) -> str:
    return f"{work.metrics[0].name} is undefined on fold {fold}"


def _obstacle(unit: Unit, found: FoldYield, *, first: bool) -> str | None:
    """Return why a fold that was cut short is not kept; None where it is."""
    if found.whole:
        return None
    if first and unit.iterations is None and (found.result.iterations or 0) >= FEWEST_ITERATIONS:
        return None
    return OUT_OF_BUDGET if time.time() >= unit.deadline else TOO_SLOW
