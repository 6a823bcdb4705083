from dataclasses import replace

import pytest

from pipelines.core.evaluation import BaselineRow, Evaluation, Guard, MetricRow, SearchSummary
from pipelines.core.gate import Rival, incomparable, judge, rows_needed, unseen
from pipelines.core.intervals import Difference
from pipelines.core.schema import Schema


def baseline(name, kind, figure, low):
    return BaselineRow(
        name, kind, "", {"f1": figure}, {}, lift=0.6 - figure, low=low, high=0.5, n_rows=100
    )


GUESS = baseline("zero_rule", "none", 0.4, 0.1)
SIMPLE = baseline("small_tree", "model", 0.7, -0.2)
EVALUATION = Evaluation(
    target="churned",
    task="binary",
    classes=("no", "yes"),
    metric="f1",
    greater_is_better=True,
    confidence=0.95,
    n_training=400,
    n_holdout=100,
    holdout={"f1": 0.6, "log_loss": 0.5},
    lift={"f1": 0.2},
    best_baseline="zero_rule",
    chosen="model",
    reasons=("it is better",),
    family="lightgbm",
    settings=(),
    search=SearchSummary(3, 3, 0, 0, 1.0),
    metrics=(MetricRow("f1", True, 0.6), MetricRow("log_loss", False, 0.5)),
    baselines=(GUESS, SIMPLE),
)


def rival(mean, low, high):
    return Rival("3", Difference(mean, low, high, None, 100))


def test_the_first_model_that_beats_the_baselines_is_promoted():
    verdict = judge(EVALUATION, None)
    assert verdict.promoted
    assert verdict.reasons[-1] == "there is no champion yet"


@pytest.mark.parametrize(
    ("other", "decision"),
    [
        (rival(0.1, 0.05, 0.15), "promote"),
        (rival(0.1, -0.05, 0.25), "not enough evidence"),
        (rival(0.1, 0.0, 0.2), "not enough evidence"),
        (rival(0.0, 0.0, 0.0), "keep"),
        (rival(-0.1, -0.3, 0.1), "keep"),
        (Rival("3"), "not enough evidence"),
        (rival(None, None, None), "not enough evidence"),
        (Rival("3", obstacle="it predicts 'left'"), "not enough evidence"),
    ],
)
def test_the_whole_interval_has_to_speak_for_the_new_model(other, decision):
    assert judge(EVALUATION, other).decision == decision


@pytest.mark.parametrize(
    ("loss", "share", "decision"),
    [
        (Difference(0.03, 0.01, 0.05, None, 100), 0.4, "promote"),
        (Difference(0.03, 0.01, 0.05, None, 100), 0.2, "keep"),
        (Difference(0.03, -0.01, 0.05, None, 100), 0.4, "keep"),
        (Difference(None, None, None, None, 0), 0.4, "keep"),
    ],
)
def test_a_lower_loss_decides_where_the_metric_tells_the_two_hardly_apart(loss, share, decision):
    other = Rival("3", Difference(-0.001, -0.02, 0.02, share, 100), loss=loss)
    verdict = judge(EVALUATION, other)
    assert verdict.decision == decision
    assert ("its loss is lower (+0.03, +0.01 to +0.05" in verdict.reasons[-1]) == verdict.promoted


def test_a_verdict_says_how_many_rows_would_tell():
    verdict = judge(EVALUATION, rival(0.1, -0.05, 0.25))
    assert (verdict.rows_needed, verdict.n_rows) == (pytest.approx(225, abs=1), 100)
    assert "f1 is better (+0.1, -0.05 to +0.25, 100 rows)" in verdict.reasons[0]


def test_rows_that_were_left_out_are_counted_in_the_reason():
    verdict = judge(EVALUATION, replace(rival(0.1, 0.05, 0.15), n_seen=7))
    assert "7 hold-out rows that one of the two was trained on" in verdict.reasons[-1]


def test_a_champion_that_cannot_be_compared_stays_and_the_reason_says_what_to_do():
    (reason,) = judge(EVALUATION, Rival("3", obstacle="it predicts 'left'")).reasons
    assert "version 3: it predicts 'left'; give a new question a name of its own" in reason


@pytest.mark.parametrize("name", ["zero_rule", "existing"])
def test_a_model_that_is_not_better_than_a_baseline_is_not_promoted(name):
    better = baseline(name, "none" if name == "zero_rule" else "given", 0.6, -0.1)
    verdict = judge(replace(EVALUATION, baselines=(better,)), None)
    assert verdict.decision == "keep"
    assert f"baseline {name}, 0.6, but is 0.6" in verdict.reasons[0]


def test_a_model_below_people_is_promoted_all_the_same():
    human = baseline("human", "given", 0.9, -0.4)
    assert judge(replace(EVALUATION, baselines=(GUESS, human)), None).promoted


def test_a_lift_that_may_be_chance_is_not_enough():
    doubtful = baseline("zero_rule", "none", 0.5, -0.1)
    verdict = judge(replace(EVALUATION, baselines=(doubtful,)), None)
    assert verdict.decision == "not enough evidence"
    assert (verdict.rows_needed, verdict.n_rows) == (pytest.approx(400, abs=1), 100)


def test_a_baseline_without_a_figure_cannot_be_compared():
    unknown = BaselineRow("existing", "given", "", {"f1": None}, {})
    verdict = judge(replace(EVALUATION, baselines=(unknown,)), None)
    assert verdict.reasons == ("f1 cannot be compared with that of the baseline existing",)


@pytest.mark.parametrize(
    ("guard", "words"),
    [
        (Guard("log_loss", 0.4, 0.5, False), "log_loss must be at most 0.4, but is 0.5"),
        (Guard("f1", 0.7, 0.6, False), "f1 must be at least 0.7, but is 0.6"),
    ],
)
def test_a_broken_guard_keeps_the_champion(guard, words):
    verdict = judge(replace(EVALUATION, guards=(guard,)), rival(0.1, 0.05, 0.15))
    assert verdict.decision == "keep"
    assert verdict.reasons == (words,)


def test_the_simplest_model_is_judged_by_its_own_figures():
    guard = Guard("f1", 0.65, 0.6, False)
    chosen = replace(EVALUATION, chosen="simplest:small_tree", guards=(guard,))
    assert judge(chosen, None).promoted


def test_smaller_is_better_where_the_metric_says_so():
    rmse = replace(
        EVALUATION,
        metric="log_loss",
        greater_is_better=False,
        baselines=(BaselineRow("zero_rule", "none", "", {"log_loss": 0.7}, {}, 0.2, 0.1, 0.3),),
    )
    assert judge(rmse, None).promoted


def test_rows_that_do_not_seem_better_need_no_number():
    assert rows_needed(Difference(-0.1, -0.2, 0.0, None, 50)) is None


def test_rows_seen_by_either_model_are_left_out():
    assert unseen(["a", "b", "c"], {"a"}, {"c"}).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        (Schema((), "left", "binary", ("no", "yes")), "it predicts 'left', not 'churned'"),
        (Schema((), "churned", "regression"), "its task is regression, not binary"),
        (Schema((), "churned", "binary", ("0", "1")), "its classes are 0, 1, not no, yes"),
        (Schema((), "churned", "binary", ("no", "yes")), None),
    ],
)
def test_models_that_answer_other_questions_are_not_compared(theirs, words):
    assert incomparable(Schema((), "churned", "binary", ("no", "yes")), theirs) == words
