from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from evertune.decisions import Alarm, DecisionOutcome, Finding, MonitoringDecision
from evertune.monitoring.policy import (
    MonitoringState,
    Policy,
    decide,
    notification_kind,
    with_claimed_requests,
)
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


def made(alarms=(LOSS,), standing=READY, policy=None, now=NOW):
    return decide(list(alarms), standing, policy or Policy(), model="churn", now=now)


def after(kind, *, days, of=None, standing=READY):
    """Return how things stand some days after an attempt ended in `kind`."""
    decision = of or made(standing=standing, now=NOW - timedelta(days=days))
    outcome = DecisionOutcome(decision.id, NOW - timedelta(days=days), kind, version="4")
    return replace(
        standing,
        decisions=(*standing.decisions, decision),
        outcomes=(*standing.outcomes, outcome),
    )


@pytest.mark.parametrize(
    ("alarms", "changed", "action", "reason"),
    [
        ([LOSS], {"unreadable": "row 3"}, "block", "the state cannot be read: row 3"),
        ([LOSS], {"champion": None}, "nothing", "there is no champion yet"),
        ([LOSS, BROKEN], {}, "block", "the data is broken"),
        ([LOSS, BROKEN], {"worse_than_previous": "worse"}, "block", "the data is broken"),
        ([LOSS], {"worse_than_previous": "worse than version 2"}, "rollback", "worse than"),
        ([], {}, "nothing", "no trigger that asks for learning is crossed"),
        ([DRIFT], {}, "nothing", "no trigger that asks for learning is crossed"),
        ([LOSS], {"rows_since_change": 20}, "wait", "waiting for rows: 20 labelled rows"),
        (
            [LOSS],
            {"rows_since_change": 20, "unlabelled_since_change": 900},
            "wait",
            "waiting for labels",
        ),
        ([LOSS], {"explained_rise": 0.05}, "refit", "the relation held"),
        ([LOSS], {"explained_rise": 0.01}, "retune", "newer rows alone do not explain"),
        ([LOSS], {"loss_rise": 0.001}, "refit", "the relation held"),
        ([LOSS], {}, "retune", "newer rows alone do not explain"),
        ([replace(LOSS, action="refit")], {}, "refit", "no trigger asks for more"),
    ],
)
def test_the_first_rule_that_applies_decides(alarms, changed, action, reason):
    decision = made(alarms, replace(READY, **changed))
    assert decision.action == action
    assert reason in decision.reasons[0]


def test_a_request_says_since_when_and_why():
    decision = made([LOSS, DRIFT])
    assert (decision.change_from, decision.champion, decision.model) == (CHANGE, "3", "churn")
    assert decision.reasons[1:] == ("loss-rises: loss rose", "inputs-drift: drifted")


def test_the_same_evidence_has_the_same_id_on_another_day():
    tomorrow = NOW + timedelta(days=1)
    assert made().id == made(now=tomorrow).id != made(standing=replace(READY, champion="4")).id


def test_a_request_that_nobody_served_is_given_again_as_it_was():
    first = made()
    later = replace(READY, decisions=(first,))
    floor = replace(LOSS, trigger="floor", signal="main_metric")
    assert made([LOSS, floor], later, now=NOW + timedelta(days=1)) is first


def test_a_rollback_does_not_wait_for_an_unserved_retune():
    later = replace(READY, decisions=(made(),), worse_than_previous="worse")
    assert made(standing=later).action == "rollback"


def test_an_attempt_that_runs_is_waited_for():
    assert made(standing=after("started", days=0.5)).reasons[0].startswith("the attempt of")


def test_an_attempt_that_never_ended_counts_as_failed_after_a_day():
    dead = after("started", days=8)
    decision = made(standing=dead)
    assert decision.action == "retune"
    assert decision.id != dead.decisions[0].id


@pytest.mark.parametrize(
    ("n_refused", "days", "action"),
    [(0, 6, "wait"), (0, 8, "retune"), (1, 13, "wait"), (1, 15, "retune")],
)
def test_a_failed_gate_doubles_the_cool_down(n_refused, days, action):
    kind = "refused" if n_refused else "failed"
    assert made(standing=after(kind, days=days)).action == action


def test_the_cool_down_has_an_end():
    policy = Policy(max_failed_gates=9, longest_cooldown_days=20)
    standing = after("refused", days=21)
    for days in (20.8, 20.6):
        standing = after("refused", days=days, standing=standing)
    assert made(standing=standing, policy=policy).action == "retune"


def refused_twice():
    return after("refused", days=60, standing=after("refused", days=90))


def test_two_refused_attempts_in_a_row_ask_a_person():
    decision = made(standing=refused_twice())
    assert (decision.action, decision.ask_a_person) == ("nothing", True)
    assert "not learnable" in decision.reasons[0]


