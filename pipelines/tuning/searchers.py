"""Where configurations come from: points that are given first, then Optuna, or a whole grid.

The searcher is ours, over Optuna's ask and tell, because Ray's own cannot be told of trials of an
earlier run in a space with conditions.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState, create_trial
from ray.tune.search import Searcher

from pipelines.core.metrics import Metric
from pipelines.core.trials import Configuration, Trial
from pipelines.tuning.spaces import Choice, Float, Parameter, Space, grid, named, nearest, space
from pipelines.tuning.strategies import History, Strategy, first_points, signed

OBJECTIVE = "objective"  # mean over the folds so far, turned so that more is better
STARTUP_TRIALS = 10  # before TPE has seen so many, it draws at random
SEARCHERS = ("tpe", "random", "grid", "given")


class PointSearcher(Searcher):  # type: ignore[misc]
    """Ray Tune's view of a search: given points first, then what a study samples.

    Parameters
    ----------
    study : optuna.Study
        Maximises the objective.
    searched : Space
    points : sequence of Configuration
        Suggested first, in this order.
    samples : bool
        Whether the study goes on when the points are used up.
    history : History
        Numbers go on from it; a trial with fewer folds than its own was stopped.
    n_trials : int, optional
        Trials to start at most.
    """

    def __init__(  # noqa: PLR0913
        self,
        study: optuna.Study,
        searched: Space,
        *,
        points: Sequence[Configuration],
        samples: bool,
        history: History,
        n_trials: int | None,
    ) -> None:
        super().__init__(metric=OBJECTIVE, mode="max")
        self._study, self._space = study, searched
        self._points, self._samples = list(points), samples
        self._left, self._n_folds = n_trials, history.n_folds
        self._number = 1 + max((trial.number for trial in history.finished), default=-1)
        self._asked: dict[str, optuna.Trial] = {}

    def suggest(self, trial_id: str) -> Any:
        """Return the next configuration with its number, or that there is none."""
        if self._left == 0 or not (self._points or self._samples):
            return Searcher.FINISHED
        if self._points:
            self._study.enqueue_trial(dict(named(self._points.pop(0))))
        asked = self._asked[trial_id] = self._study.ask()
        self._left = None if self._left is None else self._left - 1
        self._number += 1
        return suggestion(_sampled(asked, self._space), self._number - 1)

    def on_trial_complete(
        self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the study; a stopped trial counts as pruned, a failed one not at all."""
        asked, found = self._asked.pop(trial_id), result or {}
        if error or "reason" in found or OBJECTIVE not in found:
            self._study.tell(asked, state=TrialState.FAIL)
        elif found["training_iteration"] < self._n_folds:
            asked.report(found[OBJECTIVE], found["training_iteration"])
            self._study.tell(asked, state=TrialState.PRUNED)
        else:
            self._study.tell(asked, found[OBJECTIVE])

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the trials file is the only memory of a search."""


def searcher(strategy: Strategy, history: History, *, n_trials: int | None) -> PointSearcher:
    """Return a searcher that knows the trials that were finished before.

    Parameters
    ----------
    strategy : Strategy
        First points that were finished are not suggested again; values outside the space are
        moved to its edge.
    history : History
    n_trials : int, optional
        Trials still to start at most.

    Raises
    ------
    ValueError
        If there is no such searcher.
    """
    kind, searched = strategy.searcher, space(strategy.families)
    if kind not in SEARCHERS:
        raise ValueError(f"searcher must be one of {', '.join(SEARCHERS)}, but got {kind!r}.")
    study = _study(_sampler(kind, strategy.seed + len(history.finished)))
    for trial in history.finished:
        _remember(study, trial, searched=searched, metric=history.metric)
    return PointSearcher(
        study,
        searched,
        points=_points(strategy, searched, history=history),
        samples=kind in ("tpe", "random"),
        history=history,
        n_trials=n_trials,
    )


def suggestion(configuration: Configuration, number: int) -> dict[str, Any]:
    """Return a configuration as Tune carries it; `suggested` reads it back."""
    return {
        "number": number,
        "family": configuration.family,
        "hyperparameters": dict(configuration.hyperparameters),
    }


def suggested(config: Mapping[str, Any]) -> Configuration:
    """Return the configuration of a Tune trial."""
    return Configuration(config["family"], dict(config["hyperparameters"]))


def _study(sampler: BaseSampler) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(sampler=sampler, direction="maximize")


def _sampler(kind: str, seed: int) -> BaseSampler:
    if kind != "tpe":
        return RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # group=True
        return TPESampler(
            multivariate=True,
            group=True,
            constant_liar=True,
            n_startup_trials=STARTUP_TRIALS,
            seed=seed,
        )


def _points(strategy: Strategy, searched: Space, *, history: History) -> list[Configuration]:
    first = first_points(strategy)
    given = [point for raw in first if (point := nearest(raw, searched)) is not None]
    if strategy.searcher == "grid":
        combinations = grid(searched)
        order = np.random.default_rng(strategy.seed).permutation(len(combinations))
        given += [combinations[index] for index in order]
    done = [trial.configuration for trial in history.finished]
    return [point for index, point in enumerate(given) if point not in done + given[:index]]


def _sampled(asked: optuna.Trial, searched: Space) -> Configuration:
    family = asked.suggest_categorical("family", list(searched))
    values = {
        name: _value(asked, f"{family}.{name}", parameter)
        for name, parameter in searched[family].items()
    }
    return Configuration(family, values)


def _value(asked: optuna.Trial, name: str, parameter: Parameter) -> Any:
    if isinstance(parameter, Choice):
        return asked.suggest_categorical(name, list(parameter.values))
    if isinstance(parameter, Float):
        return asked.suggest_float(name, parameter.low, parameter.high, log=parameter.log)
    return asked.suggest_int(name, parameter.low, parameter.high, log=parameter.log)


def _remember(study: optuna.Study, trial: Trial, *, searched: Space, metric: Metric) -> None:
    point, complete = trial.configuration, trial.status == "complete"
    if trial.score is None or trial.status == "failed" or nearest(point, searched) != point:
        return
    score = signed(trial.score, metric)
    past = create_trial(
        params=dict(named(point)),
        distributions=_distributions(point.family, searched),
        state=TrialState.COMPLETE if complete else TrialState.PRUNED,
        value=score if complete else None,
        intermediate_values={} if complete else {len(trial.folds): score},
    )
    study.add_trial(past)


def _distributions(family: str, searched: Space) -> dict[str, BaseDistribution]:
    own = {f"{family}.{name}": _distribution(part) for name, part in searched[family].items()}
    return {"family": CategoricalDistribution(list(searched))} | own


def _distribution(parameter: Parameter) -> BaseDistribution:
    if isinstance(parameter, Choice):
        return CategoricalDistribution(list(parameter.values))
    kind = FloatDistribution if isinstance(parameter, Float) else IntDistribution
    return kind(parameter.low, parameter.high, log=parameter.log)
