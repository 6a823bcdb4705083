from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from evertune.config.schema import PolicySection
from evertune.decisions import Alarm, DecisionOutcome, Finding
from evertune.monitoring import policy as policy_module
from evertune.monitoring.policy import POLICY_RULES, decide, notification_kind
from evertune.monitoring.state import MonitoringState, with_claimed_requests
from evertune.times import TimeWindow

NOW = datetime(2024, 6, 1, tzinfo=UTC)
CHANGE = NOW - timedelta(days=10)
DAY = TimeWindow(NOW - timedelta(days=1), NOW, 100)
LOSS = Alarm("loss-rises", "retune", "loss", 4000.0, 3650.0, CHANGE, "loss rose")
DRIFT = Alarm("inputs-drift", "alert", "input_drift", 1.4, 1.0, CHANGE, "drifted")
BROKEN = Alarm(
    "broken-data", "block", "contract", 1.0, 0.0, DAY.start, "missing",
    (Finding("missing", "contract", DAY, 0.4, part="age", state="breach"),),
)  # fmt: skip
READY = MonitoringState(
    "3", promoted_at=NOW - timedelta(days=90), rows_since_change=500, loss_rise=0.06
)
INCONCLUSIVE, NO_BETTER = ("not enough evidence", 200, 300), ("keep", 200, None)


def made(alarms=(LOSS,), state=READY, policy=None, *, days=0.0, **more):
    """Return the decision so many days after NOW."""
    now = NOW + timedelta(days=days)
    return decide(list(alarms), state, policy or PolicySection(), model="churn", now=now, **more)


def after(kind, *, days, state=READY, decision=None, verdict=()):
    """Return the state after an attempt that ended in `kind` so many days from NOW."""
    moment = NOW + timedelta(days=days)
    decision = decision or made(state=state, days=days)
    outcome = DecisionOutcome(decision.id, moment, kind, "4", "", *verdict)
    return replace(
        state,
        decisions=(*state.decisions, decision),
        outcomes=(*state.outcomes, outcome),
    )


@pytest.mark.parametrize(
    ("alarms", "changed", "action", "reason"),
    [
        ([LOSS], {"unreadable": "row 3"}, "block", "decisions cannot be read: row 3"),
        ([LOSS], {"champion": None}, "nothing", "there is no champion: run `evertune train`"),
        ([], {"champion": None, "challenger": "2"}, "nothing", "`evertune promote 2 --reason"),
        ([LOSS, BROKEN], {}, "block", "the data is broken"),
        ([LOSS, BROKEN], {"worse_than_previous": "worse"}, "block", "the data is broken"),
        ([LOSS], {"worse_than_previous": "worse than version 2"}, "rollback", "worse than"),
        ([], {}, "nothing", "no retraining trigger has fired"),
        ([DRIFT], {}, "nothing", "no retraining trigger has fired"),
        ([LOSS], {"rows_since_change": 20}, "wait", "waiting for rows: 20 labelled rows"),
        (
            [LOSS],
            {"rows_since_change": 20, "unlabelled_since_change": 900},
            "wait",
            "waiting for labels",
        ),
        ([LOSS], {"explained_rise": 0.05}, "refit", "only the inputs changed"),
        ([LOSS], {"explained_rise": 0.01}, "retune", "newer rows alone do not explain"),
        ([LOSS], {"loss_rise": 0.001}, "refit", "only the inputs changed"),
        ([LOSS], {}, "retune", "newer rows alone do not explain"),
        ([replace(LOSS, action="refit")], {}, "refit", "no trigger asks for more"),
    ],
)
def test_the_first_rule_that_applies_decides(alarms, changed, action, reason):
    decision = made(alarms, replace(READY, **changed))
    assert decision.action == action
    assert reason in decision.reasons[0]


def test_every_rule_has_a_sentence_and_a_line_in_the_list():
    assert all(rule.__doc__ for rule in POLICY_RULES)
    assert f"{len(POLICY_RULES)}. otherwise" in policy_module.__doc__


