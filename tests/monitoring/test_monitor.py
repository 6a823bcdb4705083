import sqlite3
from datetime import timedelta

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from evertune.decisions import DecisionOutcome
from evertune.errors import StageError
from evertune.files import project_lock
from evertune.identity import runner_name
from evertune.models.persistence import load_model, predict_rows
from evertune.monitoring.monitor import (
    backtest,
    current_time,
    monitor,
    newest_event_time,
)
from evertune.monitoring.prediction_log import ShadowPrediction
from evertune.monitoring.reference import load_reference
from evertune.monitoring.report import publish_report, report_html
from evertune.registry.decision_log import DecisionLog
from evertune.terminal import monitoring_lines
from tests.support.production import (
    champion,
    day,
    labelled,
    log_of,
    project,
    rows,
    served,
)

slow = pytest.mark.slow
QUIET, FLIPPED = rows(0, 4, a_day=120), rows(4, 4, a_day=120, flipped=True)


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


@pytest.fixture
def place(tmp_path, state):
    """Return the folder of a new project, whose MLflow database has its tables."""
    assert state.parent == tmp_path
    return tmp_path


@pytest.fixture
def root(champion_root):
    return project(champion_root)


def play(root, learned, *tables, version="1"):
    model = load_model(learned / "model")
    for table in tables:
        labelled(root, table, served(root, model, table, version=version))


def found(result, signal):
    return [each for each in result.findings if each.signal == signal and each.part is None]


@slow
def test_without_a_champion_there_is_nothing_to_monitor(place):
    result = monitor(project(place), now=day(1))
    assert (result.champion, result.decision.action, result.announced) == (None, "nothing", None)
    assert DecisionLog(log_of(place)).decisions() == (result.decision,)


@slow
def test_a_decision_by_another_clock_than_the_time_of_day_is_known_as_such(root):
    real = day(900)
    first, again = (monitor(root, now=day(n), at=real).decision for n in (1, 1.1))
    assert (first.is_simulated, first.recorded_at) == (True, real)
    assert again.id == first.id
    now = monitor(root, now=day(2), at=day(2)).decision
    assert not now.is_simulated
    shown = [(each.id, each.is_simulated) for each in DecisionLog(log_of(root)).entries()]
    assert shown == [(now.id, False), (first.id, True)]  # by the time of day


@slow
def test_an_empty_log_has_no_windows(root):
    result = monitor(root, now=day(1))
    assert (result.windows, result.findings, result.decision.action) == ((), (), "nothing")


@slow
def test_quiet_production_needs_nothing(root, learned):
    play(root, learned, QUIET)
    result = monitor(root, now=day(6))
    assert (result.decision.action, result.announced, result.alarms) == ("nothing", None, ())
    assert [each.state for each in found(result, "loss")][:2] == ["ok", "ok"]


@slow
def test_the_newest_values_are_stored_for_the_metrics_endpoint(root, learned):
    play(root, learned, QUIET)
    metrics = monitor(root, now=day(6)).metrics
    stored = log_of(root).load_window_records(kind="metrics", version="", type_=dict[str, float])
    assert list(stored.values()) == [metrics]
    assert 0 < metrics['ml_window_loss{slice="all"}'] < 0.3


@slow
def test_windows_are_days_of_the_time_zone_and_it_may_be_changed(root, learned):
    play(root, learned, QUIET)
    before = monitor(root, now=day(6))
    project(root, timezone="Asia/Tokyo")
    there = monitor(root, now=day(6))
    assert f"{there.windows[0].start:%Y-%m-%d %H:%M %Z}" == "2024-01-01 00:00 Asia/Tokyo"
    assert there.windows[0].start == day(-9 / 24)
    assert [each.n_rows for each in there.windows][:4] == [120] * 4
    assert "calibrated on days of UTC" in there.notes[0]
    assert monitoring_lines(there)[0] == "churn: 6 windows until 2024-01-07 09:00 Asia/Tokyo"
    assert "Checked on 2024-01-07 09:00 Asia/Tokyo, 6 windows." in report_html(there, [])
    assert DecisionLog(log_of(root)).decisions()[0] == before.decision
    again = monitor(root, now=day(6))
    assert again.findings == there.findings
    assert monitor(project(root, timezone="UTC"), now=day(6)).findings == before.findings


