from dataclasses import replace
from datetime import UTC, datetime

import pytest

from evertune.decisions import Alarm, DecisionOutcome, MonitoringDecision
from evertune.simulation.results import decision_events, outcome_event

DAY = datetime(2024, 5, 1, tzinfo=UTC)
ALARM = Alarm("floor", "retune", "roc_auc", 0.6, 0.7, DAY, "roc_auc was 0.6")
QUIET = MonitoringDecision("a", DAY, "churn", "3", "nothing", ("no trigger is crossed",))


def kinds(decision: MonitoringDecision, before: MonitoringDecision | None) -> list[str]:
    return [event.kind for event in decision_events(decision, before)]


@pytest.mark.parametrize(
    ("action", "kind"),
    [("wait", "waited"), ("block", "blocked"), ("refit", "refitted"), ("retune", "retuned")],
)
def test_an_action_becomes_an_event(action, kind):
    assert kinds(replace(QUIET, action=action), QUIET) == [kind]


@pytest.mark.parametrize("action", ["wait", "block"])
def test_a_spell_of_waiting_or_blocking_is_told_once(action):
    spell = replace(QUIET, action=action)
    assert kinds(spell, spell) == []


def test_a_wait_for_another_reason_is_told_and_other_numbers_are_none():
    cooling, later, rows = (
        replace(QUIET, action="wait", reasons=(reason,))
        for reason in ("cooling down until 2024-05-08", "cooling down until 2024-05-22", "too few")
    )
    assert (kinds(later, cooling), kinds(rows, cooling)) == ([], ["waited"])


def test_every_attempt_is_told_also_one_after_another():
    attempt = replace(QUIET, action="retune")
    assert kinds(attempt, attempt) == ["retuned"]


def test_a_trigger_is_told_when_it_is_crossed_not_while_it_is():
    crossed = replace(QUIET, alarms=(ALARM,))
    assert kinds(crossed, QUIET) == ["alarmed"]
    assert kinds(crossed, crossed) == []


def test_that_a_person_is_asked_is_told_once():
    asked = replace(QUIET, ask_a_person=True)
    assert (kinds(asked, QUIET), kinds(asked, asked)) == (["waited"], [])


def test_nothing_is_told_of_a_quiet_look():
    assert kinds(QUIET, None) == []


@pytest.mark.parametrize("kind", ["promoted", "refused", "failed", "rolled back"])
def test_the_end_of_an_attempt_becomes_an_event(kind):
    event = outcome_event(DecisionOutcome("a", DAY, kind, "4", "by 0.1"))
    assert (event.kind, event.version, event.detail) == (kind, "4", "by 0.1")


def test_the_begin_of_an_attempt_is_no_event():
    assert outcome_event(DecisionOutcome("a", DAY, "started")) is None