def test_a_request_names_the_change_and_every_alarm():
    decision = made([LOSS, DRIFT])
    assert (decision.change_from, decision.champion, decision.model) == (CHANGE, "3", "churn")
    assert decision.reasons[1:] == ("loss-rises: loss rose", "inputs-drift: drifted")


def test_the_same_evidence_about_the_same_champion_has_the_same_id():
    assert made().id == made(days=1).id != made(state=replace(READY, champion="4")).id


def test_a_request_that_nobody_began_is_returned_as_it_was():
    first = made()
    floor = replace(LOSS, trigger="floor", signal="main_metric")
    assert made([LOSS, floor], replace(READY, decisions=(first,)), days=1) is first


def test_a_rollback_does_not_wait_for_a_pending_retune():
    state = replace(READY, decisions=(made(),), worse_than_previous="worse")
    assert made(state=state).action == "rollback"


def test_a_request_that_was_claimed_has_begun():
    request = made(days=-8)
    outcomes = with_claimed_requests([request], [], [])
    state = replace(READY, decisions=(request,), outcomes=outcomes)
    assert [each.kind for each in outcomes] == ["started"]
    assert made(state=state).id != request.id
    assert with_claimed_requests([request], [], [request]) == ()


@pytest.mark.parametrize("champion", ["3", "2"])
def test_a_rollback_that_was_killed_is_taken_up_before_and_after_it_moved_the_alias(champion):
    rollback = made(state=replace(READY, worse_than_previous="worse"))
    killed = DecisionOutcome(rollback.id, NOW, "interrupted", "2")
    state = replace(READY, champion=champion, decisions=(rollback,), outcomes=(killed,))
    assert made((), state, days=0.1) is rollback
    assert made((), replace(state, champion="5"), days=0.1).action == "nothing"
    assert made((), state, days=1.5).action == "nothing"


# Waiting after an attempt


def test_a_running_attempt_is_waited_for_and_counts_as_failed_after_a_day():
    running = made(state=after("started", days=-0.5))
    assert (running.action, running.reasons[0][:9]) == ("wait", "decision ")
    dead = after("started", days=-8)
    assert made(state=dead).action == "retune"
    assert made(state=dead).id != dead.decisions[0].id


@pytest.mark.parametrize(
    ("kind", "days", "action"),
    [
        ("failed", 6, "wait"),
        ("failed", 8, "retune"),
        ("refused", 13, "wait"),
        ("refused", 15, "retune"),
    ],
)
def test_a_failed_gate_doubles_the_cool_down(kind, days, action):
    assert made(state=after(kind, days=-days)).action == action


def test_the_cool_down_has_a_longest_duration():
    policy = PolicySection(max_failed_gates=9, longest_cooldown_days=20)
    state = READY
    for days in (21, 20.8, 20.6):
        state = after("refused", days=-days, state=state)
    assert made(state=state, policy=policy).action == "retune"


REFUSED_TWICE = after("refused", days=-60, state=after("refused", days=-90))


def test_two_refused_attempts_in_a_row_ask_a_person():
    decision = made(state=REFUSED_TWICE)
    assert (decision.action, decision.ask_a_person) == ("nothing", True)
    assert "not learnable" in decision.reasons[0]


@pytest.mark.parametrize(
    "change",
    [
        {"decisions": (*REFUSED_TWICE.decisions, made([], days=-30))},
        {
            "outcomes": (
                *REFUSED_TWICE.outcomes,
                DecisionOutcome("any", NOW - timedelta(days=1), "acknowledged"),
            )
        },
        {"champion": "5"},
    ],
    ids=["a run without an alarm", "an acknowledgement", "another champion"],
)
def test_a_new_episode_forgets_refused_attempts(change):
    assert made(state=replace(REFUSED_TWICE, **change)).action == "retune"


def test_the_retunes_of_a_month_are_limited():
    policy = PolicySection(retunes_a_month=1)
    assert made(state=after("failed", days=-20), policy=policy).action == "wait"


