from dataclasses import replace
from datetime import timedelta
from functools import partial

import numpy as np
import pytest

from evertune.config.schema import RetuneSection
from evertune.data.training_windows import TrainingWindow
from evertune.decisions import MonitoringDecision
from evertune.metrics.metrics import METRICS
from evertune.plan import Plan
from tests.benchmarks.simulation import (
    GateSettings,
    attempt_retraining,
    plan_retraining_attempt,
    stream_reference,
)
from tests.simulation.streams import ORIGIN, said, stream_of

TURNED = stream_of([0.1] * 30 + [0.9] * 20)
KNOWN = np.arange(len(TURNED.days))
CHANGE = (ORIGIN + timedelta(days=30)).isoformat()
ALL, SINCE = TrainingWindow("all"), TrainingWindow("since_change", CHANGE)
DECAYED = TrainingWindow("decayed", half_life_days=5)


def tried(*windows, judge_day=45, stream=TURNED, champion=0.1):
    judge_from = (ORIGIN + timedelta(days=judge_day)).isoformat()
    plan = Plan("refit", judge_from=judge_from, windows=windows)
    return attempt_retraining(
        stream, partial(said, champion), plan, known=KNOWN, gate=GateSettings()
    )


def watched(stream, taught):
    def fit(rows, weights):
        taught.append((rows, weights))
        return stream.fit(rows, weights)

    return replace(stream, fit=fit)


def test_a_better_model_passes():
    found = tried(SINCE)
    assert (found.verdict, found.rows_needed) == ("promote", None)
    assert found.detail.startswith("window since_change, log_loss +")


def test_a_model_that_is_no_better_does_not_pass():
    assert tried(SINCE, champion=0.9).verdict == "keep"


def test_where_the_rows_cannot_tell_the_gate_says_how_many_would():
    found = tried(SINCE, champion=0.83)
    assert found.verdict == "not enough evidence"
    assert found.rows_needed > found.n_rows


def test_the_window_is_taken_whose_model_is_best_on_the_newest_rows():
    assert tried(ALL, SINCE).detail.startswith("window since_change")


def test_rows_that_judge_never_train():
    taught = []
    tried(ALL, SINCE, DECAYED, stream=watched(TURNED, taught))
    assert {TURNED.days[rows].max() for rows, _ in taught} == {44.95}


def test_rows_that_choose_do_not_judge():
    assert 0 < tried(SINCE).reference.n < 100


def test_all_older_rows_teach_where_no_window_has_enough():
    assert tried(SINCE, judge_day=32).detail.startswith("window all")


def test_the_newest_row_of_a_decayed_window_weighs_most():
    taught = []
    tried(DECAYED, stream=watched(TURNED, taught))
    assert taught[0][1][[-1, -101]].tolist() == pytest.approx([1.0, 0.5])


def test_a_figure_that_is_undefined_passes_nothing():
    one_class = replace(stream_of([1.0] * 50), metric=METRICS["roc_auc"])
    found = tried(ALL, stream=one_class)
    assert found.verdict == "not enough evidence"
    assert found.detail == "window all, roc_auc cannot be compared"


def test_too_few_rows_to_judge_make_no_plan():
    decision = MonitoringDecision("d", ORIGIN, "stream", "1", "refit", ("older",))
    with pytest.raises(ValueError, match="At least 100 labelled rows"):
        plan_retraining_attempt(TURNED, decision, RetuneSection(), unseen=KNOWN[:99])


def test_a_reference_is_of_the_rows_that_judged():
    rows = KNOWN[-40:]
    reference = stream_reference(TURNED, rows, said(0.9, rows))
    assert reference.n == 40
    assert [each.n for each in reference.days] == [20, 20]
