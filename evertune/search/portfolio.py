"""The default sampler: strong default configurations first, then the most useful families.

`PortfolioSampler` runs the cheapest default on all folds, so that a model exists early. Of every
other default it first evaluates one fold; those that fit into the budget then complete their
folds, the best first. The rest of the budget goes to new configurations of the families that have
weight in the ensemble so far: in turn a mutation of the family's best configuration and a TPE
proposal based on all known trials. If the budget is a number of trials, every default runs on all
folds.

`default_portfolio` lists the defaults for a table, in an order that depends on its size. Booster
values start from the tuned defaults of Holzmüller et al. (2024) and from the portfolio of TabRepo
(Salinas and Erickson 2024).
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import optuna

from evertune.models.families import FAMILIES
from evertune.search.objective import Job, Objective, maximized_mean_score, maximized_score
from evertune.search.samplers import (
    Sampler,
    add_past_trial,
    enqueue_configuration,
    mutate_configuration,
    new_optuna_study,
    search_space,
    suggest_configuration,
    tell_optuna,
)
from evertune.trials import Configuration, ParameterValue, Trial
from evertune.types import Task

if TYPE_CHECKING:
    from evertune.search.study import RunningTrial, SearchConfig, Study

CHEAP_SHARE = 0.02  # of the budget: what a configuration may cost and still be completed at once
START_SHARE = 0.5  # of the budget, after which no default is started
COMPLETION_SHARE = 0.8  # of the remaining worker time, that one default's other folds may take
LONG_FIT_SECONDS = 1.0  # a longer fit is a job of its own, so that workers share the folds
TIME_SAFETY_FACTOR = 1.3  # how much longer than the first fold the others may take
FAMILY_STARTUP_TRIALS = 4


class PortfolioSampler(Sampler):
    """Proposes jobs as the module describes; warm starts stand before the portfolio."""

    def __init__(
        self, objective: Objective, config: "SearchConfig", past_trials: Sequence[Trial]
    ) -> None:
        self._metric = objective.metrics[0]
        self._space = search_space(objective, config)
        self._rng = np.random.default_rng(config.seed + len(past_trials))
        schema = objective.schema
        defaults = default_portfolio(
            schema.task,
            n_rows=len(objective.table),
            n_features=len(schema.features),
            n_classes=len(schema.classes),
        )
        wanted = [point for point in defaults if point.family in config.families]
        seen = [trial.configuration for trial in past_trials]
        self._waiting: list[Configuration] = []
        for point in (*config.warm_starts, *wanted):
            if point not in seen:
                self._waiting.append(point)
                seen.append(point)
        self._studies: dict[str, optuna.Study] = {}
        self._asked: dict[int, tuple[str, optuna.Trial]] = {}
        self._exhausted = False

    @property
    def exhausted(self) -> bool:
        """Whether all defaults ended and no family is left: all failed, or are too slow."""
        return self._exhausted

    def ask(self, study: "Study", *, killable: bool) -> Job | None:
        """Return a default, more folds of one, or a new configuration."""
        job = self._next_job(study, killable=killable)
        if job is None and killable and not (self._waiting or study.is_waiting):
            self._exhausted = True
        return job

    def _next_job(self, study: "Study", *, killable: bool) -> Job | None:
        seconds = study.budget.seconds
        if seconds is None:
            first = self._start_default(study, killable=killable, n_folds=study.n_folds)
            return first or self._propose(study, killable=killable)
        remaining = study.workers * study.seconds_left()
        return (
            self._complete_default(study, max_seconds=CHEAP_SHARE * seconds)
            or self._start_default_in_time(study, killable=killable)
            or self._complete_default(study, max_seconds=COMPLETION_SHARE * remaining)
            or self._propose(study, killable=killable)
        )

    def tell(self, study: "Study", number: int, trial: Trial | None) -> None:  # noqa: ARG002
        """Pass the score on to the Optuna study of the family."""
        if number in self._asked:
            family, asked = self._asked.pop(number)
            tell_optuna(self._studies[family], asked, trial, self._metric)

    def _start_default_in_time(self, study: "Study", *, killable: bool) -> Job | None:
        if study.used_share() > START_SHARE:
            return None
        is_first = not (study.past_trials or study.trials or study.running)
        n_folds = study.n_folds if is_first else 1
        return self._start_default(study, killable=killable, n_folds=n_folds)

    def _start_default(self, study: "Study", *, killable: bool, n_folds: int) -> Job | None:
        for index, point in enumerate(self._waiting):
            if killable or not FAMILIES[point.family].ignores_deadline:
                del self._waiting[index]
                return study.new_job(point, "portfolio", n_folds=n_folds)
        return None

    def _complete_default(self, study: "Study", *, max_seconds: float) -> Job | None:
        """Return missing folds of the best started default that they fit in the time of."""
        fitting = [
            (number, trial, missing)
            for number, trial in study.running.items()
            if trial.outcomes and trial.phase == "portfolio"
            if (missing := self._missing_folds(trial, study.n_folds))
            if self._fold_seconds(trial) * len(missing) <= max_seconds
        ]
        if not fitting:
            return None
        number, best, folds = max(fitting, key=lambda each: self._rank(each[1]))
        if self._fold_seconds(best) > LONG_FIT_SECONDS:
            folds = folds[:1]
        return study.limit(Job(number, best.configuration, folds, best.phase, best.iterations))

    @staticmethod
    def _missing_folds(trial: "RunningTrial", n_folds: int) -> tuple[int, ...]:
        taken = {result.fold for result in trial.results} | trial.busy
        return tuple(fold for fold in range(n_folds) if fold not in taken)

    @staticmethod
    def _fold_seconds(trial: "RunningTrial") -> float:
        """Return what one more fold is expected to take at most."""
        return TIME_SAFETY_FACTOR * trial.seconds / len(trial.outcomes)

    def _rank(self, trial: "RunningTrial") -> float:
        score = maximized_mean_score(trial.results, self._metric)
        return -math.inf if score is None else score

    def _propose(self, study: "Study", *, killable: bool) -> Job | None:
        """Return a new configuration of the family that had the least time for its weight."""
        weights = study.family_weights()
        fitting = [
            family
            for family in weights
            if family in self._space
            and TIME_SAFETY_FACTOR * self._trial_cost(study, family) <= study.seconds_left()
            and (killable or not FAMILIES[family].ignores_deadline)
        ]
        if not fitting:
            return None
        family = max(fitting, key=lambda each: weights[each] / (1 + self._spent(study, each)))
        space = {family: self._space[family]}
        optuna_study = self._optuna_study(study, family)
        best = self._best_configuration(study, family)
        if best is not None and study.next_number % 2 == 0:
            enqueue_configuration(optuna_study, mutate_configuration(best, space, self._rng))
        asked = optuna_study.ask()
        job = study.new_job(suggest_configuration(asked, space), "search")
        self._asked[job.number] = (family, asked)
        return job

    def _spent(self, study: "Study", family: str) -> float:
        """Return the time of the family's trials, running ones included; or their number."""
        own = [trial for trial in study.all_trials if trial.configuration.family == family]
        n_running = sum(each == family for each, _ in self._asked.values())
        if not study.is_timed:
            return float(len(own) + n_running)
        return sum(map(_trial_seconds, own)) + n_running * self._trial_cost(study, family)

    @staticmethod
    def _trial_cost(study: "Study", family: str) -> float:
        """Return the mean time of the family's complete trials; 1 in a budget of trials."""
        if not study.is_timed:
            return 1.0
        times = [
            _trial_seconds(trial)
            for trial in study.all_trials
            if trial.configuration.family == family and trial.status == "complete"
        ]
        return sum(times) / len(times) if times else 0.0

    def _optuna_study(self, study: "Study", family: str) -> optuna.Study:
        if family not in self._studies:
            made = new_optuna_study("tpe", study.seed, startup_trials=FAMILY_STARTUP_TRIALS)
            for trial in study.all_trials:
                if trial.configuration.family == family:
                    space = {family: self._space[family]}
                    add_past_trial(made, trial, space=space, metric=self._metric)
            self._studies[family] = made
        return self._studies[family]

    def _best_configuration(self, study: "Study", family: str) -> Configuration | None:
        scored = [
            (maximized_score(trial.score, self._metric), trial.configuration)
            for trial in study.all_trials
            if trial.configuration.family == family
            and trial.status == "complete"
            and trial.score is not None
        ]
        return max(scored, key=lambda each: each[0])[1] if scored else None


