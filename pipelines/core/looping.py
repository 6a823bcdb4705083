"""The loop over a stream with one learner: the rules of production without its machinery.

The sequential test, the decision, the candidate windows, the gate's comparison and the rollback
are those that production uses; log, registry and search are left out, so that many seeds can be
played.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np

from pipelines.core.attempts import Attempt, Gate, attempt, planned, reference_on
from pipelines.core.decisions import decide
from pipelines.core.findings import Alarm, Decision, Outcome, Window
from pipelines.core.loss_process import loss_process
from pipelines.core.losses import LossDay, loss_days
from pipelines.core.paired_process import paired_process
from pipelines.core.performance_reference import PerformanceReference
from pipelines.core.policies import (
    Course,
    Predict,
    Stream,
    day_of,
    first_model,
    moment_of,
    moments_of,
    row_losses,
    rows_between,
    shown_losses,
    spans_of,
)
from pipelines.core.predictions import Floats
from pipelines.core.replay_events import decision_events, outcome_event
from pipelines.core.replaying import Event, Played, WindowLoss
from pipelines.core.retuning import RetuneRule
from pipelines.core.standing import Policy, Standing, change_of
from pipelines.core.triggers import Sequential, Trigger, alarms_of

MODEL = "stream"
HOLDOUT_FRACTION = 0.2
MOST_RISE = 0.03
DAY = timedelta(days=1)
LOSS_RISES = Trigger("loss-rises", "loss", Sequential(), "retune")


@dataclass(frozen=True)
class Rules:
    """What the loop goes by; see `monitoring` in params.yaml.

    Attributes
    ----------
    policy : Policy
    retune : RetuneRule
    test : Sequential
        When a rise of the loss asks for a retune.
    gate : Gate
    look_days : float
        From one look to the next.
    """

    policy: Policy = field(default_factory=Policy)
    retune: RetuneRule = field(default_factory=RetuneRule)
    test: Sequential = field(default_factory=Sequential)
    gate: Gate = field(default_factory=Gate)
    look_days: float = 1.0


@dataclass(frozen=True, eq=False)
class Reign:
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
    days : tuple of LossDay
        Of all rows of the stream from `learned_until` on: what the loop watches as labels come.
    shown : array of shape (n,)
        Losses of the same rows that windows show; NaN before.
    """

    version: str
    predict: Predict
    reference: PerformanceReference
    since: float
    learned_until: float
    days: tuple[LossDay, ...]
    shown: Floats


