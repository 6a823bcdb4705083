"""Explain a search: which hyperparameters mattered, from its trials. Nothing here draws or writes.

`explain_search` gives the importance of the choice of the family and of each hyperparameter, over
all families and within each. It is Optuna's PED-ANOVA (Watanabe et al., 2023; with conditions as
Arase et al., 2026, extend it): how differently a parameter is distributed in the best trials and in
all of them. Since some difference is always there, each importance stands beside what shuffled
scores give (`chance`): only what is above it says something.

`search_study` and `family_study` rebuild an Optuna study from trials, in the metric's own unit: one
over all families, whose parameters are called `family.parameter`, and one of a family alone.
"""

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState

from evertune.metrics.metrics import Metric
from evertune.search.samplers.optuna_samplers import add_past_trial, new_optuna_study
from evertune.search.space import Choice, Float, Integer, Parameter, Space
from evertune.search.summary import MIN_EXPLAINED_TRIALS
from evertune.trials import ParameterValue, Trial

T = TypeVar("T")
TARGET_SHARE = 0.1  # of the trials count as the best ones, but not fewer than
MIN_TARGET_TRIALS = 5
N_SHUFFLES = 20
MAX_JUDGED = 15  # parameters that are compared with chance; each costs 40 density estimates
CHANCE_QUANTILE = 0.95
FAMILY = "family"


@dataclass(frozen=True)
class ParameterImportance:
    """How much a parameter matters for being among the best trials.

    Attributes
    ----------
    share : float
        Of the importances of all parameters beside it, which add up to 1.
    chance : float, optional
        What its importance stays below in 95 % of shuffles of the scores, in the same unit; None
        for the parameters after the first fifteen.
    """

    name: str
    share: float
    chance: float | None

    @property
    def is_above_chance(self) -> bool:
        """Whether the importance is more than shuffled scores give."""
        return self.chance is not None and self.share > self.chance


@dataclass(frozen=True)
class Importances:
    """The parameters of a family, or of all families, the most important first.

    Attributes
    ----------
    family : str, optional
        None: over all families, where `family` is a parameter and the others are called
        `family.parameter`.
    trials, best_trials : int
        Trials on all folds, and how many of them count as the best.
    """

    family: str | None
    trials: int
    best_trials: int
    parameters: tuple[ParameterImportance, ...]


@dataclass(frozen=True)
class SearchExplanation:
    """Which hyperparameters mattered in a search.

    Attributes
    ----------
    overall : Importances, optional
        None if there are too few trials, or only one family.
    families : tuple of Importances
        Of families with enough trials, the one with the best trial first.
    too_few : dict of str to int
        The other families, with their number of trials on all folds.
    """

    metric: str
    greater_is_better: bool
    overall: Importances | None
    families: tuple[Importances, ...]
    too_few: dict[str, int]


def explain_search(
    trials: Sequence[Trial],
    space: Space,
    metric: Metric,
    *,
    max_families: int | None = None,
    seed: int = 0,
) -> SearchExplanation:
    """Return the importance of the family and of each hyperparameter.

    Parameters
    ----------
    space : mapping from family to parameters
        That was searched; trials of other families are left out, and values outside of a range
        widen it.
    metric : Metric
        That the scores are in.
    max_families : int, optional
        Of the families with enough trials, so many with the best trials; by default all.
    seed : int
        Of the shuffled scores.
    """
    study = search_study(trials, space, metric)
    scored = [
        trial for trial in trials if _is_scored(trial) and trial.configuration.family in space
    ]
    counts = Counter(trial.configuration.family for trial in scored)
    sign = 1.0 if metric.greater_is_better else -1.0
    best = dict.fromkeys(counts, -np.inf)
    for trial in scored:
        family = trial.configuration.family
        best[family] = max(best[family], sign * float(trial.score or 0.0))
    enough = [family for family, count in counts.items() if count >= MIN_EXPLAINED_TRIALS]
    has_choice = len(counts) > 1 and len(scored) >= MIN_EXPLAINED_TRIALS
    return SearchExplanation(
        metric=metric.name,
        greater_is_better=metric.greater_is_better,
        overall=_importances(study, None, seed=seed) if has_choice else None,
        families=tuple(
            _importances(family_study(study, family), family, seed=seed)
            for family in sorted(enough, key=lambda each: -best[each])[:max_families]
        ),
        too_few={family: count for family, count in counts.items() if family not in enough},
    )