def _trial_seconds(trial: Trial) -> float:
    return sum(fold.fit_seconds + fold.predict_seconds for fold in trial.folds)


FEW_ROWS, MANY_ROWS = 1_000, 50_000
MAX_KNN_ROWS = 20_000  # of training, beyond which neighbours take too long
MANY_CELLS = 10_000_000  # rows x columns x classes
SMALL_BATCH_ROWS = 4_000  # below which a network takes small batches

Hyperparameters = dict[str, ParameterValue]

CLASSIFICATION_PORTFOLIO: dict[str, tuple[str, Hyperparameters]] = {
    "lightgbm": (
        "lightgbm",
        {"learning_rate": 0.05, "num_leaves": 50, "min_data_in_leaf": 40, "feature_fraction": 1.0,
         "bagging_fraction": 0.75, "lambda_l1": 1e-4, "lambda_l2": 1e-4},
    ),
    "catboost": (
        "catboost",
        {"learning_rate": 0.08, "depth": 7, "l2_leaf_reg": 0.01, "random_strength": 0.8,
         "subsample": 0.9},
    ),
    "xgboost": (
        "xgboost",
        {"learning_rate": 0.08, "max_depth": 6, "min_child_weight": 1e-3, "subsample": 0.65,
         "colsample_bylevel": 0.9, "reg_lambda": 1e-4, "reg_alpha": 1e-4},
    ),
}  # fmt: skip
REGRESSION_PORTFOLIO: dict[str, tuple[str, Hyperparameters]] = {
    "lightgbm": (
        "lightgbm",
        {"learning_rate": 0.05, "num_leaves": 100, "min_data_in_leaf": 3, "feature_fraction": 1.0,
         "bagging_fraction": 0.7, "lambda_l1": 1e-4, "lambda_l2": 1e-4,
         "categorical_encoding": "one_hot"},
    ),
    "catboost": (
        "catboost",
        {"learning_rate": 0.06, "depth": 7, "l2_leaf_reg": 3.0, "random_strength": 1.0,
         "subsample": 0.8, "one_hot_max_size": 2},
    ),
    "xgboost": (
        "xgboost",
        {"learning_rate": 0.05, "max_depth": 9, "min_child_weight": 2.0, "subsample": 0.7,
         "colsample_bylevel": 1.0, "reg_lambda": 1e-4, "reg_alpha": 1e-4},
    ),
}  # fmt: skip
COMMON_PORTFOLIO: dict[str, tuple[str, Hyperparameters]] = {
    "linear": ("linear", {"numeric_transform": "power"}),
    "additive": ("linear", {"numeric_transform": "spline"}),
    "stumps": (
        "lightgbm",
        {"learning_rate": 0.15, "num_leaves": 2, "min_data_in_leaf": 17, "feature_fraction": 0.6,
         "bagging_fraction": 0.84},
    ),
    "random_splits": (
        "lightgbm",
        {"learning_rate": 0.1, "num_leaves": 64, "min_data_in_leaf": 28, "feature_fraction": 0.55,
         "bagging_fraction": 0.99, "lambda_l1": 0.9, "lambda_l2": 1.9, "extra_trees": True},
    ),
    "small_leaves": (
        "lightgbm",
        {"learning_rate": 0.08, "num_leaves": 8, "min_data_in_leaf": 15, "feature_fraction": 0.6,
         "bagging_fraction": 0.8, "lambda_l1": 0.1, "lambda_l2": 0.3},
    ),
    "hist_gradient_boosting": (
        "hist_gradient_boosting",
        {"learning_rate": 0.08, "max_leaf_nodes": 31, "min_samples_leaf": 20, "max_features": 0.7},
    ),
    "extra_trees": ("extra_trees", {"max_features": 1.0, "min_samples_leaf": 1}),
    "knn": ("knn", {"numeric_transform": "quantile"}),
    "random_forest": ("random_forest", {"max_features": 0.4, "min_samples_leaf": 4}),
    "network": ("mlp", {"numeric_transform": "spline", "learning_rate": 0.001}),
    "wide_network": (
        "mlp",
        {"numeric_transform": "spline", "layers": 1, "width": 256, "dropout": 0.2,
         "learning_rate": 0.002},
    ),
    "embeddings": ("embedding_mlp", {"numeric_transform": "spline"}),
    "shallow_catboost": (
        "catboost",
        {"learning_rate": 0.15, "depth": 4, "l2_leaf_reg": 4.6, "random_strength": 1.0},
    ),
}  # fmt: skip
PORTFOLIO_ORDER = (
    "linear", "lightgbm", "shallow_catboost", "small_leaves", "additive", "xgboost", "catboost",
    "stumps", "wide_network", "random_splits", "extra_trees", "hist_gradient_boosting",
    "random_forest", "knn", "network", "embeddings",
)  # fmt: skip
SMALL_TABLE_ORDER = (
    "linear", "shallow_catboost", "additive", "stumps", "wide_network", "extra_trees",
    "small_leaves", "catboost", "random_forest", "lightgbm", "random_splits", "xgboost",
    "knn", "network", "embeddings",
)  # fmt: skip
LARGE_TABLE_ORDER = (
    "linear", "lightgbm", "xgboost", "hist_gradient_boosting", "catboost", "stumps",
    "random_splits", "shallow_catboost", "extra_trees", "wide_network", "embeddings",
)  # fmt: skip


