"""The library's half of the stage `evaluate`: the model in use beside all baselines.

`choose` takes the search's model, or a simple one where that is not clearly better; everything
after it is of the chosen model, which is the one that is registered. Reads what the earlier stages
wrote (`EvaluationInputs.read`), the source, the clean table and the plan; `pipelines/evaluate.py`
writes the metrics, the plots, the report and the reference that production is monitored against.
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
from evertune.ensemble.oof import OOFPredictions
from evertune.evaluation.baselines import (
    BaselineResult,
    baseline_predictions,
    expected_baseline_metrics,
)
from evertune.evaluation.data_card import DataCard, build_data_card, describe_holdout
from evertune.evaluation.evaluate import (
    FoldScores,
    ModelChoice,
    bootstrap_config,
    choose_model,
    compare_with_baselines,
    evaluate,
    evaluate_on_folds,
    model_oof_predictions,
    positive_class_probabilities,
    simplest_on_folds,
)
from evertune.evaluation.evaluation_record import Evaluation, SearchedModel
from evertune.evaluation.formatting import format_score, humanize, metric_name
from evertune.evaluation.heuristics import Rule
from evertune.evaluation.model_card import evaluation_notes
from evertune.evaluation.monotone import check_monotone
from evertune.evaluation.nested import CrossValidationData, NestedResult
from evertune.evaluation.phases import (
    compare_phases,
    count_baseline_parameters,
    simplest_sufficient_phase,
)
from evertune.evaluation.unseen_values import describe_unseen_values
from evertune.files import read_record, read_table
from evertune.fitting.choose_window import window_note
from evertune.metrics.metrics import Metric, compute_metrics
from evertune.models.families import can_keep_monotone
from evertune.models.fitted_model import Model, predict
from evertune.models.persistence import load_model, load_model_origin, load_window_choice
from evertune.models.provenance import ModelOrigin, WindowChoice, is_baseline
from evertune.monitoring.reference import Reference, build_reference
from evertune.plan import Plan
from evertune.search.summary import build_search_report, summarize_search
from evertune.search.trial_log import read_entries, read_header, read_trials
from evertune.stats.results import Estimate
from evertune.trials import SearchHeader, Trial
from evertune.types import FloatArray, Predictions

Metrics = tuple[Metric, ...]
LATEST_DATE = datetime.max  # a stage does not look at the clock


@dataclass(frozen=True, eq=False)
class EvaluationInputs:
    """What the earlier stages wrote; tables are clean.

    Attributes
    ----------
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
            holdout=read_table(paths.holdout),
            folds=folds_from_table(read_table(paths.folds)),
            oof=oof,
        )

    def training_rows(self, model: Model) -> pd.DataFrame:
        """Return the training rows that a model was fitted on."""
        return self.training[self.training["row_key"].isin(model.row_keys)]


@dataclass(frozen=True, eq=False)
class ChosenModel:
    """The model in use, and what it predicts for the hold-out.

    Attributes
    ----------
    choice : ModelChoice
        Which one it is, and why.
    y_true : array of shape (n,)
        The targets of the hold-out.
    predictions : Predictions
        Of these n rows.
    simplest : mapping of str to Predictions
        Those of each simple model.
    """

    model: Model
    choice: ModelChoice
    y_true: FloatArray
    predictions: Predictions
    simplest: Mapping[str, Predictions]


def choose(
    inputs: EvaluationInputs, metrics: Metrics, *, section: EvaluationSection
) -> ChosenModel:
    """Return the search's model, or the best simple one if that is not clearly worse.

    Parameters
    ----------
    metrics : tuple of Metric
        The one that is optimised comes first.
    """
    holdout, y_true = inputs.holdout, encode_target(inputs.holdout, inputs.model.schema)
    searched = predict(inputs.model.fitted, holdout, inputs.model.schema)
    simplest = {
        name: predict(model.fitted, holdout, model.schema)
        for name, model in inputs.simplest.items()
    }
    rivals = {
        name: simplest[name]
        for name, model in inputs.simplest.items()
        if can_keep_monotone(model.configuration.family, inputs.model.schema)
    }
    _, rows = compare_with_baselines(
        metrics[:1],
        y_true,
        searched,
        baselines=[each for each in inputs.baselines if each.name in rivals],
        baseline_predictions=rivals,
        expected={},
        bootstrap=bootstrap_config(section),
    )
    finished = inputs.origin is None or not is_baseline(inputs.origin)
    chosen, reasons = choose_model(
        metrics[0], rows, confidence=section.confidence, finished=finished
    )
    choice = ModelChoice(chosen, reasons)
    name = choice.simplest
    if name is None:
        return ChosenModel(inputs.model, choice, y_true, searched, simplest)
    row = next(row for row in rows if row.name == name)
    beside = SearchedModel(
        family=inputs.model.configuration.family,
        members=1 if inputs.origin is None else max(len(inputs.origin.weights), 1),
        finished=finished,
        holdout=compute_metrics(metrics, y_true, searched),
        folds=_searched_on_folds(inputs, metrics, section)
        .scores.get(metrics[0].name, Estimate())
        .value,
        difference=row.lift,
        low=row.low,
        high=row.high,
    )
    choice = replace(choice, searched=beside)
    return ChosenModel(inputs.simplest[name], choice, y_true, simplest[name], simplest)


