"""Judge the model on the hold-out beside all baselines, and write the report.

Reads the source, the clean table and the plan; the model, the baselines, the trials and their pool;
training, hold-out and folds. Writes figures.json (`pipelines.core.evaluation.Evaluation`), the
folder of pictures, the folder of the report and the reference that production is held against.
"""

import sys
from dataclasses import replace

import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from pipelines.core.appraising import Judged, appraised
from pipelines.core.baselines import baseline_holdout_figures, baseline_predictions
from pipelines.core.choices import choice, guard_rows
from pipelines.core.comparing import baseline_rows, metric_rows
from pipelines.core.evaluation import Evaluation, simplest_chosen
from pipelines.core.explained import numbers_of_baselines
from pipelines.core.four_phases import phases, simplest_not_worse
from pipelines.core.gallery import gallery
from pipelines.core.judging.chosen import chosen_figures
from pipelines.core.metrics import Metric, figures
from pipelines.core.model import Model, predict
from pipelines.core.model_figures import Holdout, ModelFigures, confusion, holdout_intervals
from pipelines.core.names import figure_text, lift_text
from pipelines.core.nesting import Rows
from pipelines.core.notes import notes
from pipelines.core.out_of_fold import Folded, folded, positive_chances
from pipelines.core.predictions import Predictions
from pipelines.core.references import Reference, reference_of
from pipelines.core.search_story import search_story
from pipelines.core.searched import search_summary, settings
from pipelines.core.truths import truth_of
from pipelines.core.window_fits import window_note
from pipelines.library.appraisal import bootstrap_of, costs_of, how_of
from pipelines.library.evaluated import Inputs, read_data_card, read_inputs
from pipelines.params import find_root, run_stage
from pipelines.production import Monitoring
from pipelines.sections import Data, FitSection, MetricSection, Paths, SearchSection, Split
from pipelines.sections import Evaluation as EvaluationSection
from pipelines.stores.metrics import metrics_of
from pipelines.stores.references import save_reference
from pipelines.stores.reports import write_report

Metrics = tuple[Metric, ...]


def run(  # noqa: PLR0913
    *,
    paths: Paths,
    data: Data,
    split: Split,
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
        If the metric does not serve the task, or costs name a class that there is not.
    """
    inputs = read_inputs(paths)
    schema = inputs.model.schema
    metrics = metrics_of(metric, schema.task, find_root(paths.model))
    costs, holdout = costs_of(evaluation, schema.classes), _holdout(inputs, metrics)
    found = _evaluation(inputs, holdout, metrics=metrics, section=evaluation)
    found = replace(
        _with_phases(found, inputs, metric=metrics[0]),
        purpose=evaluation.purpose,
        not_for=evaluation.not_for,
        data=(read_data_card(inputs, paths, data=data, split=split),),
        guards=guard_rows(metric.guards, metrics, figures=chosen_figures(found)),
    )
    found = appraised(
        found,
        Judged(inputs.model, inputs.holdout, holdout.truth, holdout.model),
        metrics[0],
        how=how_of(evaluation),
        training=inputs.learned,
        learned=positive_chances(inputs.unseen),
        costs=costs,
    )
    if evaluation.nested:
        found = _with_nested(found, inputs, metrics=metrics, search=search, fit=fit)
    found = replace(found, notes=(*_choice_notes(inputs, found), *notes(found, schema)))
    pictures = gallery(found, holdout.truth, predictions=holdout.model, costs=costs)
    write_report(found, pictures, figures=paths.figures, plots=paths.plots, report=paths.report)
    save_reference(paths.reference, _reference(inputs, found, metrics=metrics, section=monitoring))
    sys.stdout.write(_summary(found))


def _holdout(inputs: Inputs, metrics: Metrics) -> Holdout:
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


def _evaluation(
    inputs: Inputs, holdout: Holdout, *, metrics: Metrics, section: EvaluationSection
) -> Evaluation:
    schema, optimised, draws = inputs.model.schema, metrics[0], bootstrap_of(section)
    over = _folded(inputs, metrics, confidence=section.confidence)
    model = _model_figures(inputs, holdout, metrics=metrics, over=over, section=section)
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
        n_training=len(inputs.learned),
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
        folds_of=over.of,
    )


def _folded(inputs: Inputs, metrics: Metrics, *, confidence: float) -> Folded:
    return folded(
        inputs.model,
        inputs.trials,
        metrics,
        origin=inputs.origin,
        unseen=inputs.unseen,
        folds=inputs.folds,
        confidence=confidence,
    )


def _model_figures(
    inputs: Inputs,
    holdout: Holdout,
    *,
    metrics: Metrics,
    over: Folded,
    section: EvaluationSection,
) -> ModelFigures:
    learned = truth_of(inputs.learned, inputs.model.schema)
    return ModelFigures(
        holdout=figures(metrics, holdout.truth, holdout.model),
        intervals=holdout_intervals(metrics, holdout, bootstrap=bootstrap_of(section)),
        training=figures(metrics, learned, _said(inputs.model, inputs.learned)),
        folds=over.figures,
        member=over.member,
    )


def _with_phases(found: Evaluation, inputs: Inputs, *, metric: Metric) -> Evaluation:
    known = phases(
        inputs.trials,
        inputs.baselines,
        metric,
        folds=inputs.folds,
        origin=inputs.origin,
        values=numbers_of_baselines(inputs.simplest, inputs.rule),
        confidence=found.confidence,
    )
    enough = simplest_not_worse(known, metric, folds=inputs.folds, confidence=found.confidence)
    story = search_story(inputs.trials, inputs.header, origin=inputs.origin)
    return replace(found, phases=known, enough=enough, story=(story,))


def _with_nested(
    found: Evaluation,
    inputs: Inputs,
    *,
    metrics: Metrics,
    search: SearchSection,
    fit: FitSection,
) -> Evaluation:
    from pipelines.library.nested import nested  # the libraries of a search take a second to import

    rows = Rows(inputs.training, inputs.model.schema, inputs.folds, metrics)
    return replace(found, nested=nested(rows, search=search, fit=fit))


def _choice_notes(inputs: Inputs, found: Evaluation) -> tuple[str, ...]:
    return () if inputs.choice is None else (window_note(inputs.choice, found.metric),)


def _reference(
    inputs: Inputs, found: Evaluation, *, metrics: Metrics, section: Monitoring
) -> Reference:
    simplest = simplest_chosen(found)
    model = inputs.model if simplest is None else inputs.simplest[simplest]
    learned = inputs.training[inputs.training["row_key"].isin(model.row_keys)]
    with threadpool_limits(1):  # its many small fits would spend their time waiting for threads
        return reference_of(
            model,
            training=learned,
            holdout=inputs.holdout,
            metrics=metrics,
            importance={each.column: each.loss for each in found.importance},
            slices=section.slices,
            window_days=section.window_days,
        )


def _summary(found: Evaluation) -> str:
    row = found.metrics[0]
    beside = f", lift {lift_text(row.lift)} over {row.baseline}" if row.baseline else ""
    return (
        f"{row.name} {figure_text(row.holdout)} on the hold-out{beside}; chosen: {found.chosen}\n"
    )


if __name__ == "__main__":
    raise SystemExit(run_stage(run))