@pytest.mark.parametrize(("gain_per_row", "action"), [(0.1, "nothing"), (1.0, "retune")])
def test_an_attempt_must_gain_more_than_it_costs(gain_per_row, action):
    policy = PolicySection(gain_per_row=gain_per_row, cost=100)
    decision = made(state=replace(READY, rows_a_day=50), policy=policy)
    assert decision.action == action
    assert decision.expected_gain == pytest.approx(0.06 * 50 * 90 * gain_per_row)


def test_a_refused_refit_is_followed_by_a_retune():
    covariate_shift = replace(READY, explained_rise=0.06)
    assert made(state=covariate_shift).action == "refit"
    assert made(state=after("refused", days=-20, state=covariate_shift)).action == "retune"


def test_drift_waits_for_labels_unless_they_never_come():
    drift, bare = replace(DRIFT, action="retune"), replace(READY, rows_since_change=0)
    assert made([drift], bare).action == "wait"
    assert made([drift], bare, labels_available=False).action == "retune"


# Follow-ups of a promoted retune


def promoted(days):
    return replace(after("promoted", days=-days), champion="4", rows_since_promotion=500)


@pytest.mark.parametrize(("days", "number"), [(6, 0), (7.5, 1), (22, 2), (46, 3)])
def test_a_promoted_retune_is_followed_by_refits(days, number):
    decision = made([], promoted(days))
    assert (decision.action, decision.follow_up) == ("refit" if number else "nothing", number)
    assert decision.change_from == (CHANGE if number else None)


def test_a_follow_up_is_made_once():
    state = promoted(8)
    done = after("refused", days=0, state=state, decision=made([], state))
    assert made([], done).action == "nothing"


def test_a_follow_up_waits_for_rows():
    assert made([], replace(promoted(8), rows_since_promotion=20)).action == "nothing"


def test_a_retune_that_was_rolled_back_has_no_follow_up():
    state = promoted(8)
    back = DecisionOutcome("other", NOW - timedelta(days=2), "rolled back", version="3")
    assert made([], replace(state, outcomes=(*state.outcomes, back))).action == "nothing"


# An inconclusive gate

MANY = replace(READY, rows_since_change=800)


def inconclusive(state=MANY, verdict=INCONCLUSIVE, *, days=0.0, **changed):
    return replace(after("refused", days=days, state=state, verdict=verdict), **changed)


@pytest.mark.parametrize(
    ("verdict", "n_rows"),
    [
        (INCONCLUSIVE, 1200),
        (("not enough evidence", 200, 5000), 1600),
        (("not enough evidence", None, None), 1600),
    ],
)
def test_an_inconclusive_gate_waits_for_the_rows_that_it_lacked(verdict, n_rows):
    waiting = made(state=inconclusive(verdict=verdict), days=8).reasons[0]
    assert f"tell version 4 from the champion: waiting for {n_rows} labelled rows" in waiting
    assert "(800 so far), or until 2024-06-29" in waiting


@pytest.mark.parametrize("verdict", [NO_BETTER, (None, None, None)])
def test_a_version_that_is_no_better_waits_for_no_rows(verdict):
    assert made(state=inconclusive(verdict=verdict), days=15).action == "retune"


@pytest.mark.parametrize(
    ("days", "n_rows", "action"),
    [
        (6, 1200, "wait"),
        (7.5, 1200, "retune"),  # it does not double the cool-down either
        (8, 1199, "wait"),
        (8, 1200, "retune"),
        (28, 800, "retune"),
    ],
)
def test_the_next_attempt_starts_with_those_rows_or_after_the_longest_wait(days, n_rows, action):
    assert made(state=inconclusive(rows_since_change=n_rows), days=days).action == action


@pytest.mark.parametrize(("verdict", "asks"), [(INCONCLUSIVE, False), (NO_BETTER, True)])
def test_only_conclusive_gates_show_that_a_change_is_not_learnable(verdict, asks):
    twice = inconclusive(inconclusive(verdict=verdict), verdict, days=29)
    assert made(state=twice, days=120).ask_a_person is asks