@dataclass(frozen=True, eq=False)
class State:
    """How far the loop is: who reigned when, and all that was decided and came of it."""

    reigns: tuple[Reign, ...]
    previous: Reign | None = None
    decisions: tuple[Decision, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    events: tuple[Event, ...] = ()
    n_versions: int = 1

    @property
    def champion(self) -> Reign:
        """Who reigns now."""
        return self.reigns[-1]


def loop(stream: Stream, course: Course, rules: Rules) -> Played:
    """Return how it goes when the loop watches, learns and judges."""
    state = _begun(stream, course)
    day, last = course.start + rules.look_days, float(stream.days[-1])
    while day <= last:
        state = _looked(stream, course, rules, state=state, day=day)
        day += rules.look_days
    return Played("loop", tuple(_window_losses(stream, course, state.reigns)), state.events)


def _begun(stream: Stream, course: Course) -> State:
    known = rows_between(stream, -np.inf, course.start)
    n_training = round(len(known) * (1 - HOLDOUT_FRACTION))
    judged = known[n_training:]
    trial = stream.fit(known[:n_training], None)
    reference = reference_on(stream, judged, trial(judged))
    first = first_model(stream, course)
    return State((_reign(stream, first, reference, version="1", span=(course.start,) * 2),))


def _reign(
    stream: Stream,
    predict: Predict,
    reference: PerformanceReference,
    *,
    version: str,
    span: tuple[float, float],
) -> Reign:
    learned_until, since = span
    rows = rows_between(stream, learned_until, np.inf)
    said = predict(rows)
    days = loss_days(moments_of(stream, rows), row_losses(stream, rows, said))
    shown = np.full(len(stream.days), np.nan)
    shown[rows] = shown_losses(stream, rows, said)
    return Reign(version, predict, reference, since, learned_until, days, shown)


def _looked(stream: Stream, course: Course, rules: Rules, *, state: State, day: float) -> State:
    known = day - course.label_delay
    alarms = _alarms(stream, rules, state.champion, known=known)
    standing = _standing(stream, rules, state, alarms=alarms, known=known, day=day)
    now = moment_of(stream, day)
    decision = decide(alarms, standing, rules.policy, model=MODEL, now=now)
    before = state.decisions[-1] if state.decisions else None
    told = tuple(decision_events(decision, before))
    state = replace(state, decisions=(*state.decisions, decision), events=(*state.events, *told))
    if decision.action == "rollback":
        return _rolled_back(state, decision, day=day)
    if decision.action in ("refit", "retune"):
        return _attempted(stream, rules, state, decision=decision, known=known, day=day)
    return state


def _alarms(stream: Stream, rules: Rules, champion: Reign, *, known: float) -> tuple[Alarm, ...]:
    process = loss_process(
        champion.reference,
        _days(stream, champion, begin=champion.since, end=known),
        tolerance=rules.test.tolerance,
        false_alarm_days=rules.test.false_alarm_days,
    )
    trigger = replace(LOSS_RISES, rule=rules.test)
    return alarms_of([trigger], [], processes={trigger.name: process})


def _standing(  # noqa: PLR0913
    stream: Stream,
    rules: Rules,
    state: State,
    *,
    alarms: Sequence[Alarm],
    known: float,
    day: float,
) -> Standing:
    champion, change = state.champion, change_of(alarms)
    since = champion.since if change is None else day_of(stream, change)
    return Standing(
        champion=champion.version,
        promoted_at=moment_of(stream, champion.since),
        decisions=state.decisions,
        outcomes=state.outcomes,
        rows_since_change=len(rows_between(stream, since, known)),
        unlabelled_since_change=len(rows_between(stream, max(since, known), day)),
        rows_since_promotion=len(rows_between(stream, champion.since, known)),
        worse_than_previous=_worse(stream, rules, state, known=known),
    )


def _worse(stream: Stream, rules: Rules, state: State, *, known: float) -> str | None:
    if state.previous is None:
        return None
    begin = state.champion.since
    end = min(known, begin + rules.policy.shadow_days)
    ours, theirs = (
        _days(stream, each, begin=begin, end=end) for each in (state.champion, state.previous)
    )
    found = paired_process(ours, theirs)
    if found.worse_at is None:
        return None
    return f"its loss is {found.difference:+.4g} beside version {state.previous.version}'s"


def _rolled_back(state: State, decision: Decision, *, day: float) -> State:
    if state.previous is None:
        return state
    detail = decision.reasons[0]
    state = replace(
        state, reigns=(*state.reigns, replace(state.previous, since=day)), previous=None
    )
    version = state.champion.version
    return _with_outcome(
        state, Outcome(decision.id, decision.moment, "rolled back", version, detail)
    )


def _attempted(  # noqa: PLR0913
    stream: Stream,
    rules: Rules,
    state: State,
    *,
    decision: Decision,
    known: float,
    day: float,
) -> State:
    champion = state.champion
    labelled = rows_between(stream, -np.inf, known)
    unseen = labelled[stream.days[labelled] >= champion.learned_until]
    try:
        plan = planned(stream, decision, rules.retune, unseen=unseen)
    except ValueError as error:
        failed = Outcome(decision.id, decision.moment, "failed", detail=str(error))
        return _with_outcome(state, failed)
    found = attempt(stream, champion.predict, plan, known=labelled, gate=rules.gate)
    version = str(state.n_versions + 1)
    state = replace(state, n_versions=state.n_versions + 1)
    ended = _ended(decision, found, version=version)
    if ended.kind == "refused":
        return _with_outcome(state, ended)
    reign = _reign(
        stream,
        found.predict,
        _capped(found.reference, champion.reference),
        version=version,
        span=(day_of(stream, datetime.fromisoformat(str(plan.judge_from))), day),
    )
    state = replace(state, reigns=(*state.reigns, reign), previous=champion)
    return _with_outcome(state, ended)


def _ended(decision: Decision, found: Attempt, *, version: str) -> Outcome:
    return Outcome(
        decision_id=decision.id,
        moment=decision.moment,
        kind="promoted" if found.verdict == "promote" else "refused",
        version=version,
        detail=found.detail,
        verdict=found.verdict,
        n_rows=found.n_rows,
        rows_needed=found.rows_needed,
    )


def _capped(reference: PerformanceReference, former: PerformanceReference) -> PerformanceReference:
    return replace(reference, loss=min(reference.loss, former.loss + MOST_RISE))


def _with_outcome(state: State, outcome: Outcome) -> State:
    event = outcome_event(outcome)
    events = state.events if event is None else (*state.events, event)
    return replace(state, outcomes=(*state.outcomes, outcome), events=events)


def _days(stream: Stream, reign: Reign, *, begin: float, end: float) -> tuple[LossDay, ...]:
    first, last = moment_of(stream, begin), moment_of(stream, end) - DAY
    return tuple(each for each in reign.days if first <= each.day <= last)


def _window_losses(stream: Stream, course: Course, reigns: Sequence[Reign]) -> Iterator[WindowLoss]:
    losses = np.full(len(stream.days), np.nan)
    for reign in reigns:
        rows = rows_between(stream, reign.since, np.inf)
        losses[rows] = reign.shown[rows]
    for begin, end in spans_of(stream, course):
        rows = rows_between(stream, begin, end)
        window = Window(moment_of(stream, begin), moment_of(stream, end), len(rows))
        last = [each.version for each in reigns if each.since < end][-1]
        yield WindowLoss(window, float(losses[rows].mean()) if len(rows) else None, last)
