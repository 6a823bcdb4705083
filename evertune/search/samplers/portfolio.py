"""The default sampler: strong defaults first, then what an ensemble gains from.

`mutate_configuration` takes a small step away from a good configuration: if only few trials fit
into the budget, that gains more than a model of the space.
"""

import math

import numpy as np
import optuna

from evertune.models.families import FAMILIES, default_configuration
from evertune.search.configurations import monotone_configuration
from evertune.search.objective import Job, maximized_mean_score, maximized_score
from evertune.search.portfolio import default_portfolio, expected_fold_seconds
from evertune.search.samplers.base import SearchProblem, mutate_configuration, new_points
from evertune.search.samplers.optuna_samplers import (
    add_past_trial,
    enqueue_configuration,
    new_optuna_study,
    suggest_configuration,
    tell_optuna,
)
from evertune.search.space import DEFAULT_SPACES
from evertune.search.study import RunningTrial, Sampler, Study
from evertune.trials import Configuration, Trial

CHEAP_SHARE = 0.02  # of the budget: what a configuration may cost and still be completed at once
START_SHARE = 0.5  # of the budget, after which no default is started
COMPLETION_SHARE = 0.8  # of the remaining worker time, that one default's other folds may take
LONG_FIT_SECONDS = 1.0  # a longer fit is a job of its own, so that workers share the folds
TIME_SAFETY_FACTOR = 1.3  # how much longer than the first fold the others may take
FAMILY_STARTUP_TRIALS = 4