@slow
def test_labels_of_a_class_that_the_model_does_not_know_are_counted_and_hide_nothing(root, learned):
    strange = QUIET.assign(left=QUIET["left"].where(QUIET.index % 4 > 0, "moved"))
    play(root, learned, strange)
    result = monitor(root, now=day(6))
    assert "120 labels are of classes that the model does not know ('moved' 120)" in result.notes[0]
    assert result.metrics["ml_labels_of_unknown_class"] == 120
    assert [each.state for each in found(result, "loss")][:2] == ["ok", "ok"]
    assert "&#39;moved&#39; 120" in report_html(result, [])


@slow
def test_a_changed_relation_gives_one_request_until_it_is_carried_out(root, learned):
    play(root, learned, QUIET, FLIPPED)
    first, again = monitor(root, now=day(10)), monitor(root, now=day(10.2))
    assert (first.decision.action, first.announced, again.announced) == ("retune",) * 3
    assert again.decision == first.decision == DecisionLog(log_of(root)).decisions()[-1]
    assert day(3) <= first.decision.change_from <= day(5)


@slow
def test_a_request_whose_run_was_killed_is_taken_up_again_and_closed_after_a_day(root, learned):
    play(root, learned, QUIET, FLIPPED)
    request, log, state = (
        monitor(root, now=day(10)).decision,
        DecisionLog(log_of(root)),
        root / "state",
    )
    with project_lock(state, "a run"):
        begun = DecisionOutcome(request.id, day(10), "started", detail=runner_name(state))
        log.record_outcome(begun)
        assert monitor(root, now=day(10.1)).decision.action == "wait"
    again = monitor(root, now=day(10.2))
    assert (again.decision, again.announced) == (request, "retune")
    assert "interrupted" in publish_report(root, again).read_text(encoding="utf-8")
    later = monitor(root, now=day(11.5))
    assert [each.kind for each in log.outcomes()] == ["started", "failed"]
    assert later.decision.id != request.id
    assert "cooling down until 2024-01-19 00:00 UTC" in later.decision.reasons[0]


@slow
def test_a_run_without_new_data_computes_nothing_twice(root, learned):
    play(root, learned, QUIET)
    first = monitor(root, now=day(6))
    with sqlite3.connect(root / "state" / "predictions.db") as database:
        database.execute("UPDATE predictions SET inputs = 'cannot be read any more'")
    again = monitor(root, now=day(6))
    assert (again.findings, again.decision.id) == (first.findings, first.decision.id)


@slow
def test_broken_data_blocks_and_shows_no_drift(root, learned):
    broken = QUIET.assign(age=QUIET["age"].astype(object).where(QUIET.index % 3 == 0, None))
    play(root, learned, broken)
    result = monitor(root, now=day(4))
    assert (result.decision.action, result.announced) == ("block", "block")
    assert {each.state for each in found(result, "input_drift")} == {"no data"}


@slow
def test_an_alarm_waits_for_enough_labelled_rows(root, learned):
    project(root, least_rows="100000")
    play(root, learned, QUIET, FLIPPED)
    assert "waiting for rows" in monitor(root, now=day(10)).decision.reasons[0]


@slow
def test_a_past_that_cannot_be_read_blocks(root, learned):
    play(root, learned, QUIET, FLIPPED)
    request = monitor(root, now=day(9))
    with sqlite3.connect(root / "state" / "predictions.db") as database:
        database.execute("UPDATE decisions SET record = '{}'")
    result = monitor(root, now=day(10))
    assert (request.decision.action, result.decision.action) == ("retune", "block")
    assert result.decision.ask_a_person