def search_study(
    trials: Sequence[Trial],
    space: Space,
    metric: Metric,
    *,
    storage: optuna.storages.BaseStorage | None = None,
    name: str | None = None,
    started: datetime | None = None,
) -> optuna.Study:
    """Return an Optuna study over all families, rebuilt from trials.

    Parameters
    ----------
    storage : BaseStorage, optional
        Of Optuna; by default the study is in memory.
    started : datetime, optional
        When the search began, for the times of trials; by default they have that of this call.
    """
    study = _new_study(metric.greater_is_better, storage, name, metric.name)
    known = [trial for trial in trials if trial.configuration.family in space]
    wide = widen_space(space, known)
    points = new_optuna_study("random", 0)
    for trial in known:
        add_past_trial(
            points, replace(trial, status="complete", score=0.0), space=wide, metric=metric
        )
    began = started or datetime.now()
    study.add_trials(
        [
            _rebuilt_trial(trial, point, started=began)
            for trial, point in zip(known, points.get_trials(deepcopy=False), strict=True)
        ]
    )
    return study


def family_study(
    study: optuna.Study,
    family: str,
    *,
    storage: optuna.storages.BaseStorage | None = None,
    name: str | None = None,
) -> optuna.Study:
    """Return the part of a rebuilt study that is of one family; its parameters lose the prefix."""
    greater_is_better = study.direction == optuna.study.StudyDirection.MAXIMIZE
    metric_names = study.metric_names or [None]
    part = _new_study(greater_is_better, storage, name, metric_names[0])
    prefix = f"{family}."
    for trial in study.get_trials(deepcopy=False):
        if trial.params[FAMILY] == family:
            own = copy(trial)
            own.params = _without_prefix(trial.params, prefix)
            own.distributions = _without_prefix(trial.distributions, prefix)
            part.add_trial(own)
    return part


def widen_space(space: Space, trials: Iterable[Trial]) -> Space:
    """Return a space whose ranges also hold the values that trials have.

    Defaults of the portfolio and warm starts may lie outside of what was searched.

    Examples
    --------
    >>> from evertune.trials import Configuration
    >>> trial = Trial(0, Configuration("tree", {"max_depth": 40}), "complete", (), 1.0, None, 1.0)
    >>> widen_space({"tree": {"max_depth": Integer(2, 16)}}, [trial])
    {'tree': {'max_depth': Integer(low=2, high=40, log=False, when=None)}}
    """
    wide = {family: dict(parameters) for family, parameters in space.items()}
    for trial in trials:
        own = wide.get(trial.configuration.family, {})
        for name, value in trial.configuration.hyperparameters.items():
            if name in own:
                own[name] = _widen(own[name], value)
    return wide


def _widen(parameter: Parameter, value: ParameterValue) -> Parameter:
    if isinstance(parameter, Choice):
        known = value in parameter.values
        return parameter if known else replace(parameter, values=(*parameter.values, value))
    if value is None or isinstance(value, str) or (parameter.log and value <= 0):
        return parameter
    if isinstance(parameter, Integer):
        return replace(
            parameter, low=min(parameter.low, int(value)), high=max(parameter.high, int(value))
        )
    assert isinstance(parameter, Float)
    return replace(parameter, low=min(parameter.low, value), high=max(parameter.high, value))


def _is_scored(trial: Trial) -> bool:
    return trial.status == "complete" and trial.score is not None


