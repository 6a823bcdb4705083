"""The report of an evaluation as one page of HTML and as Markdown, for people to read."""

import html
from base64 import b64encode
from collections.abc import Mapping
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from pipelines.core.assessments import Assessment, left_out_lines
from pipelines.core.cautions import cautions
from pipelines.core.data_card import QUANTILES
from pipelines.core.evaluation import Evaluation, Importance, MetricRow
from pipelines.core.names import (
    figure_text,
    interval_text,
    lift_text,
    metric_name,
    value_text,
    words,
)
from pipelines.core.pictures import MOST_COLUMNS, ranked_baselines

PARTS = ("confusion", "roc", "precision_recall", "predicted", "residuals")
SEARCHED = ("search_best", "search_weights", "search_budget")
GUESSES = ("uniform_random", "label_distribution")


def report_html(
    evaluation: Evaluation, pictures: Mapping[str, bytes], assessment: Assessment | None = None
) -> str:
    """Return a page that needs no other file: the pictures are part of it.

    Parameters
    ----------
    evaluation : Evaluation
    pictures : mapping of str to bytes
        PNG pictures by name, such as `roc`; those that are not there are left out.
    assessment : Assessment, optional
        Where the rows that judge are not the model's own hold-out.
    """
    sources = {
        name: f"data:image/png;base64,{b64encode(picture).decode()}"
        for name, picture in pictures.items()
    }
    environment = _environment(autoescape=True)
    return _rendered(
        environment,
        "report.html.jinja",
        evaluation=evaluation,
        pictures=sources,
        assessment=assessment,
    )


def report_markdown(
    evaluation: Evaluation, pictures: Mapping[str, str], assessment: Assessment | None = None
) -> str:
    """Return the report as Markdown.

    Parameters
    ----------
    evaluation : Evaluation
    pictures : mapping of str to str
        Where each picture lies, seen from the report.
    assessment : Assessment, optional
        As for `report_html`.
    """
    environment = _environment(autoescape=False)
    environment.finalize = plain_cell
    return _rendered(
        environment,
        "report.md.jinja",
        evaluation=evaluation,
        pictures=pictures,
        assessment=assessment,
    )


def plain_cell(value: object) -> object:
    r"""Return text that stays text in a cell of a Markdown table; other values as they are.

    Examples
    --------
    >>> plain_cell("a|b<script>")
    'a\\|b&lt;script&gt;'
    """
    if not isinstance(value, str):
        return value
    return " ".join(html.escape(value, quote=False).replace("|", "\\|").split("\n"))


def _environment(autoescape: bool) -> Environment:
    environment = Environment(
        autoescape=autoescape, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "figure": figure_text,
        "lift": lift_text,
        "metric": metric_name,
        "value": value_text,
        "words": words,
        "percent": percent_text,
        "count": count_text,
        "short": short_text,
    }
    environment.globals |= {
        "interval": interval_text,
        "parts": PARTS,
        "searched": SEARCHED,
        "guesses": GUESSES,
        "quantiles": QUANTILES,
    }
    return environment


def percent_text(share: float | None) -> str:
    """Return a share as percent, a dash where there is none.

    Examples
    --------
    >>> percent_text(0.1234), percent_text(None)
    ('12.3 %', '-')
    """
    return "-" if share is None else f"{100 * share:.1f} %"


def count_text(count: float | None) -> str:
    """Return a count with commas, a dash where there is none.

    Examples
    --------
    >>> count_text(12345), count_text(None)
    ('12,345', '-')
    """
    return "-" if count is None else f"{count:,.0f}"


def short_text(figure: float | None) -> str:
    """Return seconds or milliseconds with two digits that count, a dash where there are none.

    Examples
    --------
    >>> short_text(0.0123), short_text(1234.5), short_text(None)
    ('0.012', '1,234', '-')
    """
    if figure is None:
        return "-"
    return f"{figure:,.0f}" if abs(figure) >= 10 else f"{figure:.2g}"  # noqa: PLR2004


def _rendered(
    environment: Environment,
    template: str,
    *,
    evaluation: Evaluation,
    pictures: Mapping[str, str],
    assessment: Assessment | None,
) -> str:
    text = files("pipelines.core").joinpath(template).read_text(encoding="utf-8")
    return environment.from_string(text).render(
        e=evaluation,
        a=assessment,
        left_out=() if assessment is None else left_out_lines(assessment),
        where="the hold-out" if assessment is None else assessment.table,
        cautions=cautions(evaluation),
        pictures=pictures,
        ranked=ranked_baselines(evaluation),
        main=evaluation.metrics[0],
        calibration=_calibration(evaluation),
        importance=_important(evaluation),
        shares=_class_shares(evaluation),
    )


def _calibration(evaluation: Evaluation) -> MetricRow | None:
    """Return the row of the expected calibration error, where there are probabilities."""
    rows = (row for row in evaluation.metrics if row.name == "calibration_error")
    return next((row for row in rows if row.holdout is not None), None)


def _important(evaluation: Evaluation) -> tuple[Importance, ...]:
    return evaluation.importance[:MOST_COLUMNS]


def _class_shares(evaluation: Evaluation) -> list[tuple[str, int, float]]:
    """Return name, rows and share of each class on the hold-out."""
    counts = [sum(row) for row in evaluation.confusion]
    return [
        (name, count, count / max(sum(counts), 1))
        for name, count in zip(evaluation.classes, counts, strict=False)
    ]
