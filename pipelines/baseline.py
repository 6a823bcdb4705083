"""Measure what a model must beat, on the same folds.

Reads training rows, folds and schema. Writes the folder of baselines: baselines.json (their figures
on every fold), rule.json (the heuristic, learned on all training rows) and models/<name>/ (the two
simplest models, fitted on all training rows).
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import pandas as pd

from pipelines.core.baselines import SIMPLEST_FAMILIES, BaselineFigures, Kind, mean_figures
from pipelines.core.folds import Fold, folds_of
from pipelines.core.guesses import guess_figures, zero_rule
from pipelines.core.metrics import Metric, answered, figures
from pipelines.core.model import Fitted, Model, predict
from pipelines.core.predictions import Floats
from pipelines.core.rule_search import best_rule, expression_rule
from pipelines.core.rules import Rule, rule_predictions, rule_sentence
from pipelines.core.schema import Schema
from pipelines.core.trials import Configuration, Figures, FoldResult
from pipelines.core.truths import given_predictions, truth_of
from pipelines.errors import ParamsError, StageError
from pipelines.params import find_root, run_stage
from pipelines.sections import BaselineSection, MetricSection, Paths
from pipelines.stores.files import read_record, read_table, replaced_folder, write_record
from pipelines.stores.metrics import metrics_of
from pipelines.stores.models import save_model
from pipelines.tuning.families import default_configuration, fit_configuration

GUESSES_OF_CLASSES = {
    "uniform_random": "any class with the same chance",
    "label_distribution": "a class with the chance that is its share in training",
}
GUESSES_OF_VALUES = {
    "uniform_random": "any value in the range of training with the same chance",
    "label_distribution": "the target of a random training row",
}
MODELS = {
    "logistic_regression": "logistic regression with default values",
    "ridge": "ridge regression with default values",
    "small_tree": "a small decision tree with default values",
}
Answer = Callable[[pd.DataFrame, Floats], Figures]
Learn = Callable[[pd.DataFrame, Floats], Answer]


@dataclass(frozen=True, eq=False)
class Rows:
    """What every baseline is measured on.

    Attributes
    ----------
    table : DataFrame, n rows
        The training rows.
    truth : array of shape (n,)
    folds : tuple of Fold
    schema : Schema
    metrics : tuple of Metric
        The one that is optimised comes first.
    """

    table: pd.DataFrame
    truth: Floats
    folds: tuple[Fold, ...]
    schema: Schema
    metrics: tuple[Metric, ...]


def run(*, paths: Paths, metric: MetricSection, baseline: BaselineSection) -> None:
    """Write the baselines.

    Raises
    ------
    ParamsError
        If the metric or the heuristic does not suit the table.
    StageError
        If a simplest model cannot be fitted.
    """
    rows = _rows(paths, metric)
    rule = _rule(rows.table, rows.truth, rows=rows, heuristic=baseline.heuristic)
    found = tuple(_baselines(rows, baseline, rule=rule))
    with replaced_folder(paths.baselines) as folder:
        write_record(folder / "baselines.json", found)
        write_record(folder / "rule.json", rule)
        for name, model in _simplest_models(rows, baseline.seed):
            save_model(folder / "models" / name, model)
    sys.stdout.writelines(f"{line}\n" for line in _summary(found, rows.metrics[0]))


def _rows(paths: Paths, metric: MetricSection) -> Rows:
    table, schema = read_table(paths.training), read_record(paths.table_schema, Schema)
    return Rows(
        table=table,
        truth=truth_of(table, schema),
        folds=folds_of(read_table(paths.folds)),
        schema=schema,
        metrics=metrics_of(metric, schema.task, find_root(paths.training)),
    )


def _baselines(rows: Rows, section: BaselineSection, *, rule: Rule) -> Iterator[BaselineFigures]:
    guesses = GUESSES_OF_CLASSES if rows.schema.classes else GUESSES_OF_VALUES
    for name, says in guesses.items():
        yield _measured(rows, name, learn=partial(_learn_guess, rows, name), says=says)
    constant = partial(_learn_constant, rows)
    yield _measured(rows, "zero_rule", learn=constant, says=_constant_in_words(rows))
    heuristic = partial(_learn_rule, rows, section.heuristic)
    yield _measured(rows, "heuristic", learn=heuristic, says=rule_sentence(rule, rows.schema))
    yield from _given(rows, section.human_figure)
    for name, configuration in _simplest(rows.schema).items():
        learn = partial(_learn_model, rows, configuration, section.seed)
        yield _measured(rows, name, learn=learn, says=MODELS[name], kind="model")


def _given(rows: Rows, human_figure: float | None) -> Iterator[BaselineFigures]:
    columns = {"human": rows.schema.human, "existing": rows.schema.existing}
    for name, column in columns.items():
        if column is not None:
            said = answered(given_predictions(rows.table[column], rows.schema))
            says = f"column {column}, which answers {said.sum()} of {said.size} training rows"
            learn = partial(_learn_given, rows, column)
            yield _measured(rows, name, learn=learn, kind="given", says=says)
    if human_figure is not None:
        unknown: Figures = {metric.name: None for metric in rows.metrics}
        stated = unknown | {rows.metrics[0].name: human_figure}
        says = "what people reach, by baseline.human_figure"
        yield BaselineFigures("human_stated", "given", says, (), stated, 0.0, 0.0)


def _measured(
    rows: Rows, name: str, *, learn: Learn, says: str, kind: Kind = "none"
) -> BaselineFigures:
    results = tuple(
        _fold_result(rows, number, fold, learn=learn) for number, fold in enumerate(rows.folds)
    )
    return BaselineFigures(
        name=name,
        kind=kind,
        description=says,
        folds=results,
        mean=mean_figures(results),
        fit_seconds=sum(result.fit_seconds for result in results),
        predict_seconds=sum(result.predict_seconds for result in results),
    )


def _fold_result(rows: Rows, number: int, fold: Fold, *, learn: Learn) -> FoldResult:
    training, validation = rows.table.iloc[fold.training], rows.table.iloc[fold.validation]
    started = perf_counter()
    answer = learn(training, rows.truth[fold.training])
    learned = perf_counter()
    found = answer(validation, rows.truth[fold.validation])
    return FoldResult(number, found, learned - started, perf_counter() - learned)


def _learn_guess(rows: Rows, name: str, _: pd.DataFrame, truth: Floats) -> Answer:
    n_classes = len(rows.schema.classes)
    return lambda _, actual: guess_figures(
        name, rows.metrics, actual, training_truth=truth, n_classes=n_classes
    )


def _learn_constant(rows: Rows, _: pd.DataFrame, truth: Floats) -> Answer:
    optimised, n_classes = rows.metrics[0].name, len(rows.schema.classes)
    return lambda table, actual: figures(
        rows.metrics,
        actual,
        zero_rule(truth, n_rows=len(table), optimised=optimised, n_classes=n_classes),
    )


def _learn_rule(rows: Rows, heuristic: str, table: pd.DataFrame, truth: Floats) -> Answer:
    rule = _rule(table, truth, rows=rows, heuristic=heuristic)
    return lambda table, actual: figures(
        rows.metrics, actual, rule_predictions(rule, table, rows.schema)
    )


def _learn_given(rows: Rows, column: str, _: pd.DataFrame, __: Floats) -> Answer:
    return lambda table, actual: figures(
        rows.metrics, actual, given_predictions(table[column], rows.schema)
    )


def _learn_model(
    rows: Rows, configuration: Configuration, seed: int, table: pd.DataFrame, truth: Floats
) -> Answer:
    fitted = _fitted(configuration, table, truth, schema=rows.schema, seed=seed)
    return lambda table, actual: figures(rows.metrics, actual, predict(fitted, table, rows.schema))


def _rule(table: pd.DataFrame, truth: Floats, *, rows: Rows, heuristic: str) -> Rule:
    optimised = rows.metrics[0]
    if heuristic == "auto":
        return best_rule(table, truth, schema=rows.schema, metric=optimised)
    try:
        return expression_rule(heuristic, table, truth, schema=rows.schema, metric=optimised)
    except ValueError as error:
        raise ParamsError(f"baseline.heuristic: {error}") from error


def _simplest(schema: Schema) -> dict[str, Configuration]:
    linear = "ridge" if schema.task == "regression" else "logistic_regression"
    names = (linear, "small_tree")
    return {name: default_configuration(SIMPLEST_FAMILIES[name]) for name in names}


def _simplest_models(rows: Rows, seed: int) -> Iterator[tuple[str, Model]]:
    keys = tuple(rows.table["row_key"])
    for name, configuration in _simplest(rows.schema).items():
        fitted = _fitted(configuration, rows.table, rows.truth, schema=rows.schema, seed=seed)
        yield name, Model(rows.schema, configuration, fitted, keys)


def _fitted(
    configuration: Configuration, table: pd.DataFrame, truth: Floats, *, schema: Schema, seed: int
) -> Fitted:
    try:
        return fit_configuration(configuration, table, truth, schema=schema, seed=seed, n_jobs=1)
    except ValueError as error:
        raise StageError(
            f"The simplest model {configuration.family!r} cannot be fitted on {len(table)} rows: "
            f"{error}"
        ) from error


def _constant_in_words(rows: Rows) -> str:
    said = zero_rule(
        rows.truth, n_rows=1, optimised=rows.metrics[0].name, n_classes=len(rows.schema.classes)
    )
    value = float(said.values[0])
    return f"always {rows.schema.classes[int(value)] if rows.schema.classes else f'{value:.4g}'}"


def _summary(found: Sequence[BaselineFigures], optimised: Metric) -> list[str]:
    return [
        f"{baseline.name} {optimised.name} {'undefined' if figure is None else f'{figure:.4f}'}"
        for baseline in found
        for figure in [baseline.mean[optimised.name]]
    ]


if __name__ == "__main__":
    raise SystemExit(run_stage(run))