def _new_study(
    greater_is_better: bool,
    storage: optuna.storages.BaseStorage | None,
    name: str | None,
    metric: str | None,
) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    direction = "maximize" if greater_is_better else "minimize"
    study = optuna.create_study(study_name=name, storage=storage, direction=direction)
    if metric is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([metric])
    return study


def _rebuilt_trial(trial: Trial, point: FrozenTrial, *, started: datetime) -> FrozenTrial:
    is_complete, is_stopped = _is_scored(trial), trial.status == "stopped"
    state = TrialState.COMPLETE if is_complete else TrialState.FAIL
    if is_stopped and trial.score is not None:
        state = TrialState.PRUNED
    scores = {} if trial.score is None else {len(trial.folds): trial.score}
    ended = started + timedelta(seconds=trial.elapsed_seconds)
    attributes = {"trial": trial.number, "phase": trial.phase, "status": trial.status}
    return FrozenTrial(
        number=-1,
        trial_id=-1,
        state=state,
        value=trial.score if is_complete else None,
        datetime_start=ended - timedelta(seconds=trial.seconds),
        datetime_complete=ended,
        params=point.params,
        distributions=point.distributions,
        user_attrs=attributes | ({"reason": trial.reason} if trial.reason else {}),
        system_attrs={},
        intermediate_values=scores if state == TrialState.PRUNED else {},
    )


def _without_prefix(values: Mapping[str, T], prefix: str) -> dict[str, T]:
    return {
        name.removeprefix(prefix): value
        for name, value in values.items()
        if name.startswith(prefix)
    }


def _importances(study: optuna.Study, family: str | None, *, seed: int) -> Importances:
    scored = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    share = min(1.0, max(TARGET_SHARE, MIN_TARGET_TRIALS / len(scored)))
    evaluator = PedAnovaImportanceEvaluator(target_quantile=share)
    names = sorted({name for trial in scored for name in trial.distributions})
    varied = [name for name in names if not _is_fixed(name, scored)]
    scores = {trial.number: float(trial.value or 0.0) for trial in scored}
    sign = -1.0 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1.0
    found = _raw_importances(evaluator, study, varied, scores, sign=sign)
    total = sum(found.values()) or 1.0
    ranked = sorted(varied, key=lambda name: (-found[name], name))
    judged = ranked[:MAX_JUDGED]
    if FAMILY in varied and FAMILY not in judged:
        judged.append(FAMILY)
    rng = np.random.default_rng(seed)
    shuffled = [
        _raw_importances(
            evaluator,
            study,
            judged,
            dict(zip(scores, rng.permutation(list(scores.values())).tolist(), strict=True)),
            sign=sign,
        )
        for _ in range(N_SHUFFLES if judged else 0)
    ]
    chance = {
        name: float(np.quantile([each[name] for each in shuffled], CHANCE_QUANTILE)) / total
        for name in judged
    }
    return Importances(
        family=family,
        trials=len(scored),
        best_trials=int(np.ceil(share * len(scored) - 1e-9)),
        parameters=tuple(
            ParameterImportance(name, found[name] / total, chance.get(name)) for name in ranked
        ),
    )


def _is_fixed(name: str, trials: Sequence[FrozenTrial]) -> bool:
    return len({trial.params[name] for trial in trials if name in trial.params}) < 2


def _raw_importances(
    evaluator: PedAnovaImportanceEvaluator,
    study: optuna.Study,
    names: list[str],
    scores: Mapping[int, float],
    *,
    sign: float,
) -> dict[str, float]:
    """Return the importances, not normalized, if trials had these scores; sign 1: minimized."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parameters that few trials have, and of `target`
        found = optuna.importance.get_param_importances(
            study,
            evaluator=evaluator,
            params=names,
            target=lambda trial: sign * scores[trial.number],
            normalize=False,
        )
    return {name: float(value) for name, value in found.items()}
