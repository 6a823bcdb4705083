"""Samplers that stand on Optuna: TPE, random, BOHB and NSGA-II, over the conditional space.

A space is given to Optuna define-by-run: the family first, then the parameters of that family whose
condition holds. `suggest_configuration`, `add_past_trial` and `tell_optuna` translate between a
space and an Optuna study, which always maximizes; a stopped trial counts as pruned there, a failed
one as failed.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from evertune.metrics.metrics import Metric, mean_metrics
from evertune.search.configurations import (
    draw_values,
    flat_parameters,
    nearest_values,
)
from evertune.search.objective import Job, Objective, maximized_mean_score, maximized_score
from evertune.search.samplers.base import (
    PointSampler,
    SearchProblem,
    SpaceSampler,
    default_values,
    has_single_value,
    random_configuration,
)
from evertune.search.space import Choice, Float, Integer, Parameter, Space
from evertune.search.study import SearchConfig, Study
from evertune.trials import Configuration, Trial

STEPS_OF_A_FOLD = 90  # 9 of rungs of rows and rounds, 10 of a population
STARTUP_TRIALS = 10  # that are drawn at random before TPE takes over
RANDOM_SHARE = 1 / 3  # of BOHB's proposals, that no model chooses
POPULATION = 12  # of NSGA-II: budgets are of some hundred trials


class OptunaSampler(SpaceSampler):
    """Warm starts and defaults, then what Optuna's sampler `kind` suggests.

    A first point outside the space counts for Optuna as the nearest one inside. First points that
    an earlier run finished are not proposed again. Trials that it did not propose count, too.
    """

    kind = "tpe"

    def __init__(self, problem: SearchProblem) -> None:
        super().__init__(problem)
        self._study = new_optuna_study(self.kind, problem.run_seed, space=self.space)
        for trial in problem.past_trials:
            add_past_trial(self._study, trial, space=self.space, metric=self.metric)
        self._optuna_trials: dict[int, optuna.Trial] = {}

    def ask(self, study: Study, *, killable: bool) -> Job | None:  # noqa: ARG002
        """Return a job on all folds."""
        first = self.next_first_point()
        if first is not None:
            searched = Configuration(first.family, nearest_values(first, self.space))
            enqueue_configuration(self._study, searched)
        optuna_trial = self._study.ask()
        # Suggesting is also what makes Optuna record the point; a first one may have more values.
        suggested = suggest_configuration(optuna_trial, self.space)
        job = self.new_job(study, first or suggested, "portfolio" if first else "search")
        self._optuna_trials[job.number] = optuna_trial
        return job

    def tell(self, study: Study, number: int, trial: Trial | None) -> None:
        """Pass the score on to Optuna."""
        super().tell(study, number, trial)
        optuna_trial = self._optuna_trials.pop(number, None)
        if optuna_trial is not None:
            tell_optuna(self._study, optuna_trial, trial, self.metric)
        elif trial is not None:
            add_past_trial(self._study, trial, space=self.space, metric=self.metric)


class TpeSampler(OptunaSampler):
    """Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), parameters jointly."""


class UniformSampler(OptunaSampler):
    """Optuna's random sampler: every family alike, every parameter uniform on its scale."""

    kind = "random"


