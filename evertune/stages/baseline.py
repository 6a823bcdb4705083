"""The library's half of the stage `baseline`: what a model must beat, on the same folds.

Reads the training rows, folds and schema; `pipelines/baseline.py` writes the folder of baselines.

The baselines are random guesses, a constant, a one-column rule or the user's expression, given
predictions of people or of an existing system where the table has them, and a linear model and a
small tree with default values.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from time import perf_counter

import pandas as pd

from evertune.config.custom_metrics import load_metrics
from evertune.config.loader import find_root
from evertune.config.schema import BaselineSection, MetricSection, PathsSection
from evertune.data.folds import folds_from_table
from evertune.data.schema import TableSchema, encode_predictions, encode_target, fit_weights
from evertune.errors import ParamsError, StageError
from evertune.evaluation.baselines import (
    SIMPLEST_FAMILIES,
    BaselineKind,
    BaselineResult,
    expected_guess_metrics,
    zero_rule,
)
from evertune.evaluation.heuristics import (
    Rule,
    best_rule,
    describe_rule,
    expression_rule,
    rule_predictions,
)
from evertune.files import read_record, read_table
from evertune.metrics.metrics import compute_metrics, mean_metrics, prediction_mask
from evertune.models.families import can_keep_monotone, default_configuration, fit_configuration
from evertune.models.fitted_model import FittedPipeline, Model, predict
from evertune.trials import FoldResult, MetricValues
from evertune.types import FloatArray, Predictions

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
Scorer = Callable[[pd.DataFrame, FloatArray], MetricValues]  # from validation rows to metrics
Learner = Callable[[pd.DataFrame, FloatArray], Scorer]  # from training rows


class BaselineMeasurement:
    """Learns each baseline on the training part of every fold and scores the validation part.

    Raises
    ------
    ParamsError
        A metric or the heuristic does not suit the table.
    StageError
        A simplest model cannot be fitted.
    """

    def __init__(
        self, paths: PathsSection, metric: MetricSection, section: BaselineSection
    ) -> None:
        self.section = section
        self.table = read_table(paths.training)
        self.schema = read_record(paths.table_schema, TableSchema)
        self.y_true = encode_target(self.table, self.schema)
        self.folds = folds_from_table(read_table(paths.folds))
        self.metrics = load_metrics(metric, self.schema.task, find_root(paths.training))
        self.optimised = self.metrics[0]
        self.n_classes = len(self.schema.classes)
        linear = "ridge" if self.schema.task == "regression" else "logistic_regression"
        self.simplest_models = (linear, "small_tree")

    def results(self, rule: Rule) -> Iterator[BaselineResult]:
        """Yield the result of each baseline; `rule` is the heuristic of all training rows."""
        for name, description in (CLASS_GUESSES if self.n_classes else VALUE_GUESSES).items():
            yield self._measure(name, "none", description, partial(self._learn_guess, name))
        value = float(self._constant(self.y_true, n_rows=1).values[0])
        shown = self.schema.classes[int(value)] if self.n_classes else f"{value:.4g}"
        yield self._measure("zero_rule", "none", f"always {shown}", self._learn_constant)
        description = describe_rule(rule, self.schema)
        yield self._measure("heuristic", "none", description, self._learn_rule)
        for name, column in {"human": self.schema.human, "existing": self.schema.existing}.items():
            if column is not None:
                given = prediction_mask(encode_predictions(self.table[column], self.schema))
                description = (
                    f"column {column}, which answers {given.sum()} of {given.size} training rows"
                )
                yield self._measure(
                    name, "given", description, partial(self._learn_nothing, column)
                )
        if self.section.human_figure is not None:
            mean: MetricValues = {metric.name: None for metric in self.metrics}
            mean |= {self.optimised.name: self.section.human_figure}
            description = "what people achieve, by baseline.human_figure"
            yield BaselineResult("human_stated", "given", description, (), mean, 0.0, 0.0)
        for name in self.simplest_models:
            learn = partial(self._learn_model, name)
            yield self._measure(name, "model", MODEL_DESCRIPTIONS[name], learn)

    def fit_rule(self, table: pd.DataFrame, y: FloatArray) -> Rule:
        """Return the best rule for some rows, or the user's expression fitted to them."""
        heuristic = self.section.heuristic
        if heuristic == "auto":
            return best_rule(table, y, schema=self.schema, metric=self.optimised)
        try:
            return expression_rule(heuristic, table, y, schema=self.schema, metric=self.optimised)
        except ValueError as error:
            raise ParamsError(f"baseline.heuristic: {error}") from error

    def fit_model(self, name: str, table: pd.DataFrame, y: FloatArray) -> FittedPipeline:
        """Return one of the simplest models, fitted on some rows."""
        configuration, schema = default_configuration(SIMPLEST_FAMILIES[name]), self.schema
        if not can_keep_monotone(configuration.family, schema):  # it is only compared then
            free = tuple(replace(column, monotone=None) for column in schema.features)
            schema = replace(schema, features=free)
        try:
            return fit_configuration(
                configuration,
                table,
                y,
                schema=schema,
                seed=self.section.seed,
                n_jobs=1,
                weights=fit_weights(table, schema),
            )
        except ValueError as error:
            raise StageError(
                f"The simplest model {configuration.family!r} cannot be fitted on {len(table)} "
                f"rows: {error}"
            ) from error

    def final_models(self) -> Iterator[tuple[str, Model]]:
        """Yield the names of the simplest models, and these fitted on all training rows."""
        keys = tuple(self.table["row_key"])
        for name in self.simplest_models:
            fitted = self.fit_model(name, self.table, self.y_true)
            configuration = default_configuration(SIMPLEST_FAMILIES[name])
            yield name, Model(self.schema, configuration, fitted, keys)

    def describe(self, results: Sequence[BaselineResult]) -> str:
        """Return the mean of each baseline in the optimised metric, as lines of text."""
        metric = self.optimised.name
        means = {result.name: result.mean[metric] for result in results}
        return "".join(
            f"{name} {metric} {'undefined' if mean is None else f'{mean:.4f}'}\n"
            for name, mean in means.items()
        )

    def _measure(
        self, name: str, kind: BaselineKind, description: str, learn: Learner
    ) -> BaselineResult:
        results = []
        for number, fold in enumerate(self.folds):
            started = perf_counter()
            score = learn(self.table.iloc[fold.training], self.y_true[fold.training])
            learned = perf_counter()
            values = score(self.table.iloc[fold.validation], self.y_true[fold.validation])
            results.append(FoldResult(number, values, learned - started, perf_counter() - learned))
        return BaselineResult(
            name=name,
            kind=kind,
            description=description,
            folds=tuple(results),
            mean=mean_metrics(result.figures for result in results),
            fit_seconds=sum(result.fit_seconds for result in results),
            predict_seconds=sum(result.predict_seconds for result in results),
        )

    def _constant(self, y: FloatArray, *, n_rows: int) -> Predictions:
        return zero_rule(y, n_rows=n_rows, optimised=self.optimised.name, n_classes=self.n_classes)

    def _learn_guess(self, name: str, _: pd.DataFrame, y: FloatArray) -> Scorer:
        return lambda _, y_true: expected_guess_metrics(
            name, self.metrics, y_true, y_training=y, n_classes=self.n_classes
        )

    def _learn_constant(self, _: pd.DataFrame, y: FloatArray) -> Scorer:
        return lambda table, y_true: compute_metrics(
            self.metrics, y_true, self._constant(y, n_rows=len(table))
        )

    def _learn_rule(self, table: pd.DataFrame, y: FloatArray) -> Scorer:
        rule = self.fit_rule(table, y)
        return lambda table, y_true: compute_metrics(
            self.metrics, y_true, rule_predictions(rule, table, self.schema)
        )

    def _learn_nothing(self, column: str, _: pd.DataFrame, __: FloatArray) -> Scorer:
        return lambda table, y_true: compute_metrics(
            self.metrics, y_true, encode_predictions(table[column], self.schema)
        )

    def _learn_model(self, name: str, table: pd.DataFrame, y: FloatArray) -> Scorer:
        fitted = self.fit_model(name, table, y)
        return lambda table, y_true: compute_metrics(
            self.metrics, y_true, predict(fitted, table, self.schema)
        )