@slow
def test_rows_of_another_version_do_not_count(root, learned):
    play(root, learned, QUIET)
    champion(root, learned, identity="2")
    later = rows(8, 1, a_day=120)
    play(root, learned, later, version="2")
    result = monitor(root, now=day(10))
    assert result.champion == "2"
    assert [each.start for each in result.windows] == [day(9)]


@slow
def test_a_champion_that_is_worse_than_the_one_before_is_rolled_back(root, learned):
    play(root, learned, QUIET, FLIPPED)
    request = monitor(root, now=day(10)).decision
    champion(root, learned, identity="2")
    DecisionLog(log_of(root)).record_outcome(DecisionOutcome(request.id, day(10), "promoted", "2"))
    table = rows(10, 5, a_day=120, flipped=True)
    ids = served(root, load_model(learned / "model"), table, version="2")
    labelled(root, table, ids)
    better = 1 - np.asarray(predict_rows(load_model(learned / "model"), table).probabilities)
    shadows = [
        ShadowPrediction(identity, float(chances.argmax()), tuple(chances.tolist()))
        for identity, chances in zip(ids, better, strict=True)
    ]
    log_of(root).append_shadow(shadows, version="1")
    result = monitor(root, now=day(17))
    assert (result.decision.action, result.announced) == ("rollback", "rollback")
    assert "version 2 is worse than version 1" in result.decision.reasons[0]


@slow
def test_after_a_rollback_only_newer_rows_are_evidence(root, learned):
    play(root, learned, QUIET, FLIPPED)
    request = monitor(root, now=day(10))
    back = DecisionOutcome(request.decision.id, day(8), "rolled back", "1")
    DecisionLog(log_of(root)).record_outcome(back)
    play(root, learned, rows(8, 2, a_day=120))
    result = monitor(root, now=day(11))
    assert (request.decision.action, result.decision.action) == ("retune", "nothing")
    assert result.windows[0].start == day(8)


@slow
def test_losses_of_days_whose_data_is_broken_are_no_evidence(root, learned):
    broken = FLIPPED.assign(age=FLIPPED["age"].astype(object).where(FLIPPED.index % 3 == 0, None))
    play(root, learned, QUIET, broken, rows(8, 3, a_day=120))
    result = monitor(root, now=day(12))
    assert "loss-rises" not in {each.trigger for each in result.alarms}
    assert {each.day.day for each in result.processes["loss-rises"]} == {1, 2, 3, 4, 9, 10, 11}


@slow
def test_a_version_without_a_reference_cannot_be_monitored(place, learned):
    champion(project(place), learned, with_reference=False)
    with pytest.raises(StageError, match="Version 1 of churn has no reference"):
        monitor(place, now=day(1))


@slow
def test_the_reference_is_stored_in_the_state_folder(root):
    monitor(root, now=day(1))
    folder = root / "state" / "reference" / "churn" / "1"
    assert load_reference(folder).performance.metric == "roc_auc"


@slow
def test_a_backtest_shows_what_each_trigger_would_have_done(root, learned):
    play(root, learned, QUIET, FLIPPED)
    tried = {each.trigger: each for each in backtest(root, now=day(10)).triggers}
    assert len(tried["loss-rises"].alarms) == 1
    assert tried["floor"].note == "switched off: it has no bound"


@slow
def test_a_backtest_needs_a_champion(place):
    with pytest.raises(StageError, match="churn has no champion, so there is nothing to test"):
        backtest(project(place), now=day(1))


def test_the_newest_event_can_be_now(tmp_path, learned):
    (tmp_path / "state").mkdir()
    project(tmp_path, now="latest_event")
    assert (newest_event_time(tmp_path), current_time(tmp_path, real=day(99))) == (None, day(99))
    served(tmp_path, load_model(learned / "model"), QUIET.head(1))
    assert current_time(tmp_path, real=day(99)) == day(0) + timedelta(hours=8)


def test_the_time_is_real_by_default(tmp_path):
    assert current_time(project(tmp_path), real=day(99)) == day(99)
