from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from evertune.decisions import Alarm, DecisionOutcome
from evertune.monitoring.policy import PERIODIC_REFIT, MonitoringState, Policy, decide

NOW = datetime(2024, 6, 1, tzinfo=UTC)
LOSS = Alarm("loss-rises", "retune", "loss", 4000.0, 3650.0, NOW, "loss rose")
POLICY = Policy(refit_interval_days=14)
QUIET = MonitoringState(
    "3", promoted_at=NOW - timedelta(days=20), rows_since_promotion=500, rows_since_change=500
)


def made(standing=QUIET, policy=POLICY, alarms=(), now=NOW):
    return decide(alarms, standing, policy, model="churn", now=now)


def ended(standing, decision, kind="refused"):
    outcome = DecisionOutcome(decision.id, decision.moment, kind, "4")
    return replace(
        standing,
        decisions=(*standing.decisions, decision),
        outcomes=(*standing.outcomes, outcome),
    )


def test_newer_rows_are_tried_without_an_alarm():
    assert (made().action, made().follow_up) == ("refit", PERIODIC_REFIT)


@pytest.mark.parametrize(
    ("standing", "policy"),
    [
        (QUIET, Policy()),
        (replace(QUIET, promoted_at=NOW - timedelta(days=13)), POLICY),
        (replace(QUIET, rows_since_promotion=20), POLICY),
    ],
)
def test_they_are_not_tried_unasked_too_early_or_with_too_few_rows(standing, policy):
    assert made(standing, policy).action == "nothing"


def test_the_next_check_comes_as_many_days_after_the_last():
    tried = ended(QUIET, made())
    assert made(tried, now=NOW + timedelta(days=13)).action == "nothing"
    assert made(tried, now=NOW + timedelta(days=14)).action == "refit"


def test_a_refused_check_holds_up_no_alarm():
    tried = ended(QUIET, made())
    assert made(tried, alarms=[LOSS], now=NOW + timedelta(days=1)).action == "retune"


def test_a_change_that_was_not_learnable_is_tried_again_with_newer_rows():
    twice = QUIET
    for days in (40, 20):
        then = NOW - timedelta(days=days)
        twice = ended(twice, made(twice, Policy(), [LOSS], now=then))
    assert made(twice, Policy(), [LOSS]).ask_a_person
    assert made(twice, POLICY, [LOSS]).follow_up == PERIODIC_REFIT


def test_a_check_is_followed_up_by_nothing():
    tried = ended(QUIET, made(), "promoted")
    later = replace(tried, champion="4", promoted_at=NOW)
    assert made(later, now=NOW + timedelta(days=8)).action == "nothing"
