from datetime import UTC, datetime, timedelta

import pytest

from evertune.simulation.results import (
    ReplayEvent,
    ReplayResult,
    UnitCosts,
    WindowLoss,
    excess_loss,
    format_event,
    mean_loss,
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


def test_policies_over_different_windows_are_not_compared():
    with pytest.raises(ValueError, match="must have the same windows"):
        excess_loss(losses(0.1, 0.2), losses(0.1))


def test_every_window_has_a_line_with_the_loss_under_each_policy():
    titles, first, _, empty = window_lines([LOOP, ORACLE], width=6)
    assert titles.split()[2:] == ["loop", "oracle"]
    assert first.split() == ["2024-05-01", "10", "0.1000", "0.1000", "##"]
    assert empty.split() == ["2024-05-15", "0", "-", "-"]


def test_every_policy_has_a_line_of_figures_under_their_titles():
    titles, loop, _ = summary_lines(summarize_policies([LOOP, ORACLE], prices=UnitCosts()))
    assert len(titles.split()) == len(loop.split()) == 7
    assert loop.split() == ["loop", "0.2000", "2", "1", "1", "1", "3.0"]


def test_an_event_without_a_version_is_told_without_one():
    waited = ReplayEvent(START, "waited", detail="for labels")
    assert format_event(waited) == "2024-05-01 00:00  waited       for labels"
