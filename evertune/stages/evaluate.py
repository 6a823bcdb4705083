"""Stage `evaluate`: compare the model with all baselines on the hold-out, write the report.

Reads the source, the clean table and the plan; the model, the baselines, the trials and their
pool; training rows, hold-out and folds (`read_evaluation_inputs`). Writes figures.json (the
`Evaluation` record), the folder of plots, the report and the reference that production is
monitored against.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pandas as pd
from threadpoolctl import threadpool_limits

from evertune.config.custom_metrics import load_metrics
from evertune.config.loader import find_root
from evertune.config.schema import (
    DataSection,
    EvaluationSection,
    FitSection,
    MetricSection,
    MonitoringSection,
    PathsSection,
    SearchSection,
    SplitSection,
)
from evertune.data.folds import Fold, folds_from_table
from evertune.data.inference import find_unusable_columns
from evertune.data.profiling import data_warnings
from evertune.data.readers import spec_from_params
from evertune.data.schema import PreparedTable, encode_target
from evertune.ensemble.calibration import OOFPredictions
from evertune.evaluation.baselines import (
    BaselineResult,
    baseline_predictions,
    expected_baseline_metrics,
)
from evertune.evaluation.data_card import DataCard, build_data_card, describe_holdout
from evertune.evaluation.evaluate import (
    evaluate,
    evaluate_on_folds,
    model_oof_predictions,
    positive_class_probabilities,
)
from evertune.evaluation.evaluation_record import Evaluation, chosen_simple_model
from evertune.evaluation.formatting import format_lift, format_score
from evertune.evaluation.heuristics import Rule
from evertune.evaluation.model_card import evaluation_notes
from evertune.evaluation.nested import CrossValidationData
from evertune.evaluation.phases import (
    compare_phases,
    count_baseline_parameters,
    simplest_sufficient_phase,
)
from evertune.evaluation.plots import evaluation_plots
from evertune.evaluation.report import write_report
from evertune.evaluation.thresholds import misclassification_costs
from evertune.files import read_record, read_table
from evertune.fitting.choose_window import window_note
from evertune.metrics.metrics import Metric
from evertune.models.fitted_model import Model, predict
from evertune.models.origin import ModelOrigin, WindowChoice
from evertune.models.persistence import load_model, load_model_origin, load_window_choice
from evertune.monitoring.reference import Reference, build_reference, save_reference
from evertune.plan import Plan
from evertune.search.summary import build_search_report, summarize_search
from evertune.search.trial_log import read_entries, read_header, read_trials
from evertune.trials import SearchHeader, Trial
from evertune.types import FloatArray

LATEST_DATE = datetime.max  # a stage does not look at the clock


@dataclass(frozen=True, eq=False)
class EvaluationInputs:
    """What an evaluation is made of; tables are clean.

    Attributes
    ----------
    learned : DataFrame
        The training rows in the window that the model was fitted on.
    unseen : OOFPredictions, optional
        What the selected trials say together of rows that their fold models did not see.
    """

    model: Model
    origin: ModelOrigin | None
    choice: WindowChoice | None
    simplest: Mapping[str, Model]
    rule: Rule
    baselines: tuple[BaselineResult, ...]
    header: SearchHeader
    trials: tuple[Trial, ...]
    training: pd.DataFrame
    learned: pd.DataFrame
    holdout: pd.DataFrame
    folds: tuple[Fold, ...]
    unseen: OOFPredictions | None


def read_evaluation_inputs(paths: PathsSection) -> EvaluationInputs:
    """Return what the stages wrote."""
    folders = sorted((paths.baselines / "models").iterdir())
    model, origin = load_model(paths.model), load_model_origin(paths.model)
    training = read_table(paths.training)
    return EvaluationInputs(
        model=model,
        origin=origin,
        choice=load_window_choice(paths.model),
        simplest={folder.name: load_model(folder) for folder in folders},
        rule=read_record(paths.baselines / "rule.json", Rule),
        baselines=read_record(paths.baselines / "baselines.json", tuple[BaselineResult, ...]),
        header=read_header(paths.trials),
        trials=read_trials(paths.trials),
        training=training,
        learned=training[training["row_key"].isin(model.row_keys)],
        holdout=read_table(paths.holdout),
        folds=folds_from_table(read_table(paths.folds)),
        unseen=_read_oof_predictions(
            paths.pool, model, origin, truth=encode_target(training, model.schema)
        ),
    )


def read_data_card(
    inputs: EvaluationInputs, paths: PathsSection, *, data: DataSection, split: SplitSection
) -> DataCard:
    """Return what the model's data are, with what was left out of the source."""
    raw, clean, schema = read_table(paths.source), read_table(paths.clean), inputs.model.schema
    declared = spec_from_params(data, raw)
    excluded = {name: "named in data.ignore" for name in data.ignore if name in raw}
    excluded |= find_unusable_columns(raw, declared)
    shown = PreparedTable(clean, schema, excluded, int(raw[schema.target].isna().sum()))
    judge_from = read_record(paths.plan, Plan).judge_from
    kind = describe_holdout(schema, fraction=split.holdout_fraction, judge_from=judge_from)
    return build_data_card(
        inputs.learned,
        inputs.holdout,
        schema,
        holdout_kind=kind,
        excluded=excluded,
        suspicious=data_warnings(raw, shown, declared, today=LATEST_DATE),
    )