def default_portfolio(
    task: Task, n_rows: int, n_features: int, n_classes: int
) -> tuple[Configuration, ...]:
    """Return the configurations to try first, for a table of this size.

    `n_classes` is 0 in regression. Cheap ones come first, then those that are rarely in vain.
    """
    named = COMMON_PORTFOLIO | (
        REGRESSION_PORTFOLIO if task == "regression" else CLASSIFICATION_PORTFOLIO
    )
    large = n_rows > MANY_ROWS or n_rows * n_features * max(n_classes, 1) > MANY_CELLS
    order: tuple[str, ...] = LARGE_TABLE_ORDER if large else PORTFOLIO_ORDER
    if n_rows < FEW_ROWS:
        order = SMALL_TABLE_ORDER
    chosen = [named[name] for name in order if name != "knn" or n_rows <= MAX_KNN_ROWS]
    points = [Configuration(family, dict(values)) for family, values in chosen]
    return tuple(_adapt_to_table_size(point, n_rows, large=large) for point in points)


def _adapt_to_table_size(point: Configuration, n_rows: int, *, large: bool) -> Configuration:
    """Return a configuration with batch sizes and learning rates that suit the rows."""
    values = point.hyperparameters
    if point.family in ("mlp", "embedding_mlp"):
        size = 64 if n_rows < SMALL_BATCH_ROWS else 256
        return Configuration(point.family, values | {"batch_size": size})
    if large and point.family in ("catboost", "hist_gradient_boosting"):
        rounds = (
            {"max_iter": 400} if point.family == "hist_gradient_boosting" else {"n_estimators": 400}
        )
        return Configuration(point.family, values | rounds | {"learning_rate": 0.12})
    return point
