"""Stage `evaluate`: compare the model with all baselines on the hold-out, write the report.

Reads the source, the clean table and the plan; the model, the baselines, the trials and their
pool; training rows, hold-out and folds. Writes figures.json (the `Evaluation` record), the folder
of plots, the report and the reference that production is monitored against.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

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

LATEST_DATE = datetime.max  # a stage does not look at the clock


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
    """Write the metrics, the plots, the report and the reference of the model.

    Raises
    ------
    InputError
        If something that the stage reads is not there.
    ParamsError
        If the metric does not suit the task, or costs name a class that does not exist.
    """
    inputs = EvaluationInputs.read(paths)
    model, holdout, schema = inputs.model, inputs.holdout, inputs.model.schema
    metrics = load_metrics(metric, schema.task, find_root(paths.model))
    y_true, y_training = encode_target(holdout, schema), encode_target(inputs.training, schema)
    pred = predict(model.fitted, holdout, schema)
    result = evaluate(
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
            training_truth=y_training,
            optimised=metrics[0].name,
            rule=inputs.rule,
            models={
                name: predict(simple.fitted, holdout, simple.schema)
                for name, simple in inputs.simplest.items()
            },
        ),
        expected=expected_baseline_metrics(
            metrics, y_true, training_truth=y_training, n_classes=len(schema.classes)
        ),
        training=inputs.window_rows,
        folds=evaluate_on_folds(
            model,
            inputs.trials,
            metrics,
            origin=inputs.origin,
            oof=inputs.oof,
            folds=inputs.folds,
            confidence=evaluation.confidence,
        ),
        out_of_fold=positive_class_probabilities(inputs.oof),
        guards=metric.guards,
    )
    result = replace(
        _with_phases(result, inputs, metric=metrics[0]),
        search=summarize_search(inputs.trials, greater_is_better=metrics[0].greater_is_better),
        data=(_data_card(inputs, paths, data=data, split=split),),
    )
    if evaluation.nested:
        from evertune.fitting.tune import (
            nested_cross_validation,  # the libraries of a search take a second to import
        )

        rows = CrossValidationData(inputs.training, schema, inputs.folds, metrics)
        result = replace(result, nested=nested_cross_validation(rows, search=search, fit=fit))
    notes = () if inputs.choice is None else (window_note(inputs.choice, result.metric),)
    result = replace(result, notes=(*notes, *evaluation_notes(result, schema)))
    costs = misclassification_costs(evaluation.costs, schema.classes)
    plots = evaluation_plots(result, y_true, pred, costs=costs)
    write_report(result, plots, figures=paths.figures, plots=paths.plots, report=paths.report)
    reference = _build_reference(inputs, result, metrics=metrics, section=monitoring)
    save_reference(paths.reference, reference)
    row = result.metrics[0]
    lift = f", lift {format_lift(row.lift)} over {row.baseline}" if row.baseline else ""
    score = f"{row.name} {format_score(row.holdout)}"
    sys.stdout.write(f"{score} on the hold-out{lift}; chosen: {result.chosen}\n")


@dataclass(frozen=True, eq=False)
class EvaluationInputs:
    """What the earlier stages wrote; tables are clean.

    Attributes
    ----------
    window_rows : DataFrame
        The training rows in the window that the model was fitted on.
    oof : OOFPredictions, optional
        What the selected trials together predict for rows that their fold models did not see.
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
    window_rows: pd.DataFrame
    holdout: pd.DataFrame
    folds: tuple[Fold, ...]
    oof: OOFPredictions | None

    @classmethod
    def read(cls, paths: PathsSection) -> "EvaluationInputs":
        """Read the files of the earlier stages."""
        model, origin = load_model(paths.model), load_model_origin(paths.model)
        training, oof = read_table(paths.training), None
        weights = {} if origin is None else {each.number: each.weight for each in origin.weights}
        if origin is not None and weights and origin.made_of in ("ensemble", "trial"):
            entries = read_entries(paths.pool, weights, models=False)
            y_true = encode_target(training, model.schema)
            oof = model_oof_predictions(model.fitted, entries, weights, truth=y_true)
        folders = sorted((paths.baselines / "models").iterdir())
        return cls(
            model=model,
            origin=origin,
            choice=load_window_choice(paths.model),
            simplest={folder.name: load_model(folder) for folder in folders},
            rule=read_record(paths.baselines / "rule.json", Rule),
            baselines=read_record(paths.baselines / "baselines.json", tuple[BaselineResult, ...]),
            header=read_header(paths.trials),
            trials=read_trials(paths.trials),
            training=training,
            window_rows=training[training["row_key"].isin(model.row_keys)],
            holdout=read_table(paths.holdout),
            folds=folds_from_table(read_table(paths.folds)),
            oof=oof,
        )


def _data_card(
    inputs: EvaluationInputs, paths: PathsSection, *, data: DataSection, split: SplitSection
) -> DataCard:
    """Return what the model's data are, with what was left out of the source."""
    raw, clean, schema = read_table(paths.source), read_table(paths.clean), inputs.model.schema
    declared = spec_from_params(data, raw)
    excluded = {name: "named in data.ignore" for name in data.ignore if name in raw}
    excluded |= find_unusable_columns(raw, declared)
    prepared = PreparedTable(clean, schema, excluded, int(raw[schema.target].isna().sum()))
    judge_from = read_record(paths.plan, Plan).judge_from
    return build_data_card(
        inputs.window_rows,
        inputs.holdout,
        schema,
        holdout_kind=describe_holdout(
            schema, fraction=split.holdout_fraction, judge_from=judge_from
        ),
        excluded=excluded,
        suspicious=data_warnings(raw, prepared, declared, today=LATEST_DATE),
    )


def _with_phases(result: Evaluation, inputs: EvaluationInputs, *, metric: Metric) -> Evaluation:
    phases = compare_phases(
        inputs.trials,
        inputs.baselines,
        metric,
        folds=inputs.folds,
        origin=inputs.origin,
        values=count_baseline_parameters(inputs.simplest, inputs.rule),
        confidence=result.confidence,
    )
    enough = simplest_sufficient_phase(
        phases, metric, folds=inputs.folds, confidence=result.confidence
    )
    story = build_search_report(inputs.trials, inputs.header, origin=inputs.origin)
    return replace(result, phases=phases, enough=enough, story=(story,))


def _build_reference(
    inputs: EvaluationInputs,
    result: Evaluation,
    *,
    metrics: tuple[Metric, ...],
    section: MonitoringSection,
) -> Reference:
    """Return the reference of the model, or of the simpler one where that is as good."""
    simplest = chosen_simple_model(result)
    model = inputs.model if simplest is None else inputs.simplest[simplest]
    with threadpool_limits(1):  # its many small fits would spend their time waiting for threads
        return build_reference(
            model,
            training=inputs.training[inputs.training["row_key"].isin(model.row_keys)],
            holdout=inputs.holdout,
            metrics=metrics,
            importance={each.column: each.loss for each in result.importance},
            slices=section.slices,
            window_days=section.window_days,
        )
