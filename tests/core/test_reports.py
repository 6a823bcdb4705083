from dataclasses import replace

import pytest

from pipelines.core.evaluation import Importance
from pipelines.core.reports import report_html, report_markdown


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
