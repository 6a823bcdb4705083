"""Optuna's studies in the words of a space."""

import warnings
from collections.abc import Sequence

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState, create_trial

from pipelines.core.metrics import Metric
from pipelines.core.trials import Configuration, Trial, Value
from pipelines.tuning.parameters import Choice, Float, Parameter, Space
from pipelines.tuning.spaces import named, sampled, searched_values
from pipelines.tuning.strategies import signed

STARTUP_TRIALS = 10  # before TPE has seen so many, it draws at random


def new_study(kind: str, seed: int, *, startup_trials: int = STARTUP_TRIALS) -> optuna.Study:
    """Return a study that maximises, with the sampler of a searcher: `tpe`, else random."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = _sampler(kind, seed, startup_trials)
    return optuna.create_study(sampler=sampler, direction="maximize")


def proposed(asked: optuna.Trial, searched: Space) -> Configuration:
    """Return the configuration that a study proposes."""
    family = asked.suggest_categorical("family", list(searched))

    def draw(name: str, parameter: Parameter) -> Value:
        return _value(asked, f"{family}.{name}", parameter)

    return Configuration(family, sampled(searched[family], draw))


def remember(study: optuna.Study, trial: Trial, *, searched: Space, metric: Metric) -> None:
    """Tell a study of a trial that it did not ask for, as the nearest point of its space."""
    family, complete = trial.configuration.family, trial.status == "complete"
    if trial.score is None or trial.status == "failed" or family not in searched:
        return
    point = Configuration(family, searched_values(trial.configuration, searched))
    score = signed(trial.score, metric)
    past = create_trial(
        params=dict(named(point)),
        distributions=_distributions(point, searched),
        state=TrialState.COMPLETE if complete else TrialState.PRUNED,
        value=score if complete else None,
        intermediate_values={} if complete else {len(trial.folds): score},
    )
    study.add_trial(past)


def tell(study: optuna.Study, asked: optuna.Trial, trial: Trial | None, metric: Metric) -> None:
    """Tell a study how its proposal went: a stopped trial was pruned, a failed one is no news."""
    if trial is None or trial.status == "failed" or trial.score is None:
        study.tell(asked, state=TrialState.FAIL)
    elif trial.status == "stopped":
        asked.report(signed(trial.score, metric), len(trial.folds))
        study.tell(asked, state=TrialState.PRUNED)
    else:
        study.tell(asked, signed(trial.score, metric))


def enqueue(study: optuna.Study, points: Sequence[Configuration]) -> None:
    """Have a study propose these points first."""
    for point in points:
        study.enqueue_trial(dict(named(point)))


def _sampler(kind: str, seed: int, startup_trials: int) -> BaseSampler:
    if kind != "tpe":
        return RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # group=True
        return TPESampler(
            multivariate=True,
            group=True,
            constant_liar=True,
            n_startup_trials=startup_trials,
            seed=seed,
        )


def _value(asked: optuna.Trial, name: str, parameter: Parameter) -> Value:
    drawn: Value
    if isinstance(parameter, Choice):
        drawn = asked.suggest_categorical(name, list(parameter.values))
    elif isinstance(parameter, Float):
        drawn = asked.suggest_float(name, parameter.low, parameter.high, log=parameter.log)
    else:
        drawn = asked.suggest_int(name, parameter.low, parameter.high, log=parameter.log)
    return drawn


def _distributions(point: Configuration, searched: Space) -> dict[str, BaseDistribution]:
    parameters = searched[point.family]
    own = {
        f"{point.family}.{name}": _distribution(parameters[name]) for name in point.hyperparameters
    }
    return {"family": CategoricalDistribution(list(searched))} | own


def _distribution(parameter: Parameter) -> BaseDistribution:
    if isinstance(parameter, Choice):
        return CategoricalDistribution(list(parameter.values))
    kind = FloatDistribution if isinstance(parameter, Float) else IntDistribution
    return kind(parameter.low, parameter.high, log=parameter.log)
