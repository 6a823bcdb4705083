from dataclasses import replace

import pytest

from evertune.evaluation.assessment import Assessment, MetricComparison
from evertune.evaluation.data_card import DataCard, ExcludedColumn, MissingColumn, SplitSummary
from evertune.evaluation.explain import Importance
from evertune.evaluation.phases import Phase
from evertune.evaluation.report import report_html, report_markdown
from evertune.evaluation.slices import SliceRow
from evertune.evaluation.thresholds import DecisionRule
from evertune.search.summary import EndingCount, SearchReport


@pytest.fixture(params=["html", "markdown"])
def text(request, evaluation):
    if request.param == "html":
        return report_html(evaluation, {"roc": b"picture"})
    return report_markdown(evaluation, {"roc": "../plots/roc.png"})


@pytest.mark.parametrize(
    "words",
    [
        "ROC AUC 0.840",
        "0.800 to 0.880",
        "logistic regression with 0.810",
        "+0.030",
        "always 'no'",
        "20.0% of them yes",
        "12 configurations were tried in 58 seconds",
        "The folds chose this trial",
        "the best simple model",
    ],
)
def test_the_report_says(text, words):
    plain = text.replace("<b>", "").replace("</b>", "").replace("**", "").replace("&#39;", "'")
    assert words in " ".join(plain.split())


def test_the_page_carries_its_pictures_and_fetches_nothing(evaluation):
    page = report_html(evaluation, {"roc": b"picture"})
    assert 'src="data:image/png;base64,cGljdHVyZQ=="' in page
    assert "http" not in page.replace("http-equiv", "")


def test_markdown_points_at_the_pictures(evaluation):
    page = report_markdown(evaluation, {"roc": "../plots/roc.png"})
    assert "![roc](../plots/roc.png)" in page


@pytest.mark.parametrize("render", [report_html, report_markdown])
def test_names_from_the_table_never_become_markup(evaluation, render):
    rows = (Importance("<script>alert(1)</script>", 0.1, 0.1, 0.1),)
    hostile = replace(evaluation, target="<b>|x", importance=rows, notes=("<img src=x>",))
    assert not {"<script", "<b>|x", "<img src=x"} & set(render(hostile, {}).split())


def test_a_pipe_in_a_name_does_not_break_a_table(evaluation):
    rows = (Importance("a|b", 0.1, 0.1, 0.1),)
    assert "| a\\|b | 0.100 |" in report_markdown(replace(evaluation, importance=rows), {})


def test_a_regression_has_no_confusion_matrix(evaluation):
    regression = replace(evaluation, task="regression", classes=(), confusion=())
    page = report_markdown(regression, {})
    assert "Predicts the value of **churned**" in page
    assert "true \\ predicted" not in page


def test_a_chosen_simplest_model_is_named(evaluation):
    page = report_markdown(replace(evaluation, chosen="simplest:small_tree"), {})
    assert "**Chosen: small tree.**" in page


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
STORY = SearchReport(ended=(EndingCount("stopped", "the budget was used up", 3),))


def whole(evaluation):
    return replace(
        evaluation,
        purpose="Offer a discount.",
        not_for=("Refusing a service",),
        folds_of="ensemble",
        data=(CARD,),
        phases=(Phase("simplest", "ridge", 0.8, gain=0.1, low=0.05, high=0.2, pays=True),),
        enough="simplest",
        slices=(SliceRow("plan", "pro", 9, 0.7, 0.6, 0.8, small=True, sensitive=True),),
        decisions=(DecisionRule("cheapest threshold", 0.2, "other rows", 0.5, 0.4, 0.9, 0.417),),
        unknowns=("Nothing later than May was looked at.",),
        story=(STORY,),
    )


@pytest.mark.parametrize("render", [report_html, report_markdown])
@pytest.mark.parametrize(
    "words",
    [
        "Offer a discount.",
        "Refusing a service",
        "the latest 20 % of the rows by 'day'",
        "age is missing in 25.0 % of the training rows",
        "Left out: id (it names rows)",
        "22 rows repeat an earlier row",
        "of the ensemble, on training rows that its fold models did not see",
        "The simplest that is not worse than the best, as far as the folds can tell: simplest",
        "plan: pro",
        "too few rows",
        "cheapest threshold",
        "0.417",
        "Nothing later than May was looked at.",
        "3 stopped: the budget was used up.",
        "was decided after this page was made",
    ],
)
def test_the_whole_report_says(evaluation, render, words):
    text = render(whole(evaluation), {}).replace("&#39;", "'")
    plain = text.replace("<b>", "").replace("</b>", "").replace("**", "")
    assert words in " ".join(plain.split())


@pytest.mark.parametrize("render", [report_html, report_markdown])
def test_what_nobody_has_written_is_said(evaluation, render):
    assert "Nobody has written what it is for" in render(evaluation, {})
    assert "Nobody has written what it is not for" in render(evaluation, {})


@pytest.mark.parametrize("render", [report_html, report_markdown])
def test_the_page_of_another_table_has_the_own_holdout_beside_it(evaluation, render):
    row = MetricComparison("roc_auc", 0.84, 0.8, 0.88, own=0.87)
    told = Assessment("churn", "3", "may.csv", "a1", 900, 890, n_trained=10, figures=(row,))
    text = render(evaluation, {}, told)
    expected = ("Version 3 of churn", "0.870", "10 rows were left out")
    assert [words for words in expected if words not in text] == []
    assert "was decided after" not in text
