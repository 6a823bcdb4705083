"""The retraining loop over a stream with one learner: production's rules without its machinery.

`run_loop` uses the sequential loss test, the decision policy, the candidate training windows,
the gate's comparison and the rollback that production uses. The log, the registry and the
search are left out, so that many seeds can be simulated. `attempt_retraining` fits the plan's
windows, chooses one on half of the rows set apart for judging, and compares it with the
champion on the other half.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from evertune.config.schema import PolicySection, RetuneSection, SequentialRule, Trigger
from evertune.data.training_windows import TrainingWindow
from evertune.decisions import Alarm, DecisionOutcome, GateVerdict, MonitoringDecision
from evertune.metrics.losses import DailyLoss, daily_losses
from evertune.monitoring.loss_process import run_loss_process
from evertune.monitoring.performance import (
    PerformanceReference,
    build_performance_reference,
)
from evertune.monitoring.policy import decide
from evertune.monitoring.retraining import plan_retraining
from evertune.monitoring.state import MonitoringState, change_point
from evertune.monitoring.triggers import evaluate_triggers
from evertune.plan import Plan
from evertune.simulation.policies import (
    LabelledStream,
    PredictFunction,
    ReplayConfig,
    RowIndices,
    day_to_moment,
    displayed_losses,
    first_model,
    moment_to_day,
    row_losses,
    row_moments,
    rows_between,
    window_spans,
)
from evertune.simulation.results import (
    ReplayEvent,
    ReplayResult,
    WindowLoss,
    decision_events,
    outcome_event,
)
from evertune.stats.bootstrap import paired_difference
from evertune.stats.comparison import required_sample_size
from evertune.stats.results import PairedDifference
from evertune.stats.sequential import paired_sequential_test
from evertune.times import TimeWindow
from evertune.trials import Configuration
from evertune.types import FloatArray, Predictions

MIN_TRAINING_ROWS = 50
HASH_MULTIPLIER = 2_654_435_761  # Knuth's multiplier: neighbours in time fall on both sides
HASH_SHIFT = 16
LEARNER_CONFIGURATION = Configuration("learner")


@dataclass(frozen=True)
class GateSettings:
    """How the paired difference is figured that a new model has to pass."""

    confidence: float = 0.95
    draws: int = 200
    seed: int = 0


@dataclass(frozen=True, eq=False)
class RetrainingResult:
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

    predict: PredictFunction
    reference: PerformanceReference
    verdict: GateVerdict
    n_rows: int
    rows_needed: int | None
    detail: str


def plan_retraining_attempt(
    stream: LabelledStream,
    decision: MonitoringDecision,
    rule: RetuneSection,
    *,
    unseen: RowIndices,
) -> Plan:
    """Return the plan of an attempt, from the labelled rows that the champion never learned from.

    Raises
    ------
    ValueError
        If they are too few to judge by.
    """
    return plan_retraining(
        decision, moments=row_moments(stream, unseen), rule=rule, champion=[LEARNER_CONFIGURATION]
    )


def attempt_retraining(
    stream: LabelledStream,
    champion: PredictFunction,
    plan: Plan,
    *,
    known: RowIndices,
    gate: GateSettings,
) -> RetrainingResult:
    """Return what comes of learning anew.

    Rows from `plan.judge_from` on never train: on one half of them the window is chosen whose
    model is best in the stream's metric, on the other it meets the champion.

    Parameters
    ----------
    stream : LabelledStream
    champion : function
    plan : Plan
    known : array of int
        Rows whose labels are known, in the order of time.
    gate : GateSettings
    """
    cut = moment_to_day(stream, datetime.fromisoformat(str(plan.judge_from)))
    older, judges = known[stream.days[known] < cut], known[stream.days[known] >= cut]
    choosing, judging = judges[_selection_mask(judges)], judges[~_selection_mask(judges)]
    candidates = dict(_fit_candidates(stream, plan, older)) or {"all": stream.fit(older, None)}
    window = max(candidates, key=lambda name: _maximized_metric(stream, candidates[name], choosing))
    said = candidates[window](judging)
    found = _paired_difference(stream, judging, said, champion(judging), gate)
    verdict = _gate_verdict(found)
    return RetrainingResult(
        predict=candidates[window],
        reference=stream_reference(stream, judging, said),
        verdict=verdict,
        n_rows=found.n_rows,
        rows_needed=required_sample_size(found) if verdict == "not enough evidence" else None,
        detail=f"window {window}, {_difference_text(stream, found)}",
    )


def stream_reference(
    stream: LabelledStream, rows: RowIndices, said: Predictions
) -> PerformanceReference:
    """Return the reference of a model from its predictions of rows that it never saw."""
    return build_performance_reference(
        stream.y_true[rows],
        said,
        task=stream.task,
        metrics=[stream.metric],
        moments=row_moments(stream, rows),
    )


def _fit_candidates(
    stream: LabelledStream, plan: Plan, older: RowIndices
) -> Iterator[tuple[str, PredictFunction]]:
    """Yield each training window with the model that is fitted on its rows."""
    for window in plan.windows:
        start = (
            -math.inf
            if window.start is None
            else moment_to_day(stream, datetime.fromisoformat(window.start))
        )
        rows = older[stream.days[older] >= start]
        if len(rows) >= MIN_TRAINING_ROWS:
            yield window.name, stream.fit(rows, _decay_weights(stream, window, rows))


def _decay_weights(
    stream: LabelledStream, window: TrainingWindow, rows: RowIndices
) -> FloatArray | None:
    if window.half_life_days is None:
        return None
    ages = stream.days[rows[-1]] - stream.days[rows]
    return np.asarray(0.5 ** (ages / window.half_life_days), dtype=np.float64)


def _selection_mask(rows: RowIndices) -> NDArray[np.bool_]:
    return np.asarray((rows * HASH_MULTIPLIER >> HASH_SHIFT) % 2 == 0, dtype=np.bool_)


def _maximized_metric(stream: LabelledStream, model: PredictFunction, rows: RowIndices) -> float:
    figure = stream.metric.score(stream.y_true[rows], model(rows))
    if not math.isfinite(figure):
        return -math.inf
    return figure if stream.metric.greater_is_better else -figure


def _paired_difference(
    stream: LabelledStream,
    rows: RowIndices,
    ours: Predictions,
    theirs: Predictions,
    gate: GateSettings,
) -> PairedDifference:
    return paired_difference(
        stream.metric,
        stream.y_true[rows],
        ours,
        theirs,
        draws=gate.draws,
        confidence=gate.confidence,
        seed=gate.seed,
    )


def _gate_verdict(found: PairedDifference) -> GateVerdict:
    if found.mean is None or found.low is None or found.high is None:
        return "not enough evidence"
    if found.low > 0:
        return "promote"
    return "keep" if found.mean <= 0 or found.high <= 0 else "not enough evidence"


def _difference_text(stream: LabelledStream, found: PairedDifference) -> str:
    if found.mean is None or found.low is None or found.high is None:
        return f"{stream.metric.name} cannot be compared"
    ends = f"{found.low:+.4g} to {found.high:+.4g}"
    return f"{stream.metric.name} {found.mean:+.4g} ({ends}, {found.n_rows} rows)"


MODEL_NAME = "stream"
HOLDOUT_FRACTION = 0.2
MAX_LOSS_RISE = 0.03
ONE_DAY = timedelta(days=1)
LOSS_TRIGGER = Trigger(
    name="loss-rises", signal="loss", rule=SequentialRule(kind="e_process"), action="retune"
)


@dataclass(frozen=True)
class LoopConfig:
    """What the loop goes by; see `monitoring` in params.yaml.

    Attributes
    ----------
    policy : PolicySection
    retune : RetuneSection
    test : SequentialRule
        When a rise of the loss asks for a retune.
    gate : GateSettings
    look_days : float
        From one look to the next.
    """

    policy: PolicySection = field(default_factory=PolicySection)
    retune: RetuneSection = field(default_factory=RetuneSection)
    test: SequentialRule = field(default_factory=lambda: SequentialRule(kind="e_process"))
    gate: GateSettings = field(default_factory=GateSettings)
    look_days: float = 1.0


@dataclass(frozen=True, eq=False)
class ChampionPeriod:
    """A model that is champion from a day on.

    Attributes
    ----------
    version : str
    predict : function
    reference : PerformanceReference
    since : float
        Day.
    learned_until : float
        Day before which all rows were there to learn from; later ones it never saw.
    days : tuple of DailyLoss
        Of all rows of the stream from `learned_until` on: what the loop watches as labels come.
    shown : array of shape (n,)
        Losses of the same rows that windows show; NaN before.
    """

    version: str
    predict: PredictFunction
    reference: PerformanceReference
    since: float
    learned_until: float
    days: tuple[DailyLoss, ...]
    shown: FloatArray


@dataclass(frozen=True, eq=False)
class LoopState:
    """How far the loop is: who reigned when, and all that was decided and came of it."""

    reigns: tuple[ChampionPeriod, ...]
    previous: ChampionPeriod | None = None
    decisions: tuple[MonitoringDecision, ...] = ()
    outcomes: tuple[DecisionOutcome, ...] = ()
    events: tuple[ReplayEvent, ...] = ()
    n_versions: int = 1

    @property
    def champion(self) -> ChampionPeriod:
        """Who reigns now."""
        return self.reigns[-1]


def run_loop(stream: LabelledStream, course: ReplayConfig, rules: LoopConfig) -> ReplayResult:
    """Return how it goes when the loop watches, learns and judges."""
    state = _initial_state(stream, course)
    day, last = course.start + rules.look_days, float(stream.days[-1])
    while day <= last:
        state = _monitor_once(stream, course, rules, state=state, day=day)
        day += rules.look_days
    return ReplayResult("loop", tuple(_window_losses(stream, course, state.reigns)), state.events)


def _initial_state(stream: LabelledStream, course: ReplayConfig) -> LoopState:
    known = rows_between(stream, -np.inf, course.start)
    n_training = round(len(known) * (1 - HOLDOUT_FRACTION))
    judged = known[n_training:]
    trial = stream.fit(known[:n_training], None)
    reference = stream_reference(stream, judged, trial(judged))
    first = first_model(stream, course)
    return LoopState(
        (_start_period(stream, first, reference, version="1", span=(course.start,) * 2),)
    )


def _start_period(
    stream: LabelledStream,
    predict: PredictFunction,
    reference: PerformanceReference,
    *,
    version: str,
    span: tuple[float, float],
) -> ChampionPeriod:
    learned_until, since = span
    rows = rows_between(stream, learned_until, np.inf)
    said = predict(rows)
    days = daily_losses(row_moments(stream, rows), row_losses(stream, rows, said))
    shown = np.full(len(stream.days), np.nan)
    shown[rows] = displayed_losses(stream, rows, said)
    return ChampionPeriod(version, predict, reference, since, learned_until, days, shown)


def _monitor_once(
    stream: LabelledStream, course: ReplayConfig, rules: LoopConfig, *, state: LoopState, day: float
) -> LoopState:
    known = day - course.label_delay
    alarms = _loss_alarms(stream, rules, state.champion, known=known)
    standing = _monitoring_state(stream, rules, state, alarms=alarms, known=known, day=day)
    now = day_to_moment(stream, day)
    decision = decide(alarms, standing, rules.policy, model=MODEL_NAME, now=now)
    before = state.decisions[-1] if state.decisions else None
    told = tuple(decision_events(decision, before))
    state = replace(state, decisions=(*state.decisions, decision), events=(*state.events, *told))
    if decision.action == "rollback":
        return _roll_back(state, decision, day=day)
    if decision.action in ("refit", "retune"):
        return _retrain(stream, rules, state, decision=decision, known=known, day=day)
    return state


def _loss_alarms(
    stream: LabelledStream, rules: LoopConfig, champion: ChampionPeriod, *, known: float
) -> tuple[Alarm, ...]:
    process = run_loss_process(
        champion.reference,
        _loss_days_between(stream, champion, begin=champion.since, end=known),
        tolerance=rules.test.tolerance,
        false_alarm_days=rules.test.false_alarm_days,
    )
    trigger = LOSS_TRIGGER.model_copy(update={"rule": rules.test})
    return evaluate_triggers([trigger], [], processes={trigger.name: process})


def _monitoring_state(
    stream: LabelledStream,
    rules: LoopConfig,
    state: LoopState,
    *,
    alarms: Sequence[Alarm],
    known: float,
    day: float,
) -> MonitoringState:
    champion, change = state.champion, change_point(alarms)
    since = champion.since if change is None else moment_to_day(stream, change)
    return MonitoringState(
        champion=champion.version,
        promoted_at=day_to_moment(stream, champion.since),
        decisions=state.decisions,
        outcomes=state.outcomes,
        rows_since_change=len(rows_between(stream, since, known)),
        unlabelled_since_change=len(rows_between(stream, max(since, known), day)),
        rows_since_promotion=len(rows_between(stream, champion.since, known)),
        worse_than_previous=_worse_than_previous(stream, rules, state, known=known),
    )


def _worse_than_previous(
    stream: LabelledStream, rules: LoopConfig, state: LoopState, *, known: float
) -> str | None:
    if state.previous is None:
        return None
    begin = state.champion.since
    end = min(known, begin + rules.policy.shadow_days)
    ours, theirs = (
        _loss_days_between(stream, each, begin=begin, end=end)
        for each in (state.champion, state.previous)
    )
    found = paired_sequential_test(ours, theirs)
    if found.worse_at is None:
        return None
    return f"its loss is {found.difference:+.4g} beside version {state.previous.version}'s"


def _roll_back(state: LoopState, decision: MonitoringDecision, *, day: float) -> LoopState:
    if state.previous is None:
        return state
    detail = decision.reasons[0]
    state = replace(
        state, reigns=(*state.reigns, replace(state.previous, since=day)), previous=None
    )
    version = state.champion.version
    return _with_outcome(
        state, DecisionOutcome(decision.id, decision.moment, "rolled back", version, detail)
    )


def _retrain(
    stream: LabelledStream,
    rules: LoopConfig,
    state: LoopState,
    *,
    decision: MonitoringDecision,
    known: float,
    day: float,
) -> LoopState:
    champion = state.champion
    labelled = rows_between(stream, -np.inf, known)
    unseen = labelled[stream.days[labelled] >= champion.learned_until]
    try:
        plan = plan_retraining_attempt(stream, decision, rules.retune, unseen=unseen)
    except ValueError as error:
        failed = DecisionOutcome(decision.id, decision.moment, "failed", detail=str(error))
        return _with_outcome(state, failed)
    found = attempt_retraining(stream, champion.predict, plan, known=labelled, gate=rules.gate)
    version = str(state.n_versions + 1)
    state = replace(state, n_versions=state.n_versions + 1)
    ended = _attempt_outcome(decision, found, version=version)
    if ended.kind == "refused":
        return _with_outcome(state, ended)
    reign = _start_period(
        stream,
        found.predict,
        _cap_reference_loss(found.reference, champion.reference),
        version=version,
        span=(moment_to_day(stream, datetime.fromisoformat(str(plan.judge_from))), day),
    )
    state = replace(state, reigns=(*state.reigns, reign), previous=champion)
    return _with_outcome(state, ended)


def _attempt_outcome(
    decision: MonitoringDecision, found: RetrainingResult, *, version: str
) -> DecisionOutcome:
    return DecisionOutcome(
        decision_id=decision.id,
        moment=decision.moment,
        kind="promoted" if found.verdict == "promote" else "refused",
        version=version,
        detail=found.detail,
        verdict=found.verdict,
        n_rows=found.n_rows,
        rows_needed=found.rows_needed,
    )


def _cap_reference_loss(
    reference: PerformanceReference, former: PerformanceReference
) -> PerformanceReference:
    return replace(reference, loss=min(reference.loss, former.loss + MAX_LOSS_RISE))


def _with_outcome(state: LoopState, outcome: DecisionOutcome) -> LoopState:
    event = outcome_event(outcome)
    events = state.events if event is None else (*state.events, event)
    return replace(state, outcomes=(*state.outcomes, outcome), events=events)


def _loss_days_between(
    stream: LabelledStream, reign: ChampionPeriod, *, begin: float, end: float
) -> tuple[DailyLoss, ...]:
    first, last = day_to_moment(stream, begin), day_to_moment(stream, end) - ONE_DAY
    return tuple(each for each in reign.days if first <= each.day <= last)


def _window_losses(
    stream: LabelledStream, course: ReplayConfig, reigns: Sequence[ChampionPeriod]
) -> Iterator[WindowLoss]:
    losses = np.full(len(stream.days), np.nan)
    for reign in reigns:
        rows = rows_between(stream, reign.since, np.inf)
        losses[rows] = reign.shown[rows]
    for begin, end in window_spans(stream, course):
        rows = rows_between(stream, begin, end)
        window = TimeWindow(day_to_moment(stream, begin), day_to_moment(stream, end), len(rows))
        last = [each.version for each in reigns if each.since < end][-1]
        yield WindowLoss(window, float(losses[rows].mean()) if len(rows) else None, last)