class BohbSampler(PointSampler):
    """A TPE model of the highest rung for which enough trials are known (Falkner et al. 2018).

    A rung is a number of folds: a trial that the scheduler stopped after k folds is known on the
    rungs 1 to k, and its score there is its mean over the first of them. The model is of the
    highest rung with two trials more than the largest family has parameters; below that, and for a
    third of all proposals, points are drawn at random.
    """

    def __init__(self, problem: SearchProblem) -> None:
        super().__init__(problem)
        self._enough = 2 + max(len(parameters) for parameters in self.space.values())
        self._rung = 0
        self._model: optuna.Study | None = None
        self._learnt: set[int] = set()
        self._optuna_trials: dict[int, tuple[optuna.Study, optuna.Trial]] = {}

    def propose(self, study: Study) -> Configuration:
        """Return what the model of the highest rung suggests, or a random point."""
        rng = self.random_generator(study)
        trials = self.known_trials(study)
        rung = self.rung(trials, study.n_folds)
        if rung == 0 or rng.random() < RANDOM_SHARE:
            return random_configuration(self.space, rng)
        if self._model is None or rung != self._rung:
            seed = int(rng.integers(2**31))
            self._model = new_optuna_study("tpe", seed, startup_trials=1, space=self.space)
            self._rung, self._learnt = rung, set()
        for trial in trials:
            if trial.number not in self._learnt and _reached(trial, rung):
                self._learnt.add(trial.number)
                score = maximized_mean_score(trial.folds[:rung], self.metric)
                if score is not None:
                    add_point(self._model, trial.configuration, score, space=self.space)
        optuna_trial = self._model.ask()
        self._optuna_trials[study.next_number] = self._model, optuna_trial
        return suggest_configuration(optuna_trial, self.space)

    def tell(self, study: Study, number: int, trial: Trial | None) -> None:
        """Forget the point; the model learns its score, on a rung, at the next proposal."""
        super().tell(study, number, trial)
        if number in self._optuna_trials:
            model, optuna_trial = self._optuna_trials.pop(number)
            model.tell(optuna_trial, state=TrialState.FAIL)

    def rung(self, trials: Sequence[Trial], n_folds: int) -> int:
        """Return the highest number of folds that enough trials reached; 0 if there is none."""
        for rung in range(n_folds, 0, -1):
            if sum(_reached(trial, rung) for trial in trials) >= self._enough:
                return rung
        return 0


class Nsga2Sampler(SpaceSampler):
    """Optuna's NSGA-II over the first metric and `search.objectives`, guards as constraints.

    A point has genes for all parameters of all families; those of other families, and those whose
    condition does not hold, wait in it unused. Populations have 12 points. Trials that did not
    finish all folds, or that lack one of the metrics, have no part in them.

    Raises
    ------
    ValueError
        If a metric of `search.objectives` is not computed, or is the one that is optimised.
    """

    def __init__(self, problem: SearchProblem) -> None:
        super().__init__(problem)
        self._metrics = objective_metrics(problem.objective, problem.config)
        known = {metric.name: metric for metric in problem.objective.metrics}
        guards = problem.config.guards
        self._guards = [(known[name], bound) for name, bound in guards.items() if name in known]
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(
            sampler=NSGAIISampler(population_size=POPULATION, seed=problem.run_seed),
            directions=["maximize"] * len(self._metrics),
        )
        self._genes: dict[str, BaseDistribution] = {
            "family": CategoricalDistribution(list(self.space))
        }
        self._defaults: dict[str, Any] = {}
        for family, parameters in self.space.items():
            for name, value in default_values(family, parameters).items():
                self._genes[f"{family}.{name}"] = _distribution(parameters[name])
                self._defaults[f"{family}.{name}"] = value
        self._optuna_trials: dict[int, optuna.Trial] = {}
        for trial in problem.past_trials:
            self._add(trial)

    def ask(self, study: Study, *, killable: bool) -> Job | None:  # noqa: ARG002
        """Return a job on all folds."""
        first = self.next_first_point()
        if first is not None:
            self._enqueue(first)
        optuna_trial = self._study.ask(self._genes)
        proposed = self._point(optuna_trial.params)
        job = self.new_job(study, first or proposed, "portfolio" if first else "search")
        self._optuna_trials[job.number] = optuna_trial
        return job

    def tell(self, study: Study, number: int, trial: Trial | None) -> None:
        """Pass the metrics on to Optuna."""
        super().tell(study, number, trial)
        if number in self._optuna_trials:
            self._tell(self._optuna_trials.pop(number), trial)
        elif trial is not None:
            self._add(trial)

    def _point(self, genes: Mapping[str, Any]) -> Configuration:
        """Return the point of the genes that are used."""
        family = str(genes["family"])
        values = draw_values(self.space[family], lambda name, _: genes[f"{family}.{name}"])
        return Configuration(family, values)

    def _add(self, trial: Trial) -> None:
        """Have Optuna propose a known point again, so that it has its place in a generation."""
        if trial.configuration.family in self.space and trial.status == "complete":
            self._enqueue(trial.configuration)
            self._tell(self._study.ask(self._genes), trial)

    def _enqueue(self, point: Configuration) -> None:
        near = Configuration(point.family, nearest_values(point, self.space))
        self._study.enqueue_trial(self._defaults | dict(flat_parameters(near)))

    def _tell(self, optuna_trial: optuna.Trial, trial: Trial | None) -> None:
        means = {} if trial is None else mean_metrics(fold.figures for fold in trial.folds)
        values = [means.get(metric.name) for metric in self._metrics]
        known = [value for value in values if value is not None]
        if trial is None or trial.status != "complete" or len(known) < len(values):
            self._study.tell(optuna_trial, state=TrialState.FAIL)
            return
        for metric, bound in self._guards:
            mean = means.get(metric.name)
            excess = float("inf") if mean is None else bound - mean
            if mean is not None and not metric.greater_is_better:
                excess = -excess
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                optuna_trial.set_constraint(metric.name, excess)
        scores = [maximized_score(v, m) for v, m in zip(known, self._metrics, strict=True)]
        self._study.tell(optuna_trial, scores)


