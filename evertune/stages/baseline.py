"""Stage `baseline`: measure what a model must beat, on the same folds.

Reads the training rows, folds and schema. Writes the folder of baselines: baselines.json (their
metrics on every fold), rule.json (the heuristic, learned on all training rows) and
models/<name>/ (the two simplest models, fitted on all training rows). The baselines are random
guesses, a constant, a one-column rule or the user's expression, given predictions of people or
of an existing system where the table has them, and a linear model and a small tree with default
values.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import pandas as pd

from evertune.config.custom_metrics import load_metrics
from evertune.config.loader import find_root
from evertune.config.schema import BaselineSection, MetricSection, PathsSection
from evertune.data.folds import Fold, folds_from_table
from evertune.data.schema import TableSchema, encode_predictions, encode_target
from evertune.errors import ParamsError, StageError
from evertune.evaluation.baselines import (
    SIMPLEST_FAMILIES,
    BaselineKind,
    BaselineResult,
    expected_guess_metrics,
    mean_fold_metrics,
    zero_rule,
)
from evertune.evaluation.heuristics import (
    Rule,
    best_rule,
    describe_rule,
    expression_rule,
    rule_predictions,
)
from evertune.files import atomic_folder, read_record, read_table, write_record
from evertune.metrics.metrics import Metric, compute_metrics, prediction_mask
from evertune.models.families import default_configuration, fit_configuration
from evertune.models.fitted_model import FittedPipeline, Model, predict
from evertune.models.persistence import save_model
from evertune.trials import Configuration, FoldResult, MetricValues
from evertune.types import FloatArray

CLASS_GUESSES = {
    "uniform_random": "any class with the same chance",
    "label_distribution": "a class with the chance that is its share in training",
}
VALUE_GUESSES = {
    "uniform_random": "any value in the range of training with the same chance",
    "label_distribution": "the target of a random training row",
}
MODEL_DESCRIPTIONS = {
    "logistic_regression": "logistic regression with default values",
    "ridge": "ridge regression with default values",
    "small_tree": "a small decision tree with default values",
}
Evaluator = Callable[[pd.DataFrame, FloatArray], MetricValues]
Learner = Callable[[pd.DataFrame, FloatArray], Evaluator]


@dataclass(frozen=True, eq=False)
class BaselineInputs:
    """What every baseline is measured on.

    Attributes
    ----------
    table : DataFrame, n rows
        The training rows.
    metrics : tuple of Metric
        The one that is optimised comes first.
    """

    table: pd.DataFrame
    truth: FloatArray
    folds: tuple[Fold, ...]
    schema: TableSchema
    metrics: tuple[Metric, ...]


def run(*, paths: PathsSection, metric: MetricSection, baseline: BaselineSection) -> None:
    """Write the baselines.

    Raises
    ------
    ParamsError
        If the metric or the heuristic does not suit the table.
    StageError
        If a simplest model cannot be fitted.
    """
    rows = _read_baseline_inputs(paths, metric)
    rule = _fit_heuristic(rows.table, rows.truth, rows=rows, heuristic=baseline.heuristic)
    found = tuple(_measure_baselines(rows, baseline, rule=rule))
    with atomic_folder(paths.baselines) as folder:
        write_record(folder / "baselines.json", found)
        write_record(folder / "rule.json", rule)
        for name, model in _simplest_models(rows, baseline.seed):
            save_model(folder / "models" / name, model)
    sys.stdout.writelines(f"{line}\n" for line in _summary_lines(found, rows.metrics[0]))


def _read_baseline_inputs(paths: PathsSection, metric: MetricSection) -> BaselineInputs:
    table, schema = read_table(paths.training), read_record(paths.table_schema, TableSchema)
    return BaselineInputs(
        table=table,
        truth=encode_target(table, schema),
        folds=folds_from_table(read_table(paths.folds)),
        schema=schema,
        metrics=load_metrics(metric, schema.task, find_root(paths.training)),
    )


def _measure_baselines(
    rows: BaselineInputs, section: BaselineSection, *, rule: Rule
) -> Iterator[BaselineResult]:
    guesses = CLASS_GUESSES if rows.schema.classes else VALUE_GUESSES
    for name, says in guesses.items():
        yield _measure_baseline(rows, name, learn=partial(_learn_guess, rows, name), says=says)
    constant = partial(_learn_constant, rows)
    yield _measure_baseline(rows, "zero_rule", learn=constant, says=_describe_constant(rows))
    heuristic = partial(_learn_rule, rows, section.heuristic)
    yield _measure_baseline(
        rows, "heuristic", learn=heuristic, says=describe_rule(rule, rows.schema)
    )
    yield from _measure_given(rows, section.human_figure)
    for name, configuration in _simplest_configurations(rows.schema).items():
        learn = partial(_learn_model, rows, configuration, section.seed)
        yield _measure_baseline(
            rows, name, learn=learn, says=MODEL_DESCRIPTIONS[name], kind="model"
        )


def _measure_given(rows: BaselineInputs, human_figure: float | None) -> Iterator[BaselineResult]:
    columns = {"human": rows.schema.human, "existing": rows.schema.existing}
    for name, column in columns.items():
        if column is not None:
            said = prediction_mask(encode_predictions(rows.table[column], rows.schema))
            says = f"column {column}, which answers {said.sum()} of {said.size} training rows"
            learn = partial(_learn_given, rows, column)
            yield _measure_baseline(rows, name, learn=learn, kind="given", says=says)
    if human_figure is not None:
        unknown: MetricValues = {metric.name: None for metric in rows.metrics}
        stated = unknown | {rows.metrics[0].name: human_figure}
        says = "what people reach, by baseline.human_figure"
        yield BaselineResult("human_stated", "given", says, (), stated, 0.0, 0.0)


def _measure_baseline(
    rows: BaselineInputs, name: str, *, learn: Learner, says: str, kind: BaselineKind = "none"
) -> BaselineResult:
    results = tuple(
        _fold_result(rows, number, fold, learn=learn) for number, fold in enumerate(rows.folds)
    )
    return BaselineResult(
        name=name,
        kind=kind,
        description=says,
        folds=results,
        mean=mean_fold_metrics(results),
        fit_seconds=sum(result.fit_seconds for result in results),
        predict_seconds=sum(result.predict_seconds for result in results),
    )


def _fold_result(rows: BaselineInputs, number: int, fold: Fold, *, learn: Learner) -> FoldResult:
    training, validation = rows.table.iloc[fold.training], rows.table.iloc[fold.validation]
    started = perf_counter()
    answer = learn(training, rows.truth[fold.training])
    learned = perf_counter()
    found = answer(validation, rows.truth[fold.validation])
    return FoldResult(number, found, learned - started, perf_counter() - learned)


def _learn_guess(rows: BaselineInputs, name: str, _: pd.DataFrame, truth: FloatArray) -> Evaluator:
    n_classes = len(rows.schema.classes)
    return lambda _, actual: expected_guess_metrics(
        name, rows.metrics, actual, training_truth=truth, n_classes=n_classes
    )


def _learn_constant(rows: BaselineInputs, _: pd.DataFrame, truth: FloatArray) -> Evaluator:
    optimised, n_classes = rows.metrics[0].name, len(rows.schema.classes)
    return lambda table, actual: compute_metrics(
        rows.metrics,
        actual,
        zero_rule(truth, n_rows=len(table), optimised=optimised, n_classes=n_classes),
    )


def _learn_rule(
    rows: BaselineInputs, heuristic: str, table: pd.DataFrame, truth: FloatArray
) -> Evaluator:
    rule = _fit_heuristic(table, truth, rows=rows, heuristic=heuristic)
    return lambda table, actual: compute_metrics(
        rows.metrics, actual, rule_predictions(rule, table, rows.schema)
    )


def _learn_given(rows: BaselineInputs, column: str, _: pd.DataFrame, __: FloatArray) -> Evaluator:
    return lambda table, actual: compute_metrics(
        rows.metrics, actual, encode_predictions(table[column], rows.schema)
    )


def _learn_model(
    rows: BaselineInputs,
    configuration: Configuration,
    seed: int,
    table: pd.DataFrame,
    truth: FloatArray,
) -> Evaluator:
    fitted = _fit_or_raise(configuration, table, truth, schema=rows.schema, seed=seed)
    return lambda table, actual: compute_metrics(
        rows.metrics, actual, predict(fitted, table, rows.schema)
    )


def _fit_heuristic(
    table: pd.DataFrame, truth: FloatArray, *, rows: BaselineInputs, heuristic: str
) -> Rule:
    optimised = rows.metrics[0]
    if heuristic == "auto":
        return best_rule(table, truth, schema=rows.schema, metric=optimised)
    try:
        return expression_rule(heuristic, table, truth, schema=rows.schema, metric=optimised)
    except ValueError as error:
        raise ParamsError(f"baseline.heuristic: {error}") from error


def _simplest_configurations(schema: TableSchema) -> dict[str, Configuration]:
    linear = "ridge" if schema.task == "regression" else "logistic_regression"
    names = (linear, "small_tree")
    return {name: default_configuration(SIMPLEST_FAMILIES[name]) for name in names}


def _simplest_models(rows: BaselineInputs, seed: int) -> Iterator[tuple[str, Model]]:
    keys = tuple(rows.table["row_key"])
    for name, configuration in _simplest_configurations(rows.schema).items():
        fitted = _fit_or_raise(configuration, rows.table, rows.truth, schema=rows.schema, seed=seed)
        yield name, Model(rows.schema, configuration, fitted, keys)


def _fit_or_raise(
    configuration: Configuration,
    table: pd.DataFrame,
    truth: FloatArray,
    *,
    schema: TableSchema,
    seed: int,
) -> FittedPipeline:
    try:
        return fit_configuration(configuration, table, truth, schema=schema, seed=seed, n_jobs=1)
    except ValueError as error:
        raise StageError(
            f"The simplest model {configuration.family!r} cannot be fitted on {len(table)} rows: "
            f"{error}"
        ) from error


def _describe_constant(rows: BaselineInputs) -> str:
    said = zero_rule(
        rows.truth, n_rows=1, optimised=rows.metrics[0].name, n_classes=len(rows.schema.classes)
    )
    value = float(said.values[0])
    return f"always {rows.schema.classes[int(value)] if rows.schema.classes else f'{value:.4g}'}"


def _summary_lines(found: Sequence[BaselineResult], optimised: Metric) -> list[str]:
    return [
        f"{baseline.name} {optimised.name} {'undefined' if figure is None else f'{figure:.4f}'}"
        for baseline in found
        for figure in [baseline.mean[optimised.name]]
    ]