def evaluate_model(
    inputs: EvaluationInputs,
    chosen: ChosenModel,
    metrics: Metrics,
    *,
    section: EvaluationSection,
    guards: Mapping[str, float],
) -> Evaluation:
    """Return the metrics of the model in use, its baselines and the phases of the search.

    Parameters
    ----------
    metrics : tuple of Metric
        The one that is optimised comes first.
    guards : mapping of str to float
        Bounds on other metrics.
    """
    schema, name = inputs.model.schema, chosen.choice.simplest
    y_training = encode_target(inputs.training, schema)
    result = evaluate(
        chosen.model,
        inputs.holdout,
        chosen.y_true,
        chosen.predictions,
        metrics,
        section=section,
        baselines=inputs.baselines,
        baseline_predictions=baseline_predictions(
            inputs.holdout,
            schema,
            y_training=y_training,
            optimised=metrics[0].name,
            rule=inputs.rule,
            models=chosen.simplest,
        ),
        expected=expected_baseline_metrics(
            metrics, chosen.y_true, y_training=y_training, n_classes=len(schema.classes)
        ),
        training=inputs.training_rows(chosen.model),
        folds=_searched_on_folds(inputs, metrics, section)
        if name is None
        else simplest_on_folds(
            next(each for each in inputs.baselines if each.name == name),
            metrics,
            folds=inputs.folds,
            confidence=section.confidence,
        ),
        out_of_fold=positive_class_probabilities(inputs.oof) if name is None else None,
        guards=guards,
        choice=chosen.choice,
    )
    return replace(
        _with_phases(result, inputs, metric=metrics[0]),
        search=summarize_search(inputs.trials, greater_is_better=metrics[0].greater_is_better),
        monotone=check_monotone(chosen.model, inputs.holdout),
    )


def _searched_on_folds(
    inputs: EvaluationInputs, metrics: Metrics, section: EvaluationSection
) -> FoldScores:
    return evaluate_on_folds(
        inputs.model,
        inputs.trials,
        metrics,
        origin=inputs.origin,
        oof=inputs.oof,
        folds=inputs.folds,
        confidence=section.confidence,
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
    is_search_used = not result.searched
    window = (
        (window_note(inputs.choice, result.metric),) if inputs.choice and is_search_used else ()
    )
    return replace(result, notes=(*window, *evaluation_notes(result, inputs.model.schema)))


def summary_line(result: Evaluation) -> str:
    """Return the key metric of the model in use on the hold-out, and why it is used.

    The search's model, or the best simple one beside it, stands in the reason.
    """
    metric, row = metric_name(result.metric), result.metrics[0]
    simplest = result.chosen.partition(":")[2]
    model = humanize(simplest) if simplest else "the search's model"
    beside = ""
    for searched in result.searched:
        score = format_score(searched.holdout.get(result.metric))
        beside = f", the search's model {score}" if searched.finished else ""
    if not result.searched and row.baseline:
        beside = (
            f", the best baseline ({humanize(row.baseline)}) {format_score(row.baseline_holdout)}"
        )
    reasons = " ".join(result.reasons)
    return f"On the hold-out {model} has {metric} {format_score(row.holdout)}{beside}. {reasons}\n"


def read_data_card(
    inputs: EvaluationInputs,
    chosen: ChosenModel,
    paths: PathsSection,
    *,
    data: DataSection,
    split: SplitSection,
) -> DataCard:
    """Return what the data of the model in use are, with what was left out of the source."""
    raw, clean, schema = read_table(paths.source), read_table(paths.clean), inputs.model.schema
    declared = spec_from_params(data, raw)
    excluded = {name: "named in data.ignore" for name in data.ignore if name in raw}
    excluded |= find_unusable_columns(raw, declared)
    prepared = PreparedTable(clean, schema, excluded, int(raw[schema.target].isna().sum()))
    judge_from = read_record(paths.plan, Plan).judge_from
    training = inputs.training_rows(chosen.model)
    return build_data_card(
        training,
        inputs.holdout,
        schema,
        holdout_kind=describe_holdout(
            schema, fraction=split.holdout_fraction, judge_from=judge_from
        ),
        excluded=excluded,
        suspicious=(
            *describe_unseen_values(training, inputs.holdout, schema),
            *data_warnings(raw, prepared, declared, today=LATEST_DATE),
        ),
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
    chosen: ChosenModel,
    result: Evaluation,
    *,
    metrics: Metrics,
    section: MonitoringSection,
) -> Reference:
    """Return the reference of the model in use, that production is monitored against."""
    with threadpool_limits(1):  # its many small fits would spend their time waiting for threads
        return build_reference(
            chosen.model,
            training=inputs.training_rows(chosen.model),
            holdout=inputs.holdout,
            metrics=metrics,
            importance={each.column: each.loss for each in result.importance},
            slices=section.slices,
            window_days=section.window_days,
            timezone=section.timezone,
        )