def objective_metrics(objective: Objective, config: SearchConfig) -> tuple[Metric, ...]:
    """Return the metrics of a search for several: the first one, and those of its settings.

    Raises
    ------
    ValueError
        If one is not computed, or is named twice.
    """
    known = {metric.name: metric for metric in objective.metrics}
    names = (objective.metrics[0].name, *config.objectives)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"search.objectives must be some of {', '.join(known)}, but got {unknown}."
        )
    if len(set(names)) < len(names):
        raise ValueError(
            f"search.objectives must be further metrics beside '{names[0]}', which is optimised, "
            f"each named once, but got {list(config.objectives)}."
        )
    return tuple(known[name] for name in names)


class GroupwiseTpe(TPESampler):  # type: ignore[misc]
    """Optuna's TPE with `group=True`, for a space that is known.

    A group is what a trial has or lacks together: a family's parameters under the same condition.
    Optuna finds the groups among the trials, and models all of them for each trial. Here a group is
    modelled once a trial asks for one of its parameters: those of the other families never are,
    which at 200 trials of five families takes a fifth of the time.
    """

    def __init__(self, space: Space, *, startup_trials: int, seed: int) -> None:
        super().__init__(
            multivariate=True, constant_liar=True, n_startup_trials=startup_trials, seed=seed
        )
        groups: dict[Any, dict[str, BaseDistribution]] = {
            None: {"family": CategoricalDistribution(list(space))}
        }
        for family, parameters in space.items():
            for name, part in sorted(parameters.items()):
                if has_single_value(part):
                    continue
                when = part.when if part.when and part.when.name in parameters else None
                group = groups.setdefault((family, when), {})
                group[f"{family}.{name}"] = _distribution(part)
        self._groups = {name: group for group in groups.values() for name in group}
        self._number, self._values = -1, dict[str, Any]()  # the present trial, and what it drew

    def infer_relative_search_space(
        self,
        study: optuna.Study,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
    ) -> dict[str, BaseDistribution]:
        """Return nothing to be drawn in advance."""
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return a value that was drawn together with those of its group."""
        if trial.number != self._number:
            self._number, self._values = trial.number, {}
        if param_name not in self._values:
            self._values |= self.sample_relative(study, trial, self._groups[param_name])
        if param_name in self._values:
            return self._values[param_name]
        return super().sample_independent(study, trial, param_name, param_distribution)


def new_optuna_study(
    kind: str, seed: int, *, startup_trials: int = STARTUP_TRIALS, space: Space | None = None
) -> optuna.Study:
    """Return a study that maximizes, with Optuna's TPE for `tpe`, else with its random sampler.

    TPE is quicker if it is told the space of all trials.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler: BaseSampler = RandomSampler(seed=seed)
    if kind == "tpe" and space is not None:
        sampler = GroupwiseTpe(space, startup_trials=startup_trials, seed=seed)
    elif kind == "tpe":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # group=True
            sampler = TPESampler(
                multivariate=True,
                group=True,
                constant_liar=True,
                n_startup_trials=startup_trials,
                seed=seed,
            )
    return optuna.create_study(sampler=sampler, direction="maximize")


