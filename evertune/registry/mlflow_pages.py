"""What MLflow shows: runs of searches, trials, assessments and monitoring, and model versions.

Pure functions from records to a `RunPage` or a `ModelDescription`;
`evertune.registry.mlflow_registry` logs them.
"""

import json
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import pandas as pd
from pydantic import BaseModel

from evertune.config.schema import PathsSection
from evertune.data.schema import TableSchema
from evertune.evaluation.evaluation_record import (
    Evaluation,
    chosen_model_metrics,
    chosen_simple_model,
)
from evertune.evaluation.formatting import (
    count_noun,
    format_interval,
    format_score,
    humanize,
    metric_name,
)
from evertune.evaluation.other_table import Assessment, describe_left_out_rows, summarize_assessment
from evertune.registry.decision_page import record_headline
from evertune.registry.promotion_records import DecisionRecord
from evertune.registry.run_page import (
    HIGH_PREFIX,
    HOLDOUT_PREFIX,
    LOW_PREFIX,
    METRIC_TAG,
    MODE_TAG,
    MODEL_TAG,
    VERSION_TAG,
    MetricPoint,
    RunPage,
)
from evertune.search.comparison import Comparison
from evertune.search.leaderboard import top_trials, trial_metrics, trial_parameters, trial_title
from evertune.times import in_zone
from evertune.trials import Trial
from evertune.types import ColumnKind