def test_an_inconclusive_gate_does_not_use_up_the_monthly_budget():
    policy = PolicySection(retunes_a_month=1)
    more = inconclusive(rows_since_change=1200)
    assert made(state=more, policy=policy, days=8).action == "retune"
    spent = inconclusive(more, ("keep", 300, None), days=8, rows_since_change=9000)
    assert "retunes in the last 30 days" in made(state=spent, policy=policy, days=30).reasons[0]


def test_an_inconclusive_refit_is_tried_again_as_a_refit():
    covariate_shift = replace(MANY, explained_rise=0.06)
    more = inconclusive(covariate_shift, rows_since_change=1200)
    assert made(state=more, days=8).action == "refit"
    refused = inconclusive(covariate_shift, NO_BETTER, rows_since_change=1200)
    assert made(state=refused, days=15).action == "retune"


def test_a_new_champion_does_not_wait_for_the_rows_that_another_lacked():
    assert made(state=inconclusive(champion="5"), days=8).action == "retune"


# Periodic refits

PERIODIC = PolicySection(refit_interval_days=14)
QUIET = MonitoringState(
    "3", promoted_at=NOW - timedelta(days=20), rows_since_promotion=500, rows_since_change=500
)
REFUSED_CHECK = after("refused", days=0, state=QUIET, decision=made([], QUIET, PERIODIC))


def test_newer_rows_are_tried_at_intervals_without_an_alarm():
    decision = made([], QUIET, PERIODIC)
    assert (decision.action, decision.is_periodic) == ("refit", True)
    assert made([], REFUSED_CHECK, PERIODIC, days=13).action == "nothing"
    assert made([], REFUSED_CHECK, PERIODIC, days=14).action == "refit"


@pytest.mark.parametrize(
    ("state", "policy"),
    [
        (QUIET, PolicySection()),
        (replace(QUIET, promoted_at=NOW - timedelta(days=13)), PERIODIC),
        (replace(QUIET, rows_since_promotion=20), PERIODIC),
    ],
    ids=["switched off", "too early", "too few rows"],
)
def test_newer_rows_are_not_tried(state, policy):
    assert made([], state, policy).action == "nothing"


def test_a_refused_periodic_refit_holds_up_no_alarm():
    assert made([LOSS], REFUSED_CHECK, PERIODIC, days=1).action == "retune"


def test_a_change_that_was_not_learnable_is_tried_again_with_newer_rows():
    twice = QUIET
    for days in (-40, -20):
        twice = after("refused", days=days, state=twice)
    assert made(state=twice).ask_a_person
    assert made(state=twice, policy=PERIODIC).is_periodic


def test_a_refused_periodic_refit_after_a_retune_is_no_reason_for_a_follow_up():
    policy = PolicySection(refit_interval_days=1)
    state = promoted(3)
    later = NOW - timedelta(days=2)
    outcomes = tuple(replace(each, moment=later) for each in state.outcomes)
    state = replace(state, promoted_at=later, outcomes=outcomes)
    check = made([], state, policy)
    assert check.is_periodic
    refused = after("refused", days=0, state=state, decision=check)
    assert made([], refused, policy, days=0.5).action == "nothing"


def test_a_periodic_refit_has_no_follow_up():
    state = after("promoted", days=0, state=QUIET, decision=made([], QUIET, PERIODIC))
    later = replace(state, champion="4", promoted_at=NOW)
    assert made([], later, PERIODIC, days=8).action == "nothing"


# Notifications


@pytest.mark.parametrize(
    ("decision", "state", "first", "again"),
    [
        (made(), READY, "retune", "retune"),
        (made([BROKEN]), READY, "block", None),
        (made([DRIFT]), READY, "alert", None),
        (made(state=REFUSED_TWICE), REFUSED_TWICE, "alert", None),
        (made([]), READY, None, None),
    ],
    ids=["a request until it is begun", "broken data", "new alarms", "a person", "nothing new"],
)
def test_people_are_notified_of_what_is_new(decision, state, first, again):
    assert notification_kind(decision, state) == first
    assert notification_kind(decision, replace(state, decisions=(decision,))) == again