def _read_oof_predictions(
    pool: Path, model: Model, origin: ModelOrigin | None, *, truth: FloatArray
) -> OOFPredictions | None:
    weights = {} if origin is None else {each.number: each.weight for each in origin.weights}
    if not weights or (origin is not None and origin.made_of not in ("ensemble", "trial")):
        return None
    entries = read_entries(pool, weights, models=False)
    return model_oof_predictions(model.fitted, entries, weights, truth=truth)


Metrics = tuple[Metric, ...]


def run(
    *,
    paths: PathsSection,
    data: DataSection,
    split: SplitSection,
    metric: MetricSection,
    search: SearchSection,
    fit: FitSection,
    evaluation: EvaluationSection,
    monitoring: MonitoringSection,
) -> None:
    """Write the figures, the pictures, the report and the reference of the model.

    Raises
    ------
    InputError
        If something that the stage reads is not there.
    ParamsError
        If the metric does not serve the task, or costs name a class that there is not.
    """
    inputs = read_evaluation_inputs(paths)
    model, holdout, schema = inputs.model, inputs.holdout, inputs.model.schema
    metrics = load_metrics(metric, schema.task, find_root(paths.model))
    y_true, known = encode_target(holdout, schema), encode_target(inputs.training, schema)
    pred = predict(model.fitted, holdout, schema)
    found = evaluate(
        model,
        holdout,
        y_true,
        pred,
        metrics,
        section=evaluation,
        baselines=inputs.baselines,
        baseline_predictions=baseline_predictions(
            holdout,
            schema,
            training_truth=known,
            optimised=metrics[0].name,
            rule=inputs.rule,
            models={
                name: predict(simple.fitted, holdout, simple.schema)
                for name, simple in inputs.simplest.items()
            },
        ),
        expected=expected_baseline_metrics(
            metrics, y_true, training_truth=known, n_classes=len(schema.classes)
        ),
        training=inputs.learned,
        folds=evaluate_on_folds(
            model,
            inputs.trials,
            metrics,
            origin=inputs.origin,
            oof=inputs.unseen,
            folds=inputs.folds,
            confidence=evaluation.confidence,
        ),
        out_of_fold=positive_class_probabilities(inputs.unseen),
        guards=metric.guards,
    )
    found = replace(
        _with_phases(found, inputs, metric=metrics[0]),
        search=summarize_search(inputs.trials, greater_is_better=metrics[0].greater_is_better),
        data=(read_data_card(inputs, paths, data=data, split=split),),
    )
    if evaluation.nested:
        found = _with_nested(found, inputs, metrics=metrics, search=search, fit=fit)
    found = replace(found, notes=(*_window_notes(inputs, found), *evaluation_notes(found, schema)))
    costs = misclassification_costs(evaluation.costs, schema.classes)
    pictures = evaluation_plots(found, y_true, pred, costs=costs)
    write_report(found, pictures, figures=paths.figures, plots=paths.plots, report=paths.report)
    save_reference(
        paths.reference, _build_reference(inputs, found, metrics=metrics, section=monitoring)
    )
    sys.stdout.write(_summary_line(found))


def _with_phases(found: Evaluation, inputs: EvaluationInputs, *, metric: Metric) -> Evaluation:
    known = compare_phases(
        inputs.trials,
        inputs.baselines,
        metric,
        folds=inputs.folds,
        origin=inputs.origin,
        values=count_baseline_parameters(inputs.simplest, inputs.rule),
        confidence=found.confidence,
    )
    enough = simplest_sufficient_phase(
        known, metric, folds=inputs.folds, confidence=found.confidence
    )
    story = build_search_report(inputs.trials, inputs.header, origin=inputs.origin)
    return replace(found, phases=known, enough=enough, story=(story,))


def _with_nested(
    found: Evaluation,
    inputs: EvaluationInputs,
    *,
    metrics: Metrics,
    search: SearchSection,
    fit: FitSection,
) -> Evaluation:
    from evertune.fitting.tune import (
        nested_cross_validation,  # the libraries of a search take a second to import
    )

    rows = CrossValidationData(inputs.training, inputs.model.schema, inputs.folds, metrics)
    return replace(found, nested=nested_cross_validation(rows, search=search, fit=fit))


def _window_notes(inputs: EvaluationInputs, found: Evaluation) -> tuple[str, ...]:
    return () if inputs.choice is None else (window_note(inputs.choice, found.metric),)


def _build_reference(
    inputs: EvaluationInputs, found: Evaluation, *, metrics: Metrics, section: MonitoringSection
) -> Reference:
    simplest = chosen_simple_model(found)
    model = inputs.model if simplest is None else inputs.simplest[simplest]
    learned = inputs.training[inputs.training["row_key"].isin(model.row_keys)]
    with threadpool_limits(1):  # its many small fits would spend their time waiting for threads
        return build_reference(
            model,
            training=learned,
            holdout=inputs.holdout,
            metrics=metrics,
            importance={each.column: each.loss for each in found.importance},
            slices=section.slices,
            window_days=section.window_days,
        )


def _summary_line(found: Evaluation) -> str:
    row = found.metrics[0]
    beside = f", lift {format_lift(row.lift)} over {row.baseline}" if row.baseline else ""
    return (
        f"{row.name} {format_score(row.holdout)} on the hold-out{beside}; chosen: {found.chosen}\n"
    )