SHORT_HASH = 8  # digits of an md5 that a person sees
MAX_NAMES_LENGTH = 900  # of a list of columns or classes in a description
MAX_REASONS_LENGTH = 1200
MLFLOW_STATUS = {"complete": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


def trial_pages(
    trials: Sequence[Trial], *, greater_is_better: bool, most: int
) -> dict[int, RunPage]:
    """Return what the runs of the `most` best trials show, by the trials' numbers."""
    best = top_trials(trials, greater_is_better=greater_is_better, most=most)
    return {trial.number: trial_page(trial) for trial in best}


def trial_page(trial: Trial) -> RunPage:
    """Return what the run of a trial shows."""
    return RunPage(
        title=trial_title(trial),
        note=trial.reason or "",
        parameters={f"model.{name}": text for name, text in trial_parameters(trial).items()},
        metrics=trial_metrics(trial),
        tags={"status": trial.status, **({"reason": trial.reason} if trial.reason else {})},
        status=MLFLOW_STATUS[trial.status],
    )


def score_curves(
    trials: Sequence[Trial], *, greater_is_better: bool, started_milliseconds: int
) -> tuple[MetricPoint, ...]:
    """Return score and best score over the complete trials, in the order in which they ended.

    Parameters
    ----------
    started_milliseconds : int
        When the search started, since 1970.

    Examples
    --------
    >>> from evertune.trials import Configuration, Trial
    >>> trials = [Trial(n, Configuration("tree"), "complete", (), score, None, float(n))
    ...           for n, score in enumerate([0.5, 0.4, 0.7])]
    >>> points = score_curves(trials, greater_is_better=True, started_milliseconds=1000)
    >>> [(point.value, point.milliseconds) for point in points if point.name == "search/best"]
    [(0.5, 1000), (0.5, 2000), (0.7, 3000)]
    """
    ended = [
        (trial.elapsed_seconds, trial.score)
        for trial in trials
        if trial.status == "complete" and trial.score is not None
    ]
    best = accumulate((score for _, score in ended), max if greater_is_better else min)
    points: list[MetricPoint] = []
    for step, ((seconds, score), top) in enumerate(zip(ended, best, strict=True)):
        when = started_milliseconds + round(1000 * seconds)
        points.append(MetricPoint("search/score", score, step, when))
        points.append(MetricPoint("search/best", top, step, when))
    return tuple(points)


def assessment_page(found: Assessment, *, folder: Path) -> RunPage:
    """Return what the run of an evaluation on demand shows; its pages are in `folder`."""
    lines = [summarize_assessment(found), *describe_left_out_rows(found)]
    metrics = {f"own_holdout/{row.metric}": row.own for row in found.figures}
    metrics |= {f"assessed/{row.metric}": row.figure for row in found.figures}
    return RunPage(
        title=f"version {found.version} on {found.table}",
        note="\n\n".join([*lines, f"Evaluates `models:/{found.model}/{found.version}`."]),
        metrics={name: value for name, value in metrics.items() if value is not None},
        tags={VERSION_TAG: found.version},
        files=((folder, ""),),
    )


def comparison_page(found: Comparison, *, files: Sequence[Path]) -> RunPage:
    """Return what the run of a comparison of searchers shows, with the files of its folder."""
    settings = found.settings
    ranks = dict(zip(found.ranks.names, found.ranks.mean_ranks, strict=True))
    metrics: dict[str, float | None] = {"friedman_p": found.ranks.p_value}
    for each in found.methods:
        metrics |= {
            f"best/{each.label}": each.mean,
            f"best_low/{each.label}": each.low,
            f"best_high/{each.label}": each.high,
            f"mean_rank/{each.label}": ranks[each.label],
            f"suggestion_ms/{each.label}": each.median_milliseconds,
            f"suggestion_ms_90/{each.label}": each.slow_milliseconds,
        }
    parameters = {
        "searchers": ", ".join(settings.searchers),
        "schedulers": ", ".join(settings.schedulers),
        "seeds": str(settings.n_seeds),
        "budget": settings.budget_text(),
        "families": ", ".join(found.families),
    }
    return RunPage(
        title=f"compare {', '.join(each.label for each in found.methods)}",
        note=f"{found.sentence}\n\nSee the artifact report.md.",
        parameters=parameters,
        metrics={name: value for name, value in metrics.items() if value is not None},
        tags={METRIC_TAG: found.metric},
        files=tuple((path, "") for path in files),
    )


def comparison_curves(found: Comparison) -> tuple[MetricPoint, ...]:
    """Return the best score so far over trials, the mean over seeds, a metric for each method."""
    return tuple(
        MetricPoint(f"best_by_trial/{each.label}", point.mean, step=round(point.at))
        for each in found.methods
        for point in each.over_trials
    )


def evaluation_title(evaluation: Evaluation) -> str:
    """Return the title of the run of an evaluation, such as `ensemble of 5 roc_auc 0.8731`."""
    score = chosen_model_metrics(evaluation).get(evaluation.metric)
    shown = "unknown" if score is None else f"{score:.4g}"
    return f"{model_name(evaluation)} {evaluation.metric} {shown}"


def evaluation_metrics(evaluation: Evaluation) -> dict[str, float]:
    """Return every known score, under the name that MLflow groups it by.

    `holdout/` and the others are of the model in use. Runs of trials have `folds/`, too.
    """
    named: dict[str, float | None] = {}
    for row in evaluation.metrics:
        named |= {
            f"{HOLDOUT_PREFIX}{row.name}": row.holdout,
            f"{LOW_PREFIX}{row.name}": row.low,
            f"{HIGH_PREFIX}{row.name}": row.high,
            f"training/{row.name}": row.training,
            f"gap/{row.name}": row.gap,
            f"folds/{row.name}": row.folds,
            f"lift/{row.name}": row.lift,
        }
    for baseline in evaluation.baselines:
        score = baseline.holdout.get(evaluation.metric)
        named[f"baseline/{baseline.name}/{evaluation.metric}"] = score
    for name, score in chosen_model_metrics(evaluation).items():
        named[f"{HOLDOUT_PREFIX}{name}"] = score
    search = evaluation.search
    for searched in evaluation.searched:  # beside the simpler model in use, which is the above
        for name, score in searched.holdout.items():
            named[f"searched/{name}"] = score
    named |= {"search/trials": search.trials, "search/seconds": search.seconds}
    return {name: float(score) for name, score in named.items() if score is not None}


def evaluation_description(
    evaluation: Evaluation, schema: TableSchema, *, data: str, report: str
) -> str:
    """Return in Markdown what a reader needs of a model, whatever was decided about it.

    That is what it predicts, from which columns, its scores with intervals beside the best
    baselines, the version of the data, and where the report lies.

    Parameters
    ----------
    data : str
        The md5 of the source table.
    report : str
        A link to the report.
    """
    rows = [
        f"| {metric_name(row.name)} | {_cell(row.holdout)} | {format_interval(row.low, row.high)} |"
        f" {_cell(row.training)} | {_cell(row.baseline_holdout)} {_named(row.baseline)} |"
        for row in evaluation.metrics
    ]
    names = [column.name for column in schema.features]
    interval = f"{100 * evaluation.confidence:g} % interval"
    return "\n".join(
        [
            f"Predicts {_target_text(evaluation)}, from {count_noun(len(names), 'column')}:"
            f" {_code_list(names)}.",
            "",
            f"Model: **{model_name(evaluation)}**. {' '.join(evaluation.reasons)}",
            "",
            f"| metric | on the hold-out | {interval} | on training rows | best baseline |",
            "|---|---|---|---|---|",
            *rows,
            "",
            f"Optimised for {metric_name(evaluation.metric)}. Trained on"
            f" {evaluation.n_training:,} rows of data version `{data[:SHORT_HASH]}`; the hold-out"
            f" has {count_noun(evaluation.n_holdout, 'row')}, which it has not seen.",
            "",
            f"Report: [figures, slices, limits]({report}).",
        ]
    )


def version_description(
    record: DecisionRecord | None, note: str, *, standing: str, uri: str, store: str, timezone: str
) -> str:
    """Return the description of a version, or of the registered model, in Markdown.

    Parameters
    ----------
    record : DecisionRecord, optional
        The last decision about the version.
    note : str
        Of its run, such as `evaluation_description` makes it.
    standing : str
        Whether it is in use; MLflow's list of versions shows this line as it is.
    uri : str
        By which MLflow loads it.
    store : str
        The address of MLflow.
    timezone : str
        In which times are shown.
    """
    decided = []
    if record is not None:
        moment = f"{in_zone(record.moment, timezone):%Y-%m-%d %H:%M} ({timezone})"
        reasons = "\n".join(f"- {text[:1].upper()}{text[1:]}" for text in record.reasons)[
            :MAX_REASONS_LENGTH
        ]
        head = f"{record_headline(record)}, decided by {record.by} on {moment}:"
        decided = ["", head, "", reasons]
    return "\n".join(
        [
            standing,
            *decided,
            "",
            note,
            "",
            "To load it, in the project's folder:",
            "",
            "```python",
            "import mlflow",
            f'mlflow.set_tracking_uri("{store}")',
            f'model = mlflow.pyfunc.load_model("{uri}")',
            "model.predict(rows)  # a DataFrame with the columns above",
            "```",
            "",
            "To serve the champion over HTTP: `evertune serve`. To score a table with it:"
            " `evertune score`.",
        ]
    )


def run_tags(evaluation: Evaluation, *, mode: str, data: str) -> dict[str, str]:
    """Return the tags by which runs are compared in a list; `data` is the md5 of the source."""
    return {
        METRIC_TAG: evaluation.metric,
        MODEL_TAG: model_name(evaluation),
        MODE_TAG: mode,
        "data": data[:SHORT_HASH],
    }


def version_tags(evaluation: Evaluation, *, mode: str, data: str) -> dict[str, str]:
    """Return the tags of a version that a person wants in a list; parameters as in `run_tags`."""
    row = evaluation.metrics[0]
    interval = format_interval(row.low, row.high)
    score = f"{format_score(row.holdout)} {evaluation.metric}"
    return {
        "score": f"{score} ({interval})" if interval else score,
        MODEL_TAG: model_name(evaluation),
        MODE_TAG: mode,
        "data": data[:SHORT_HASH],
    }


def model_settings(evaluation: Evaluation) -> dict[str, str]:
    """Return the configuration of the model as text, under the names that trials have, too."""
    named = {f"model.{each.name}": str(each.value) for each in evaluation.settings}
    family = chosen_simple_model(evaluation) or evaluation.family
    return {"model.family": family, "chosen": evaluation.chosen, **named}


def input_types(schema: TableSchema, raw: pd.DataFrame) -> dict[str, str]:
    """Return the columns that a model takes, with their types in MLflow's words.

    Columns that come as text are `string`. The others are `any`, and the model itself reads and
    checks them: MLflow would refuse whole numbers where it was promised numbers with a fraction.

    Parameters
    ----------
    raw : DataFrame
        The source table.

    Examples
    --------
    >>> from evertune.data.schema import Column
    >>> columns = (Column("age", "number"), Column("plan", "category"))
    >>> schema = TableSchema(columns, "y", "regression")
    >>> input_types(schema, pd.DataFrame({"age": [31], "plan": ["a"]}))
    {'age': 'any', 'plan': 'string'}
    """
    kinds: dict[str, ColumnKind] = {column.name: column.kind for column in schema.features}
    if schema.time is not None:
        kinds[schema.time] = "date"
    texts = {str(name) for name, kind in raw.dtypes.items() if kind == "str"}
    return {
        name: "string" if kind in ("category", "text") and name in texts else "any"
        for name, kind in kinds.items()
    }


def output_types(schema: TableSchema) -> dict[str, str]:
    """Return the columns that a model gives, with their types in MLflow's words.

    Examples
    --------
    >>> output_types(TableSchema((), "y", "binary", ("no", "yes")))
    {'prediction': 'string', 'probability_no': 'double', 'probability_yes': 'double'}
    """
    if schema.task == "regression":
        return {"prediction": "double"}
    return {"prediction": "string"} | {f"probability_{name}": "double" for name in schema.classes}


def parameter_values(section: BaseModel, prefix: str = "") -> dict[str, str]:
    """Return the values of params.yaml as text under dotted names, without the paths.

    A list, or a mapping whose keys are names of the user's own such as columns, is one value in
    JSON: MLflow takes only some characters in the name of a parameter.

    Examples
    --------
    >>> from evertune.config.schema import DataSection
    >>> data = DataSection(source="t.csv", target="y", columns={"Distance (km)": "number"})
    >>> found = parameter_values(data, "data.")
    >>> found["data.target"], found["data.columns"]
    ('y', '{"Distance (km)": "number"}')
    """
    named: dict[str, str] = {}
    plain = section.model_dump(mode="json")
    for key, value in section:
        if isinstance(value, PathsSection):
            continue
        if isinstance(value, BaseModel):
            named |= parameter_values(value, f"{prefix}{key}.")
        elif isinstance(plain[key], (dict, list)):
            named[f"{prefix}{key}"] = json.dumps(plain[key], ensure_ascii=False)
        else:
            named[f"{prefix}{key}"] = str(plain[key])
    return named


def model_name(evaluation: Evaluation) -> str:
    """Return the kind of the model in use, such as `catboost` or `ensemble of 5`."""
    simplest = chosen_simple_model(evaluation)
    if simplest is not None:
        return simplest
    n_members = max((len(story.weights) for story in evaluation.story), default=1)
    return evaluation.family if n_members <= 1 else f"ensemble of {n_members}"


def _target_text(evaluation: Evaluation) -> str:
    target = code_text(evaluation.target)
    if evaluation.task == "regression":
        return f"the number {target}"
    if evaluation.task == "binary":
        negative, positive = (code_text(name) for name in evaluation.classes)
        return f"{target}, {positive} (the positive class) or {negative}"
    return f"{target}, one of {len(evaluation.classes)} classes ({_code_list(evaluation.classes)})"


def code_text(name: str) -> str:
    """Return a name as code in Markdown, whatever signs it holds.

    Examples
    --------
    >>> code_text("a|b `c`")
    "`a/b 'c'`"
    """
    return f"`{' '.join(name.split()).replace('`', chr(39)).replace('|', '/')}`"


def _code_list(names: Sequence[str]) -> str:
    shown = [code_text(name) for name in names]
    lengths = list(accumulate(len(each) + 2 for each in shown))
    n_shown = max(sum(length <= MAX_NAMES_LENGTH for length in lengths), 1)
    more = len(names) - n_shown
    return ", ".join([*shown[:n_shown], *([f"and {more} more"] if more > 0 else [])])


def _cell(score: float | None) -> str:
    return "" if score is None else format_score(score)


def _named(baseline: str | None) -> str:
    return "" if baseline is None else f"({humanize(baseline)})"