def test_a_quiet_look_begins_a_new_spell_of_alarms():
    quiet = made([], now=NOW - timedelta(days=30))
    standing = replace(refused_twice(), decisions=(*refused_twice().decisions, quiet))
    assert made(standing=standing).action == "retune"


def test_what_the_gate_refused_of_another_champion_does_not_count():
    assert made(standing=replace(refused_twice(), champion="5")).action == "retune"


def test_a_request_that_was_claimed_and_never_begun_is_not_given_again():
    asked = made(now=NOW - timedelta(days=8))
    came = with_claimed_requests([asked], [], [])
    standing = replace(READY, decisions=(asked,), outcomes=came)
    assert [each.kind for each in came] == ["started"]
    assert made(standing=standing).id != asked.id


def test_a_request_that_waits_to_be_claimed_has_not_begun():
    assert with_claimed_requests([made()], [], [made()]) == ()


def test_a_persons_acknowledgement_begins_a_new_spell():
    said = DecisionOutcome("any", NOW - timedelta(days=1), "acknowledged")
    standing = replace(refused_twice(), outcomes=(*refused_twice().outcomes, said))
    assert made(standing=standing).action == "retune"


def test_the_retunes_of_a_month_are_a_budget():
    policy = Policy(retunes_a_month=1)
    assert made(standing=after("failed", days=20), policy=policy).action == "wait"


@pytest.mark.parametrize(("gain_per_row", "action"), [(0.1, "nothing"), (1.0, "retune")])
def test_what_brings_less_than_it_costs_is_left(gain_per_row, action):
    policy = Policy(gain_per_row=gain_per_row, cost=100)
    decision = made(standing=replace(READY, rows_a_day=50), policy=policy)
    assert decision.action == action
    assert decision.expected_gain == pytest.approx(0.06 * 50 * 90 * gain_per_row)


def test_a_refused_refit_is_followed_by_a_retune():
    held = replace(READY, explained_rise=0.06)
    assert made(standing=held).action == "refit"
    refit = made(standing=held, now=NOW - timedelta(days=20))
    assert made(standing=after("refused", days=20, of=refit, standing=held)).action == "retune"


def test_drift_asks_for_labels_where_they_come_and_for_a_retune_where_they_never_do():
    drift, bare = replace(DRIFT, action="retune"), replace(READY, rows_since_change=0)
    assert made([drift], bare).action == "wait"
    assert made([drift], bare, Policy(labels_available=False)).action == "retune"


def promoted(days):
    done = after("promoted", days=days)
    return replace(done, champion="4", rows_since_promotion=500)


@pytest.mark.parametrize(("days", "number"), [(6, 0), (7.5, 1), (22, 2), (46, 3)])
def test_a_promoted_retune_is_followed_by_refits(days, number):
    decision = made([], promoted(days))
    assert (decision.action, decision.follow_up) == ("refit" if number else "nothing", number)
    assert decision.change_from == (CHANGE if number else None)


def test_a_follow_up_is_made_once():
    standing = promoted(8)
    first = made([], standing)
    done = DecisionOutcome(first.id, NOW, "refused")
    later = replace(
        standing, decisions=(*standing.decisions, first), outcomes=(*standing.outcomes, done)
    )
    assert made([], later).action == "nothing"


def test_a_follow_up_waits_for_rows():
    assert made([], replace(promoted(8), rows_since_promotion=20)).action == "nothing"


def test_nothing_follows_a_retune_that_was_rolled_back():
    back = DecisionOutcome("other", NOW - timedelta(days=2), "rolled back", version="3")
    standing = promoted(8)
    assert made([], replace(standing, outcomes=(*standing.outcomes, back))).action == "nothing"


def known(*decisions: MonitoringDecision) -> MonitoringState:
    return replace(READY, decisions=decisions)


def test_a_request_is_told_every_time_until_it_is_served():
    assert notification_kind(made(), READY) == notification_kind(made(), known(made())) == "retune"


def test_broken_data_is_told_once_a_window():
    block = made([BROKEN])
    assert (notification_kind(block, READY), notification_kind(block, known(block))) == (
        "block",
        None,
    )


def test_an_alert_is_told_when_other_triggers_are_crossed_than_before():
    alert = made([DRIFT])
    assert (notification_kind(alert, READY), notification_kind(alert, known(alert))) == (
        "alert",
        None,
    )
    assert notification_kind(made([]), READY) is None


def test_a_person_is_asked_once():
    asks = made(standing=refused_twice())
    assert notification_kind(asks, refused_twice()) == "alert"
    assert notification_kind(asks, known(asks)) is None
