"""Judge the model on the hold-out beside all baselines, and write the report.

Reads the model, the baselines, the trials, and training, hold-out and folds. Writes figures.json
(`pipelines.core.evaluation.Evaluation`), the folder of pictures, the folder of the report and the
reference that production is held against.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from pipelines.core.baselines import (
    BaselineFigures,
    baseline_holdout_figures,
    baseline_predictions,
)
from pipelines.core.choices import choice, guard_rows
from pipelines.core.comparing import baseline_rows, metric_rows
from pipelines.core.evaluation import Evaluation, Importance, simplest_chosen
from pipelines.core.folds import Fold, folds_of
from pipelines.core.gallery import gallery
from pipelines.core.gate import chosen_figures
from pipelines.core.importance import loss_beside, permutation_importance
from pipelines.core.metrics import Metric, figures
from pipelines.core.model import Model, predict
from pipelines.core.model_figures import (
    Bootstrap,
    FoldFigure,
    Holdout,
    ModelFigures,
    confusion,
    fold_figures,
    holdout_intervals,
)
from pipelines.core.names import figure_text, lift_text
from pipelines.core.nesting import Rows
from pipelines.core.notes import notes
from pipelines.core.predictions import Predictions
from pipelines.core.references import Reference, reference_of
from pipelines.core.reports import report_html, report_markdown
from pipelines.core.rules import Rule
from pipelines.core.searched import search_summary, settings, trial_of
from pipelines.core.trials import Trial
from pipelines.core.truths import taken, truth_of
from pipelines.core.window_fits import WindowChoice, window_note
from pipelines.params import find_root, run_stage
from pipelines.production import Monitoring
from pipelines.sections import Evaluation as EvaluationSection
from pipelines.sections import FitSection, MetricSection, Paths, SearchSection
from pipelines.stores.files import (
    read_record,
    read_table,
    replaced_folder,
    write_record,
    write_text,
)
from pipelines.stores.metrics import metrics_of
from pipelines.stores.models import load_model, window_choice
from pipelines.stores.references import save_reference
from pipelines.stores.trials import read_trials


@dataclass(frozen=True, eq=False)
class Inputs:
    """What an evaluation is made of; tables are clean."""

    model: Model
    choice: WindowChoice | None
    simplest: Mapping[str, Model]
    rule: Rule
    baselines: tuple[BaselineFigures, ...]
    trials: tuple[Trial, ...]
    training: pd.DataFrame
    holdout: pd.DataFrame
    folds: tuple[Fold, ...]


def run(  # noqa: PLR0913
    *,
    paths: Paths,
    metric: MetricSection,
    search: SearchSection,
    fit: FitSection,
    evaluation: EvaluationSection,
    monitoring: Monitoring,
) -> None:
    """Write the figures, the pictures, the report and the reference of the model.

    Raises
    ------
    InputError
        If something that the stage reads is not there.
    ParamsError
        If the metric does not serve the task.
    """
    inputs = _read(paths)
    schema = inputs.model.schema
    metrics = metrics_of(metric, schema.task, find_root(paths.model))
    holdout = _holdout(inputs, metrics)
    model = _model_figures(inputs, holdout, metrics=metrics, section=evaluation)
    found = _evaluation(inputs, holdout, metrics=metrics, model=model, section=evaluation)
    found = replace(found, guards=guard_rows(metric.guards, metrics, figures=chosen_figures(found)))
    if evaluation.nested:
        from pipelines.library.nested import (
            nested,
        )  # the libraries of a search take a second to import

        rows = Rows(inputs.training, schema, inputs.folds, metrics)
        found = replace(found, nested=nested(rows, search=search, fit=fit))
    found = replace(found, notes=(*_choice_notes(inputs, found), *notes(found, schema)))
    _write(paths, found, pictures=gallery(found, holdout.truth, predictions=holdout.model))
    save_reference(paths.reference, _reference(inputs, found, metrics=metrics, section=monitoring))
    sys.stdout.write(_summary(found))


def _read(paths: Paths) -> Inputs:
    folders = sorted((paths.baselines / "models").iterdir())
    return Inputs(
        model=load_model(paths.model),
        choice=window_choice(paths.model),
        simplest={folder.name: load_model(folder) for folder in folders},
        rule=read_record(paths.baselines / "rule.json", Rule),
        baselines=read_record(paths.baselines / "baselines.json", tuple[BaselineFigures, ...]),
        trials=read_trials(paths.trials),
        training=read_table(paths.training),
        holdout=read_table(paths.holdout),
        folds=folds_of(read_table(paths.folds)),
    )


def _holdout(inputs: Inputs, metrics: tuple[Metric, ...]) -> Holdout:
    schema, table = inputs.model.schema, inputs.holdout
    truth, known = truth_of(table, schema), truth_of(inputs.training, schema)
    said = baseline_predictions(
        table,
        schema,
        training_truth=known,
        optimised=metrics[0].name,
        rule=inputs.rule,
        models={name: _said(model, table) for name, model in inputs.simplest.items()},
    )
    expected = baseline_holdout_figures(
        metrics, truth, training_truth=known, n_classes=len(schema.classes)
    )
    return Holdout(truth, _said(inputs.model, table), said, expected)


def _said(model: Model, table: pd.DataFrame) -> Predictions:
    return predict(model.fitted, table, model.schema)


def _model_figures(
    inputs: Inputs, holdout: Holdout, *, metrics: tuple[Metric, ...], section: EvaluationSection
) -> ModelFigures:
    winner = trial_of(inputs.model.configuration, inputs.trials)
    rows = _learned(inputs.model, inputs.training)
    learned = truth_of(rows, inputs.model.schema)
    return ModelFigures(
        holdout=figures(metrics, holdout.truth, holdout.model),
        intervals=holdout_intervals(metrics, holdout, bootstrap=_bootstrap(section)),
        training=figures(metrics, learned, _said(inputs.model, rows)),
        folds=_on_folds(winner, inputs.folds, metrics=metrics, section=section) if winner else {},
    )


def _learned(model: Model, training: pd.DataFrame) -> pd.DataFrame:
    """Return the training rows in the window that the model was fitted on."""
    return training[training["row_key"].isin(model.row_keys)]


def _on_folds(
    winner: Trial,
    made: tuple[Fold, ...],
    *,
    metrics: tuple[Metric, ...],
    section: EvaluationSection,
) -> dict[str, FoldFigure]:
    return fold_figures(
        winner,
        metrics,
        n_training=sum(len(fold.training) for fold in made) // len(made),
        n_validation=sum(len(fold.validation) for fold in made) // len(made),
        confidence=section.confidence,
    )


def _bootstrap(section: EvaluationSection) -> Bootstrap:
    return Bootstrap(section.bootstrap_draws, section.confidence, section.seed)


def _evaluation(
    inputs: Inputs,
    holdout: Holdout,
    *,
    metrics: tuple[Metric, ...],
    model: ModelFigures,
    section: EvaluationSection,
) -> Evaluation:
    schema, optimised, draws = inputs.model.schema, metrics[0], _bootstrap(section)
    baselines = baseline_rows(
        inputs.baselines, holdout, metrics=metrics, model=model, bootstrap=draws
    )
    rows = metric_rows(metrics, holdout, model=model, baselines=baselines, bootstrap=draws)
    chosen, reasons = choice(optimised, baselines)
    return Evaluation(
        target=schema.target,
        task=schema.task,
        classes=schema.classes,
        metric=optimised.name,
        greater_is_better=optimised.greater_is_better,
        confidence=section.confidence,
        n_training=len(_learned(inputs.model, inputs.training)),
        n_holdout=len(inputs.holdout),
        holdout=model.holdout,
        lift={row.name: row.lift for row in rows},
        best_baseline=rows[0].baseline,
        chosen=chosen,
        reasons=reasons,
        family=inputs.model.configuration.family,
        settings=settings(inputs.model.configuration),
        search=search_summary(inputs.trials, greater_is_better=optimised.greater_is_better),
        metrics=rows,
        baselines=baselines,
        confusion=confusion(holdout, len(schema.classes)),
        importance=_importance(inputs, holdout, metric=optimised, section=section),
    )


def _importance(
    inputs: Inputs, holdout: Holdout, *, metric: Metric, section: EvaluationSection
) -> tuple[Importance, ...]:
    model, schema = inputs.model, inputs.model.schema
    columns = [column.name for column in schema.features]
    columns += [schema.time] if schema.time is not None else []
    shuffled = np.random.default_rng(section.seed).permutation(len(inputs.holdout))
    rows = np.sort(shuffled[: section.importance_rows])
    return permutation_importance(
        partial(_said, model),
        inputs.holdout[columns].iloc[rows],
        loss=loss_beside(metric, holdout.truth[rows], predictions=taken(holdout.model, rows)),
        repeats=section.importance_repeats,
        seed=section.seed,
    )


def _choice_notes(inputs: Inputs, found: Evaluation) -> tuple[str, ...]:
    return () if inputs.choice is None else (window_note(inputs.choice, found.metric),)


def _reference(
    inputs: Inputs, found: Evaluation, *, metrics: tuple[Metric, ...], section: Monitoring
) -> Reference:
    simplest = simplest_chosen(found)
    model = inputs.model if simplest is None else inputs.simplest[simplest]
    with threadpool_limits(1):  # its many small fits would spend their time waiting for threads
        return reference_of(
            model,
            training=_learned(model, inputs.training),
            holdout=inputs.holdout,
            metrics=metrics,
            importance={each.column: each.loss for each in found.importance},
            slices=section.slices,
            window_days=section.window_days,
        )


def _write(paths: Paths, found: Evaluation, *, pictures: Mapping[str, bytes]) -> None:
    with replaced_folder(paths.plots) as folder:
        for name, picture in pictures.items():
            (folder / f"{name}.png").write_bytes(picture)
    beside = Path(os.path.relpath(paths.plots, paths.report))
    places = {name: (beside / f"{name}.png").as_posix() for name in pictures}
    with replaced_folder(paths.report) as folder:
        write_text(folder / "report.html", report_html(found, pictures))
        write_text(folder / "report.md", report_markdown(found, places))
    write_record(paths.figures, found)


def _summary(found: Evaluation) -> str:
    row = found.metrics[0]
    beside = f", lift {lift_text(row.lift)} over {row.baseline}" if row.baseline else ""
    return (
        f"{row.name} {figure_text(row.holdout)} on the hold-out{beside}; chosen: {found.chosen}\n"
    )


if __name__ == "__main__":
    raise SystemExit(run_stage(run))
