from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from evertune.decisions import Alarm, DecisionOutcome, MonitoringDecision
from evertune.simulation.results import (
    ReplayEvent,
    ReplayResult,
    UnitCosts,
    WindowLoss,
    decision_events,
    excess_loss,
    mean_loss,
    outcome_event,
    render_replay_page,
    summarize_policies,
    summary_lines,
    window_lines,
)
from evertune.times import TimeWindow

START = datetime(2024, 5, 1, tzinfo=UTC)


def losses(*figures: float | None, rows: int = 10) -> tuple[WindowLoss, ...]:
    week = timedelta(days=7)
    return tuple(
        WindowLoss(
            TimeWindow(START + n * week, START + (n + 1) * week, 0 if loss is None else rows), loss
        )
        for n, loss in enumerate(figures)
    )


def happened(*kinds) -> tuple[ReplayEvent, ...]:
    return tuple(ReplayEvent(START + timedelta(days=n), kind, "2") for n, kind in enumerate(kinds))


LOOP = ReplayResult(
    "loop",
    losses(0.1, 0.3, None),
    happened("trained", "alarmed", "retuned", "promoted", "refitted", "refused", "rolled back"),
)
ORACLE = ReplayResult("oracle", losses(0.1, 0.2, None), happened("promoted", "promoted"))


def test_a_mean_loss_counts_rows_not_windows():
    unequal = (*losses(0.1, rows=10), *losses(0.4, rows=20))
    assert mean_loss(unequal) == pytest.approx(0.3)


def test_the_loss_of_windows_without_rows_is_unknown():
    assert mean_loss(losses(None, None)) is None


def test_the_first_model_is_counted_neither_as_a_fit_nor_as_a_promotion():
    loop, _ = summarize_policies([LOOP, ORACLE], prices=UnitCosts())
    assert (loop.fits, loop.promotions, loop.refused, loop.rolled_back) == (2, 1, 1, 1)


def test_the_cost_is_that_of_fits_and_of_what_the_loss_is_above_the_oracles():
    loop, oracle = summarize_policies([LOOP, ORACLE], prices=UnitCosts(fit=3, loss=5))
    assert (loop.cost, oracle.cost) == (pytest.approx(2 * 3 + 5 * 10 * 0.1), 0)


def test_without_an_oracle_there_is_no_cost():
    (loop,) = summarize_policies([LOOP], prices=UnitCosts())
    assert (loop.excess, loop.cost) == (None, None)


def test_tables_show_every_window_and_every_policy():
    summaries = summarize_policies([LOOP, ORACLE], prices=UnitCosts())
    windows, policies = window_lines([LOOP, ORACLE]), summary_lines(summaries)
    assert windows[2].split() == ["2024-05-08", "10", "0.300", "0.200", "#" * 24]
    assert policies[1].split() == ["loop", "0.200", "2", "1", "1", "1", "3.000"]


def test_policies_over_different_windows_are_not_compared():
    with pytest.raises(ValueError, match="must have the same windows"):
        excess_loss(losses(0.1, 0.2), losses(0.1))


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


def page(*played: ReplayResult, title: str = "electricity") -> str:
    prices = UnitCosts(fit=2)
    found = summarize_policies(played, prices=prices)
    return render_replay_page(played, found, title=title, prices=prices)


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.found if name == tag]


def test_every_policy_has_a_line_and_every_event_but_the_first_training_a_dot():
    drawn = Elements(page(LOOP, ORACLE))
    assert (len(drawn.of("polyline")), len(drawn.of("circle"))) == (2, 6)


def test_a_window_without_rows_has_no_point():
    (line, _) = Elements(page(LOOP, ORACLE)).of("polyline")
    assert len(line["points"].split()) == 2


def test_the_page_needs_no_other_file():
    drawn = Elements(page(LOOP, ORACLE))
    assert not [a for _, a in drawn.found if "src" in a or "href" in a]


def test_what_was_played_cannot_become_markup():
    told = ReplayResult(
        "loop", LOOP.losses, (ReplayEvent(START, "refused", detail="<script>alert(1)"),)
    )
    assert "<script" not in page(told, title="<script>")


def test_what_is_told_beside_the_oracle_needs_one():
    assert "<th>Excess</th>" in page(LOOP, ORACLE)
    assert "<th>Excess</th>" not in page(LOOP)


def test_nothing_played_is_refused():
    with pytest.raises(ValueError, match="'results' must have a window"):
        render_replay_page([], [], title="", prices=UnitCosts())
