from dataclasses import replace

import pytest

from evertune.evaluation.data_card import DataCard, ExcludedColumn, MissingColumn, SplitSummary
from evertune.evaluation.explain import Importance
from evertune.evaluation.monotone import MonotoneCheck
from evertune.evaluation.other_table import Assessment, MetricComparison
from evertune.evaluation.phases import Phase
from evertune.evaluation.report import report_html, write_report
from evertune.evaluation.slices import SliceRow
from evertune.evaluation.thresholds import DecisionRule
from evertune.search.summary import EndingCount, SearchReport

CARD = DataCard(
    (
        SplitSummary("training", 800, shares=(0.8, 0.2)),
        SplitSummary("hold-out", 200, shares=(0.8, 0.2)),
    ),
    "the latest 20 % of the rows by 'day'",
    features=(("age", "number"),),
    missing=(MissingColumn("age", 0.25),),
    excluded=(ExcludedColumn("id", "it names rows"),),
    suspicious=("22 rows repeat an earlier row",),
)


def page(evaluation, *args):
    """Return the page's text, without bold marks and line breaks."""
    text = report_html(evaluation, *args or ({},))
    for mark, plain in (("<b>", ""), ("</b>", ""), ("&#39;", "'"), ("&lt;", "<")):
        text = text.replace(mark, plain)
    return " ".join(text.split())


def missing(text, *words):
    return [each for each in words if each not in text]


def test_the_page_shows_the_scores_with_intervals_beside_the_baselines(evaluation):
    assert not missing(
        page(evaluation),
        "ROC AUC 0.840 on the hold-out (95 % interval 0.800 to 0.880)",
        "logistic regression, reaches 0.810: the lift is +0.030",
        "always 'no'",
        "20.0 % of them are yes",
        "12 configurations were tried in 58 seconds",
        "The folds chose this trial",
        "the best simple model",
    )


def test_the_page_shows_every_part_of_an_evaluation(evaluation):
    whole = replace(
        evaluation,
        purpose="Offer a discount.",
        not_for=("Refusing a service",),
        folds_of="ensemble",
        data=(CARD,),
        phases=(Phase("simplest", "ridge", 0.8, gain=0.1, low=0.05, high=0.2, pays=True),),
        enough="simplest",
        slices=(SliceRow("plan", "pro", 9, 0.7, 0.6, 0.8, small=True, sensitive=True),),
        decisions=(DecisionRule("cheapest threshold", 0.2, "other rows", 0.5, 0.4, 0.9, 0.417),),
        unknowns=("Nothing later than May was evaluated.",),
        story=(SearchReport(ended=(EndingCount("stopped", "the budget was used up", 3),)),),
    )
    assert not missing(
        page(whole),
        "Offer a discount.",
        "Refusing a service",
        "the latest 20 % of the rows by 'day'",
        "age is missing in 25.0 % of the training rows",
        "Left out: id (it names rows)",
        "22 rows repeat an earlier row",
        "Folds: cross-validated scores of the ensemble.",
        "not significantly worse than the best: simplest",
        "plan: pro",
        "too few rows",
        "cheapest threshold",
        "0.417",
        "Nothing later than May was evaluated.",
        "3 stopped: the budget was used up.",
        "written before the decision",
    )


def test_a_purpose_that_nobody_wrote_is_asked_for(evaluation):
    assert not missing(page(evaluation), "evaluation.purpose", "evaluation.not_for")


def test_the_page_holds_its_pictures_and_fetches_nothing(evaluation):
    text = report_html(evaluation, {"roc": b"picture"})
    assert 'src="data:image/png;base64,cGljdHVyZQ=="' in text
    assert "http" not in text.replace("http-equiv", "")


def test_names_from_the_table_never_become_markup(evaluation):
    rows = (Importance("<script>alert(1)</script>", 0.1, 0.1, 0.1),)
    hostile = replace(evaluation, target="<b>|x", importance=rows, notes=("<img src=x>",))
    text = report_html(hostile, {})
    assert not [mark for mark in ("<script", "<b>|x", "<img src=x") if mark in text]


def test_a_regression_has_errors_instead_of_classes(evaluation):
    text = page(replace(evaluation, task="regression", classes=(), confusion=()))
    assert not missing(text, "Predicts the value of churned", "Errors on the hold-out")


def test_only_a_direction_that_is_not_kept_is_marked(evaluation):
    checks = [
        MonotoneCheck(name, "up", 200, (0.0, 1.0), (0.1, 0.2), step, kept=step == 0)
        for name, step in (("age", 0.0), ("bmi", 0.3))
    ]
    text = page(replace(evaluation, monotone=tuple(checks)))
    assert '<td class="name">kept</td>' in text
    assert '<td class="mark">not kept</td>' in text


def test_the_page_says_that_rows_count_differently_in_fits(evaluation):
    text = page(replace(evaluation, data=(replace(CARD, weight="share"),)))
    assert not missing(text, "Rows count in fits by share; the scores count all rows alike.")
    assert missing(page(replace(evaluation, data=(CARD,))), "Rows count in fits") != []


def test_a_chosen_simplest_model_is_named(evaluation):
    simple = replace(evaluation, chosen="simplest:logistic_regression")
    assert not missing(page(simple), "The model in use, logistic regression", "In use: logistic")


def test_the_page_of_another_table_has_the_own_holdout_beside_it(evaluation):
    row = MetricComparison("roc_auc", 0.84, 0.8, 0.88, own=0.87)
    assessment = Assessment("churn", "3", "may.csv", "a1", 900, 890, n_trained=10, figures=(row,))
    text = page(evaluation, {}, assessment)
    assert not missing(text, "Version 3 of churn on may.csv", "0.870", "10 rows were left out")
    assert "written before the decision" not in text


@pytest.mark.parametrize("plots", [{"roc": b"new"}, {}])
def test_a_report_replaces_what_the_folders_held(evaluation, tmp_path, plots):
    places = {
        "scores_file": tmp_path / "f.json",
        "plots_folder": tmp_path / "p",
        "report_folder": tmp_path / "r",
    }
    write_report(evaluation, {"old": b"old"}, **places)
    write_report(evaluation, plots, **places)
    assert {path.stem for path in (tmp_path / "p").iterdir()} == set(plots)
    assert [path.name for path in (tmp_path / "r").iterdir()] == ["report.html"]
