from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from evertune.decisions import Alarm, DecisionOutcome
from evertune.monitoring.policy import MonitoringState, Policy, decide, retry_condition

NOW = datetime(2024, 6, 1, tzinfo=UTC)
LOSS = Alarm("loss-rises", "retune", "loss", 4000.0, 3650.0, NOW, "loss rose")
READY = MonitoringState(
    "3", promoted_at=NOW - timedelta(days=90), rows_since_change=800, loss_rise=0.06
)
DOUBT = ("not enough evidence", 200, 300)


def made(standing=READY, policy=None, *, days=0.0, alarms=(LOSS,)):
    now = NOW + timedelta(days=days)
    return decide(list(alarms), standing, policy or Policy(), model="churn", now=now)


def refused(standing=READY, verdict=DOUBT, *, days=0.0):
    """Return how things stand once an attempt was refused so many days after the first."""
    decision = made(standing, days=days)
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
    assert retry_condition(refused(verdict=verdict), Policy()).n_rows == n_rows


@pytest.mark.parametrize("verdict", [("keep", 200, None), (None, None, None)])
def test_a_version_that_is_no_better_waits_for_no_rows(verdict):
    assert retry_condition(refused(verdict=verdict), Policy()) is None


@pytest.mark.parametrize(
    ("days", "n_rows", "action"),
    [(6, 1200, "wait"), (8, 1199, "wait"), (8, 1200, "retune"), (28, 800, "retune")],
)
def test_it_is_tried_again_with_those_rows_or_after_some_time(days, n_rows, action):
    standing = replace(refused(), rows_since_change=n_rows)
    assert made(standing, days=days).action == action


def test_the_wait_says_for_how_many_rows_and_until_when():
    said = made(refused(), days=8).reasons[0]
    assert "could not tell version 4 from the champion: waiting for 1200 labelled rows" in said
    assert "800 are there, or until 2024-06-29" in said


@pytest.mark.parametrize(("verdict", "asks"), [(DOUBT, False), (("keep", 200, None), True)])
def test_only_versions_that_are_no_better_show_that_a_change_is_not_learnable(verdict, asks):
    twice = refused(refused(verdict=verdict), verdict, days=29)
    assert made(twice, days=120).ask_a_person is asks


def test_an_attempt_that_lacked_rows_does_not_use_up_the_budget():
    policy = Policy(retunes_a_month=1)
    later = replace(refused(), rows_since_change=1200)
    assert made(later, policy, days=8).action == "retune"
    again = replace(refused(later, ("keep", 300, None), days=8), rows_since_change=9000)
    assert "retunes in the last 30 days" in made(again, policy, days=30).reasons[0]


def test_it_does_not_double_the_cool_down_either():
    standing = replace(refused(), rows_since_change=1200)
    assert made(standing, days=7.5).action == "retune"


def test_a_refit_that_lacked_rows_is_tried_again_as_a_refit():
    held = replace(READY, explained_rise=0.06)
    assert made(replace(refused(held), rows_since_change=1200), days=8).action == "refit"
    kept = replace(refused(held, ("keep", 200, None)), rows_since_change=1200)
    assert made(kept, days=15).action == "retune"


def test_what_another_champion_lacked_is_waited_for_no_longer():
    assert retry_condition(replace(refused(), champion="5"), Policy()) is None