class PortfolioSampler(Sampler):
    """Strong defaults first, then new configurations of the most useful families.

    The first default runs on all folds if that is cheap, so that a model exists early. Of every
    other default one fold is evaluated; those that fit into the budget then complete their folds,
    the most useful to the ensemble first. The rest of the budget goes to the families that have
    weight in the ensemble so far: in turn a mutation of the family's best configuration and a TPE
    proposal based on all known trials. If the budget is a number of trials, every default runs on
    all folds. Warm starts stand before the defaults.
    """

    def __init__(self, problem: SearchProblem) -> None:
        self._metric, self._space = problem.metric, problem.space
        self._rng = np.random.default_rng(problem.run_seed)
        schema = problem.objective.schema
        self._size = len(problem.objective.table), len(schema.features), len(schema.classes)
        defaults = default_portfolio(schema.task, *self._size)
        wanted = [point for point in defaults if point.family in self._space]
        if set(self._space) < set(DEFAULT_SPACES):  # who names a few families wants them all tried
            tried = {point.family for point in wanted}
            others = [family for family in self._space if family not in tried]
            wanted += [default_configuration(family) for family in others]
        if schema.is_monotone:
            wanted = [monotone_configuration(point) for point in wanted]
        first = (*problem.config.warm_starts, *wanted)
        self._waiting = new_points(first, problem.past_points)
        self._studies: dict[str, optuna.Study] = {}
        self._optuna_trials: dict[int, tuple[str, optuna.Trial]] = {}
        self._exhausted = False

    @property
    def exhausted(self) -> bool:
        """Whether all defaults ended and no family is left: all failed, or are too slow."""
        return self._exhausted

    def ask(self, study: Study, *, killable: bool) -> Job | None:
        """Return a default, more folds of one, or a new configuration."""
        job = self._next_job(study, killable=killable)
        if job is None and killable and not (self._waiting or study.is_waiting):
            self._exhausted = True
        return job

    def _next_job(self, study: Study, *, killable: bool) -> Job | None:
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

    def tell(self, study: Study, number: int, trial: Trial | None) -> None:  # noqa: ARG002
        """Pass the score on to the Optuna study of the family."""
        if number in self._optuna_trials:
            family, optuna_trial = self._optuna_trials.pop(number)
            tell_optuna(self._studies[family], optuna_trial, trial, self._metric)

    def _start_default_in_time(self, study: Study, *, killable: bool) -> Job | None:
        if study.used_share() > START_SHARE:
            return None
        n_folds = 1
        if self._waiting and not (study.past_trials or study.trials or study.running):
            seconds = study.budget.seconds or math.inf
            cost = study.n_folds * self._expected_seconds(self._waiting[0].family)
            n_folds = study.n_folds if cost <= CHEAP_SHARE * seconds else 1
        return self._start_default(study, killable=killable, n_folds=n_folds)

    def _expected_seconds(self, family: str) -> float:
        rows, features, classes = self._size
        return expected_fold_seconds(family, rows, features, classes)

    def _start_default(self, study: Study, *, killable: bool, n_folds: int) -> Job | None:
        for index, point in enumerate(self._waiting):
            if killable or not FAMILIES[point.family].ignores_deadline:
                del self._waiting[index]
                return study.new_job(point, "portfolio", n_folds=n_folds)
        return None

    def _complete_default(self, study: Study, *, max_seconds: float) -> Job | None:
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
        weights = study.trial_weights() if len(fitting) > 1 else {}
        number, best, folds = max(
            fitting, key=lambda each: (weights.get(each[0], 0.0), self._rank(each[1]))
        )
        if self._fold_seconds(best) > LONG_FIT_SECONDS:
            folds = folds[:1]
        return study.limit(Job(number, best.configuration, folds, best.phase, best.iterations))

    @staticmethod
    def _missing_folds(trial: RunningTrial, n_folds: int) -> tuple[int, ...]:
        taken = {result.fold for result in trial.results} | trial.busy
        return tuple(fold for fold in range(n_folds) if fold not in taken)

    @staticmethod
    def _fold_seconds(trial: RunningTrial) -> float:
        """Return what one more fold is expected to take at most."""
        return TIME_SAFETY_FACTOR * trial.seconds / len(trial.outcomes)

    def _rank(self, trial: RunningTrial) -> float:
        score = maximized_mean_score(trial.results, self._metric)
        return -math.inf if score is None else score

    def _propose(self, study: Study, *, killable: bool) -> Job | None:
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
        optuna_trial = optuna_study.ask()
        job = study.new_job(suggest_configuration(optuna_trial, space), "search")
        self._optuna_trials[job.number] = (family, optuna_trial)
        return job

    def _spent(self, study: Study, family: str) -> float:
        """Return the time of the family's trials, running ones included; or their number."""
        own = [trial for trial in study.all_trials if trial.configuration.family == family]
        n_running = sum(each == family for each, _ in self._optuna_trials.values())
        if not study.is_timed:
            return float(len(own) + n_running)
        return sum(trial.seconds for trial in own) + n_running * self._trial_cost(study, family)

    @staticmethod
    def _trial_cost(study: Study, family: str) -> float:
        """Return the mean time of the family's complete trials; 1 in a budget of trials."""
        if not study.is_timed:
            return 1.0
        times = [
            trial.seconds
            for trial in study.all_trials
            if trial.configuration.family == family and trial.status == "complete"
        ]
        return sum(times) / len(times) if times else 0.0

    def _optuna_study(self, study: Study, family: str) -> optuna.Study:
        if family not in self._studies:
            made = new_optuna_study("tpe", study.seed, startup_trials=FAMILY_STARTUP_TRIALS)
            for trial in study.all_trials:
                if trial.configuration.family == family:
                    space = {family: self._space[family]}
                    add_past_trial(made, trial, space=space, metric=self._metric)
            self._studies[family] = made
        return self._studies[family]

    def _best_configuration(self, study: Study, family: str) -> Configuration | None:
        scored = [
            (maximized_score(trial.score, self._metric), trial.configuration)
            for trial in study.all_trials
            if trial.configuration.family == family
            and trial.status == "complete"
            and trial.score is not None
        ]
        return max(scored, key=lambda each: each[0])[1] if scored else None
