"""The library's half of the stage `evaluate`: the model beside all baselines on the hold-out.

Reads what the earlier stages wrote (`EvaluationInputs.read`), the source, the clean table and the
plan; `pipelines/evaluate.py` writes the metrics, the plots, the report and the reference that
production is monitored against.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import pandas as pd
from threadpoolctl import threadpool_limits

from evertune.config.schema import (
    DataSection,
    EvaluationSection,
    FitSection,
    MonitoringSection,
    PathsSection,
    SearchSection,
    SplitSection,
)
from evertune.data.column_kinds import find_unusable_columns
from evertune.data.folds import Fold, folds_from_table
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
from evertune.evaluation.nested import CrossValidationData, NestedResult
from evertune.evaluation.phases import (
    compare_phases,
    count_baseline_parameters,
    simplest_sufficient_phase,
)
from evertune.files import read_record, read_table
from evertune.fitting.choose_window import window_note
from evertune.metrics.metrics import Metric
from evertune.models.fitted_model import Model, predict
from evertune.models.persistence import load_model, load_model_origin, load_window_choice
from evertune.models.provenance import ModelOrigin, WindowChoice
from evertune.monitoring.reference import Reference, build_reference
from evertune.plan import Plan
from evertune.search.summary import build_search_report, summarize_search
from evertune.search.trial_log import read_entries, read_header, read_trials
from evertune.trials import SearchHeader, Trial
from evertune.types import FloatArray, Predictions

Metrics = tuple[Metric, ...]
LATEST_DATE = datetime.max  # a stage does not look at the clock


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


def predict_holdout(inputs: EvaluationInputs) -> tuple[FloatArray, Predictions]:
    """Return the targets of the hold-out, shape (n,), and the model's predictions of them."""
    schema = inputs.model.schema
    y_true = encode_target(inputs.holdout, schema)
    return y_true, predict(inputs.model.fitted, inputs.holdout, schema)


def evaluate_model(
    inputs: EvaluationInputs,
    y_true: FloatArray,
    predicted: Predictions,
    metrics: Metrics,
    *,
    section: EvaluationSection,
    guards: Mapping[str, float],
) -> Evaluation:
    """Return the metrics of the model, its baselines and the phases of the search.

    Parameters
    ----------
    metrics : tuple of Metric
        The one that is optimised comes first.
    guards : mapping of str to float
        Bounds on other metrics.
    """
    model, schema = inputs.model, inputs.model.schema
    y_training = encode_target(inputs.training, schema)
    result = evaluate(
        model,
        inputs.holdout,
        y_true,
        predicted,
        metrics,
        section=section,
        baselines=inputs.baselines,
        baseline_predictions=baseline_predictions(
            inputs.holdout,
            schema,
            y_training=y_training,
            optimised=metrics[0].name,
            rule=inputs.rule,
            models={
                name: predict(simple.fitted, inputs.holdout, simple.schema)
                for name, simple in inputs.simplest.items()
            },
        ),
        expected=expected_baseline_metrics(
            metrics, y_true, y_training=y_training, n_classes=len(schema.classes)
        ),
        training=inputs.window_rows,
        folds=evaluate_on_folds(
            model,
            inputs.trials,
            metrics,
            origin=inputs.origin,
            oof=inputs.oof,
            folds=inputs.folds,
            confidence=section.confidence,
        ),
        out_of_fold=positive_class_probabilities(inputs.oof),
        guards=guards,
    )
    return replace(
        _with_phases(result, inputs, metric=metrics[0]),
        search=summarize_search(inputs.trials, greater_is_better=metrics[0].greater_is_better),
    )


def nested_evaluation(
    inputs: EvaluationInputs, metrics: Metrics, *, search: SearchSection, fit: FitSection
) -> NestedResult:
    """Return how well the whole search does on folds that it has not seen."""
    from evertune.fitting.tune import (
        nested_cross_validation,  # the libraries of a search take a second to import
    )

    rows = CrossValidationData(inputs.training, inputs.model.schema, inputs.folds, metrics)
    return nested_cross_validation(rows, search=search, fit=fit)


def add_notes(result: Evaluation, inputs: EvaluationInputs) -> Evaluation:
    """Return the evaluation with notes on what its reader has to know."""
    window = () if inputs.choice is None else (window_note(inputs.choice, result.metric),)
    return replace(result, notes=(*window, *evaluation_notes(result, inputs.model.schema)))


def summary_line(result: Evaluation) -> str:
    """Return the key metric on the hold-out, its lift, and which model was chosen."""
    row = result.metrics[0]
    lift = f", lift {format_lift(row.lift)} over {row.baseline}" if row.baseline else ""
    score = f"{row.name} {format_score(row.holdout)}"
    return f"{score} on the hold-out{lift}; chosen: {result.chosen}\n"


def read_data_card(
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


def production_reference(
    inputs: EvaluationInputs,
    result: Evaluation,
    *,
    metrics: Metrics,
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
            timezone=section.timezone,
        )