def suggest_configuration(optuna_trial: optuna.Trial, space: Space) -> Configuration:
    """Return the configuration that Optuna proposes."""
    family = optuna_trial.suggest_categorical("family", list(space))

    def suggest(name: str, parameter: Parameter) -> Any:
        full_name = f"{family}.{name}"
        if isinstance(parameter, Choice):
            return optuna_trial.suggest_categorical(full_name, parameter.values)
        is_whole = isinstance(parameter, Integer)
        suggest_number = optuna_trial.suggest_int if is_whole else optuna_trial.suggest_float
        return suggest_number(full_name, parameter.low, parameter.high, log=parameter.log)

    return Configuration(family, draw_values(space[family], suggest))


def enqueue_configuration(study: optuna.Study, point: Configuration) -> None:
    """Have Optuna propose a point next."""
    study.enqueue_trial(dict(flat_parameters(point)))


def add_past_trial(study: optuna.Study, trial: Trial, *, space: Space, metric: Metric) -> None:
    """Tell Optuna of a trial that it did not propose, as the nearest point of the space."""
    if trial.score is None or trial.status == "failed" or trial.configuration.family not in space:
        return
    score = maximized_score(trial.score, metric)
    pruned_at = None if trial.status == "complete" else reached_step(trial)
    add_point(study, trial.configuration, score, space=space, pruned_at=pruned_at)


def add_point(
    study: optuna.Study,
    configuration: Configuration,
    score: float,
    *,
    space: Space,
    pruned_at: int | None = None,
) -> None:
    """Tell Optuna of a point with its score; of one that was pruned at a step."""
    family = configuration.family
    point = Configuration(family, nearest_values(configuration, space))
    distributions: dict[str, BaseDistribution] = {"family": CategoricalDistribution(list(space))}
    for name in point.hyperparameters:
        distributions[f"{family}.{name}"] = _distribution(space[family][name])
    complete = pruned_at is None
    study.add_trial(
        create_trial(
            params=dict(flat_parameters(point)),
            distributions=distributions,
            state=TrialState.COMPLETE if complete else TrialState.PRUNED,
            value=score if complete else None,
            intermediate_values={} if pruned_at is None else {pruned_at: score},
        )
    )


def reached_step(trial: Trial) -> int:
    """Return how far a stopped trial came: its folds, each by the share of its rows or rounds."""
    return max(1, round(STEPS_OF_A_FOLD * len(trial.folds) * trial.fidelity))


def tell_optuna(
    study: optuna.Study, optuna_trial: optuna.Trial, trial: Trial | None, metric: Metric
) -> None:
    """Tell Optuna how its proposal went: a stopped trial was pruned, a failed one is no news."""
    if trial is None or trial.status == "failed" or trial.score is None:
        study.tell(optuna_trial, state=TrialState.FAIL)
        return
    score = maximized_score(trial.score, metric)
    if trial.status == "stopped":
        optuna_trial.report(score, reached_step(trial))
        study.tell(optuna_trial, state=TrialState.PRUNED)
    else:
        study.tell(optuna_trial, score)


def _distribution(parameter: Parameter) -> BaseDistribution:
    if isinstance(parameter, Choice):
        return CategoricalDistribution(list(parameter.values))
    kind = FloatDistribution if isinstance(parameter, Float) else IntDistribution
    return kind(parameter.low, parameter.high, log=parameter.log)


def _reached(trial: Trial, rung: int) -> bool:
    """Return whether a trial ran on the first folds, so many of them."""
    return trial.status != "failed" and [fold.fold for fold in trial.folds[:rung]] == [*range(rung)]
