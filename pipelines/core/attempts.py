"""Learning anew over a stream: the plan's windows, the choice among them, and the gate."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from pipelines.core.findings import Decision, GateVerdict
from pipelines.core.intervals import Difference, paired_difference
from pipelines.core.judging.power import rows_needed
from pipelines.core.performance_reference import PerformanceReference, performance_reference
from pipelines.core.plans import Plan, TrainingWindow
from pipelines.core.policies import Predict, Rows, Stream, day_of, moments_of
from pipelines.core.predictions import Floats, Predictions
from pipelines.core.retuning import RetuneRule, plan_of
from pipelines.core.trials import Configuration

FEWEST_TRAINING = 50
SPREAD = 2_654_435_761  # Knuth's multiplier: neighbours in time fall on both sides
SPREAD_BITS = 16
LEARNER = Configuration("learner")


@dataclass(frozen=True)
class Gate:
    """How the paired difference is figured that a new model has to pass."""

    confidence: float = 0.95
    draws: int = 200
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Attempt:
    """What came of learning anew.

    Attributes
    ----------
    predict : function
        The new model.
    reference : PerformanceReference
        Of the new model, from the rows that judged it.
    verdict : str
        What the gate says of it beside the champion.
    n_rows, rows_needed : int, optional
        Rows that the gate judged by, and about how many would tell, where these cannot.
    detail : str
    """

    predict: Predict
    reference: PerformanceReference
    verdict: GateVerdict
    n_rows: int
    rows_needed: int | None
    detail: str


def planned(stream: Stream, decision: Decision, rule: RetuneRule, *, unseen: Rows) -> Plan:
    """Return the plan of an attempt, from the labelled rows that the champion never learned from.

    Raises
    ------
    ValueError
        If they are too few to judge by.
    """
    return plan_of(decision, moments=moments_of(stream, unseen), rule=rule, champion=[LEARNER])


def attempt(stream: Stream, champion: Predict, plan: Plan, *, known: Rows, gate: Gate) -> Attempt:
    """Return what comes of learning anew.

    Rows from `plan.judge_from` on never train: on one half of them the window is chosen whose
    model is best in the stream's metric, on the other it meets the champion.

    Parameters
    ----------
    stream : Stream
    champion : function
    plan : Plan
    known : array of int
        Rows whose labels are known, in the order of time.
    gate : Gate
    """
    cut = day_of(stream, datetime.fromisoformat(str(plan.judge_from)))
    older, judges = known[stream.days[known] < cut], known[stream.days[known] >= cut]
    choosing, judging = judges[_chooses(judges)], judges[~_chooses(judges)]
    candidates = dict(_candidates(stream, plan, older)) or {"all": stream.fit(older, None)}
    window = max(candidates, key=lambda name: _score(stream, candidates[name], choosing))
    said = candidates[window](judging)
    found = _difference(stream, judging, said, champion(judging), gate)
    verdict = _verdict(found)
    return Attempt(
        predict=candidates[window],
        reference=reference_on(stream, judging, said),
        verdict=verdict,
        n_rows=found.n_rows,
        rows_needed=rows_needed(found) if verdict == "not enough evidence" else None,
        detail=f"window {window}, {_told(stream, found)}",
    )


def reference_on(stream: Stream, rows: Rows, said: Predictions) -> PerformanceReference:
    """Return the reference of a model from its predictions of rows that it never saw."""
    return performance_reference(
        stream.truth[rows],
        said,
        task=stream.task,
        metrics=[stream.metric],
        moments=moments_of(stream, rows),
    )


def _candidates(stream: Stream, plan: Plan, older: Rows) -> Iterator[tuple[str, Predict]]:
    """Yield each training window with the model that is fitted on its rows."""
    for window in plan.windows:
        start = (
            -math.inf
            if window.start is None
            else day_of(stream, datetime.fromisoformat(window.start))
        )
        rows = older[stream.days[older] >= start]
        if len(rows) >= FEWEST_TRAINING:
            yield window.name, stream.fit(rows, _weights(stream, window, rows))


def _weights(stream: Stream, window: TrainingWindow, rows: Rows) -> Floats | None:
    if window.half_life_days is None:
        return None
    ages = stream.days[rows[-1]] - stream.days[rows]
    return np.asarray(0.5 ** (ages / window.half_life_days), dtype=np.float64)


def _chooses(rows: Rows) -> NDArray[np.bool_]:
    return np.asarray((rows * SPREAD >> SPREAD_BITS) % 2 == 0, dtype=np.bool_)


def _score(stream: Stream, model: Predict, rows: Rows) -> float:
    figure = stream.metric.figure(stream.truth[rows], model(rows))
    if not math.isfinite(figure):
        return -math.inf
    return figure if stream.metric.greater_is_better else -figure


def _difference(
    stream: Stream, rows: Rows, ours: Predictions, theirs: Predictions, gate: Gate
) -> Difference:
    return paired_difference(
        stream.metric,
        stream.truth[rows],
        ours,
        theirs,
        draws=gate.draws,
        confidence=gate.confidence,
        seed=gate.seed,
    )


def _verdict(found: Difference) -> GateVerdict:
    if found.mean is None or found.low is None or found.high is None:
        return "not enough evidence"
    if found.low > 0:
        return "promote"
    return "keep" if found.mean <= 0 or found.high <= 0 else "not enough evidence"


def _told(stream: Stream, found: Difference) -> str:
    if found.mean is None or found.low is None or found.high is None:
        return f"{stream.metric.name} cannot be compared"
    ends = f"{found.low:+.4g} to {found.high:+.4g}"
    return f"{stream.metric.name} {found.mean:+.4g} ({ends}, {found.n_rows} rows)"
