from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from evertune.config.schema import PolicySection
from evertune.decisions import Alarm, DecisionOutcome, Finding, MonitoringDecision, RefitReason
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


def made(alarms=(LOSS,), standing=READY, policy=None, now=NOW, **more):
    return decide(list(alarms), standing, policy or PolicySection(), model="churn", now=now, **more)


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
        ([LOSS], {"unreadable": "row 3"}, "block", "decisions cannot be read: row 3"),
        ([LOSS], {"champion": None}, "nothing", "there is no champion yet"),
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
    assert made(standing=after("started", days=0.5)).reasons[0].startswith("decision ")


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
    policy = PolicySection(max_failed_gates=9, longest_cooldown_days=20)
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
    policy = PolicySection(retunes_a_month=1)
    assert made(standing=after("failed", days=20), policy=policy).action == "wait"


@pytest.mark.parametrize(("gain_per_row", "action"), [(0.1, "nothing"), (1.0, "retune")])
def test_what_brings_less_than_it_costs_is_left(gain_per_row, action):
    policy = PolicySection(gain_per_row=gain_per_row, cost=100)
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
    assert made([drift], bare, labels_available=False).action == "retune"


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


DOUBT = ("not enough evidence", 200, 300)


MANY = replace(READY, rows_since_change=800)


def later(standing=MANY, policy=None, *, days=0.0):
    return made([LOSS], standing, policy, now=NOW + timedelta(days=days))


def refused(standing=MANY, verdict=DOUBT, *, days=0.0):
    """Return how things stand once an attempt was refused so many days after the first."""
    decision = later(standing, days=days)
    outcome = DecisionOutcome(decision.id, decision.moment, "refused", "4", "", *verdict)
    return replace(
        standing,
        decisions=(*standing.decisions, decision),
        outcomes=(*standing.outcomes, outcome),
    )


@pytest.mark.parametrize(
    ("verdict", "n_rows"),
    [
        (DOUBT, 1200),
        (("not enough evidence", 200, 5000), 1600),
        (("not enough evidence", None, None), 1600),
    ],
)
def test_as_many_times_the_rows_are_waited_for_as_would_tell(verdict, n_rows):
    assert refused(verdict=verdict).retry_condition(PolicySection()).n_rows == n_rows


@pytest.mark.parametrize("verdict", [("keep", 200, None), (None, None, None)])
def test_a_version_that_is_no_better_waits_for_no_rows(verdict):
    assert refused(verdict=verdict).retry_condition(PolicySection()) is None


@pytest.mark.parametrize(
    ("days", "n_rows", "action"),
    [(6, 1200, "wait"), (8, 1199, "wait"), (8, 1200, "retune"), (28, 800, "retune")],
)
def test_it_is_tried_again_with_those_rows_or_after_some_time(days, n_rows, action):
    standing = replace(refused(), rows_since_change=n_rows)
    assert later(standing, days=days).action == action


def test_the_wait_says_for_how_many_rows_and_until_when():
    said = later(refused(), days=8).reasons[0]
    assert "could not tell version 4 from the champion: waiting for 1200 labelled rows" in said
    assert "(800 so far), or until 2024-06-29" in said


@pytest.mark.parametrize(("verdict", "asks"), [(DOUBT, False), (("keep", 200, None), True)])
def test_only_versions_that_are_no_better_show_that_a_change_is_not_learnable(verdict, asks):
    twice = refused(refused(verdict=verdict), verdict, days=29)
    assert later(twice, days=120).ask_a_person is asks


def test_an_attempt_that_lacked_rows_does_not_use_up_the_budget():
    policy = PolicySection(retunes_a_month=1)
    more = replace(refused(), rows_since_change=1200)
    assert later(more, policy, days=8).action == "retune"
    again = replace(refused(more, ("keep", 300, None), days=8), rows_since_change=9000)
    assert "retunes in the last 30 days" in later(again, policy, days=30).reasons[0]


def test_it_does_not_double_the_cool_down_either():
    standing = replace(refused(), rows_since_change=1200)
    assert later(standing, days=7.5).action == "retune"


def test_a_refit_that_lacked_rows_is_tried_again_as_a_refit():
    held = replace(MANY, explained_rise=0.06)
    assert later(replace(refused(held), rows_since_change=1200), days=8).action == "refit"
    kept = replace(refused(held, ("keep", 200, None)), rows_since_change=1200)
    assert later(kept, days=15).action == "retune"


def test_what_another_champion_lacked_is_waited_for_no_longer():
    assert replace(refused(), champion="5").retry_condition(PolicySection()) is None


POLICY = PolicySection(refit_interval_days=14)
QUIET = MonitoringState(
    "3", promoted_at=NOW - timedelta(days=20), rows_since_promotion=500, rows_since_change=500
)


def periodic(standing=QUIET, policy=POLICY, alarms=(), now=NOW):
    return made(alarms, standing, policy, now)


def ended(standing, decision, kind="refused"):
    outcome = DecisionOutcome(decision.id, decision.moment, kind, "4")
    return replace(
        standing,
        decisions=(*standing.decisions, decision),
        outcomes=(*standing.outcomes, outcome),
    )


def test_newer_rows_are_tried_without_an_alarm():
    assert (periodic().action, periodic().follow_up) == ("refit", RefitReason.PERIODIC)


@pytest.mark.parametrize(
    ("standing", "policy"),
    [
        (QUIET, PolicySection()),
        (replace(QUIET, promoted_at=NOW - timedelta(days=13)), POLICY),
        (replace(QUIET, rows_since_promotion=20), POLICY),
    ],
)
def test_they_are_not_tried_unasked_too_early_or_with_too_few_rows(standing, policy):
    assert periodic(standing, policy).action == "nothing"


def test_the_next_check_comes_as_many_days_after_the_last():
    tried = ended(QUIET, periodic())
    assert periodic(tried, now=NOW + timedelta(days=13)).action == "nothing"
    assert periodic(tried, now=NOW + timedelta(days=14)).action == "refit"


def test_a_refused_check_holds_up_no_alarm():
    tried = ended(QUIET, periodic())
    assert periodic(tried, alarms=[LOSS], now=NOW + timedelta(days=1)).action == "retune"


def test_a_change_that_was_not_learnable_is_tried_again_with_newer_rows():
    twice = QUIET
    for days in (40, 20):
        then = NOW - timedelta(days=days)
        twice = ended(twice, periodic(twice, PolicySection(), [LOSS], now=then))
    assert periodic(twice, PolicySection(), [LOSS]).ask_a_person
    assert periodic(twice, POLICY, [LOSS]).follow_up == RefitReason.PERIODIC


def test_a_check_is_followed_up_by_nothing():
    tried = ended(QUIET, periodic(), "promoted")
    later = replace(tried, champion="4", promoted_at=NOW)
    assert periodic(later, now=NOW + timedelta(days=8)).action == "nothing"


def test_every_rule_has_a_sentence_and_a_line_in_the_list():
    from evertune.monitoring import policy

    assert all(rule.__doc__ for rule in POLICY_RULES)
    assert f"{len(POLICY_RULES)}. otherwise" in policy.__doc__
