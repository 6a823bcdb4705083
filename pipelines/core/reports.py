"""The report of an evaluation as one page of HTML and as Markdown, for people to read."""

import html
from base64 import b64encode
from collections.abc import Mapping
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from pipelines.core.evaluation import Evaluation, Importance
from pipelines.core.names import (
    figure_text,
    interval_text,
    lift_text,
    metric_name,
    value_text,
    words,
)
from pipelines.core.pictures import MOST_COLUMNS, ranked_baselines

PARTS = ("confusion", "roc", "precision_recall", "calibration", "predicted", "residuals")


def report_html(evaluation: Evaluation, pictures: Mapping[str, bytes]) -> str:
    """Return a page that needs no other file: the pictures are part of it.

    Parameters
    ----------
    evaluation : Evaluation
    pictures : mapping of str to bytes
        PNG pictures by name, such as `roc`; those that are not there are left out.
    """
    sources = {
        name: f"data:image/png;base64,{b64encode(picture).decode()}"
        for name, picture in pictures.items()
    }
    environment = _environment(autoescape=True)
    return _rendered(environment, "report.html.jinja", evaluation=evaluation, pictures=sources)


def report_markdown(evaluation: Evaluation, pictures: Mapping[str, str]) -> str:
    """Return the report as Markdown.

    Parameters
    ----------
    evaluation : Evaluation
    pictures : mapping of str to str
        Where each picture lies, seen from the report.
    """
    environment = _environment(autoescape=False)
    environment.finalize = plain_cell
    return _rendered(environment, "report.md.jinja", evaluation=evaluation, pictures=pictures)


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
    }
    environment.globals["interval"] = interval_text
    environment.globals["parts"] = PARTS
    return environment


def _rendered(
    environment: Environment, template: str, *, evaluation: Evaluation, pictures: Mapping[str, str]
) -> str:
    text = files("pipelines.core").joinpath(template).read_text(encoding="utf-8")
    return environment.from_string(text).render(
        e=evaluation,
        pictures=pictures,
        ranked=ranked_baselines(evaluation),
        main=evaluation.metrics[0],
        importance=_important(evaluation),
        shares=_class_shares(evaluation),
    )


def _important(evaluation: Evaluation) -> tuple[Importance, ...]:
    return evaluation.importance[:MOST_COLUMNS]


def _class_shares(evaluation: Evaluation) -> list[tuple[str, int, float]]:
    """Return name, rows and share of each class on the hold-out."""
    counts = [sum(row) for row in evaluation.confusion]
    return [
        (name, count, count / max(sum(counts), 1))
        for name, count in zip(evaluation.classes, counts, strict=False)
    ]
