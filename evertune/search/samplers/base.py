"""What samplers share: first points, what the search knows of a family, and the choice of a family.

`SpaceSampler` is the base of all samplers that stay in a space: it has the first points, which are
the warm starts and the families' defaults, and keeps the points that are out. Of most of them,
`PointSampler`, a subclass says only what comes after the first points, in `propose`. One that reads
the study's trials at each proposal, instead of a state of its own, is right after a resumption,
with parallel workers and with failed trials alike.

`GridSampler`, `ManualSampler` and `GivenSampler` need no more than a list.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from evertune.metrics.metrics import Metric
from evertune.models.families import COMMON_DEFAULTS, FAMILIES
from evertune.search.configurations import (
    build_space,
    clip_value,
    default_configurations,
    draw_values,
    grid_points,
    nearest_configuration,
    nearest_values,
)
from evertune.search.objective import Job, Objective, maximized_score
from evertune.search.space import Choice, Float, Integer, Parameter, Parameters, Space
from evertune.search.study import Sampler, SearchConfig, Study
from evertune.trials import Configuration, ParameterValue, Trial, TrialSource

MUTATION_SCALE = 0.2  # standard deviation, as a share of a parameter's range
KEEP_PROBABILITY = 0.8  # that a mutation keeps a choice
MAX_DRAWS = 20  # to find a point that is not known yet
BEST_TRIALS = 3  # of a family, whose ranks say how good it is
EXPLORATION = 0.3  # of families that had few trials


def search_space(objective: Objective, config: SearchConfig) -> Space:
    """Return the space of a search: the families' ranges with the settings' overrides."""
    return build_space(
        config.families,
        config.space,
        task=objective.schema.task,
        metric=objective.metrics[0].name,
        columns=objective.schema.features,
    )


@dataclass(frozen=True, eq=False)
class SearchProblem:
    """What a sampler is made for.

    Attributes
    ----------
    past_trials : tuple of Trial
        Of earlier runs of the same search. First points that are among them are not proposed.
    part : Space, optional
        The part of the search's space to stay in; by default all of it. Trials outside a part say
        nothing of it, and are not counted.
    """

    objective: Objective
    config: SearchConfig
    past_trials: tuple[Trial, ...] = ()
    part: Space | None = None

    @property
    def space(self) -> Space:
        """The space to propose points of."""
        return search_space(self.objective, self.config) if self.part is None else self.part

    @property
    def metric(self) -> Metric:
        """What is optimised."""
        return self.objective.metrics[0]

    @property
    def past_points(self) -> list[Configuration]:
        """The configurations of the earlier runs."""
        return [trial.configuration for trial in self.past_trials]

    @property
    def run_seed(self) -> int:
        """The seed of a generator that is not to repeat the draws of the earlier runs."""
        return self.config.seed + len(self.past_trials)


class GivenSampler(Sampler):
    """Proposes given configurations; each trial has its configuration's position as number."""

    def __init__(
        self, configurations: Sequence[Configuration], past_trials: Sequence[Trial] = ()
    ) -> None:
        done = {trial.number for trial in past_trials}
        self._waiting = [each for each in enumerate(configurations) if each[0] not in done]

    @property
    def exhausted(self) -> bool:
        """Whether all were proposed."""
        return not self._waiting

    def ask(self, study: Study, *, killable: bool) -> Job | None:  # noqa: ARG002
        """Return the next configuration; whether the worker can be killed makes no difference."""
        number, configuration = self._waiting.pop(0)
        return study.new_job(configuration, "given", number=number)


class ManualSampler(Sampler):
    """Warm starts, then the configurations of `search.configurations`, each on all folds."""

    def __init__(self, problem: SearchProblem) -> None:
        config = problem.config
        self.waiting = new_points(
            (*config.warm_starts, *config.configurations), problem.past_points
        )

    @property
    def exhausted(self) -> bool:
        """Whether all were proposed."""
        return not self.waiting

    def ask(self, study: Study, *, killable: bool) -> Job | None:  # noqa: ARG002
        """Return the next configuration; it is never pruned."""
        return study.new_job(self.waiting.pop(0), "portfolio")


class SpaceSampler(Sampler):
    """Stays in a space, and begins with the warm starts and the families' defaults.

    Attributes
    ----------
    space : Space
    waiting : list of Configuration
        First points that were not proposed yet.
    pending : dict
        Points whose trials have not ended, by number.
    """

    def __init__(self, problem: SearchProblem) -> None:
        self.space, self.metric = problem.space, problem.metric
        self.seed = problem.config.seed
        self.pending: dict[int, Configuration] = {}
        self._is_part = problem.part is not None
        first = (*problem.config.warm_starts, *default_configurations(self.space))
        points = [nearest_configuration(point, self.space) for point in first]
        self.waiting = new_points(filter(None, points), problem.past_points)

    def tell(self, study: Study, number: int, trial: Trial | None) -> None:  # noqa: ARG002
        """Forget a point that is no longer out."""
        self.pending.pop(number, None)

    def learn_from_all(self) -> None:
        """Count trials outside the part of the space, too, as the nearest points inside."""
        self._is_part = False

    def next_first_point(self) -> Configuration | None:
        """Return the next of the first points; None if all were proposed."""
        return self.waiting.pop(0) if self.waiting else None

    def new_job(self, study: Study, point: Configuration, phase: TrialSource) -> Job:
        """Return a job on all folds; its point is out until the trial ends."""
        job = study.new_job(point, phase)
        self.pending[job.number] = point
        return job

    def random_generator(self, study: Study) -> np.random.Generator:
        """Return the generator of the next proposal: by the seed and the number of the trial."""
        return np.random.default_rng([self.seed, study.next_number])

    def known_trials(self, study: Study) -> tuple[Trial, ...]:
        """Return the trials that ended and lie in the space, in the order of their numbers."""
        return tuple(
            trial
            for trial in study.all_trials
            if trial.configuration.family in self.space
            and not (self._is_part and not is_inside(trial.configuration, self.space))
        )

    def is_known(self, study: Study, point: Configuration) -> bool:
        """Return whether a point was tried, or is out."""
        tried = (trial.configuration for trial in study.all_trials)
        return point in self.pending.values() or point in tried

    def draw_new(
        self,
        study: Study,
        point: Configuration,
        draw_again: Callable[[Configuration], Configuration],
    ) -> Configuration:
        """Return a point, drawn again from itself until it is not known, 20 times at most."""
        for _ in range(MAX_DRAWS):
            if not self.is_known(study, point):
                break
            point = draw_again(point)
        return point

    def mutate_known(
        self, study: Study, point: Configuration, rng: np.random.Generator
    ) -> Configuration:
        """Return a point, or one near it if it is known."""
        return self.draw_new(study, point, lambda each: mutate_configuration(each, self.space, rng))


class PointSampler(SpaceSampler):
    """First points, then what `propose` returns, each on all folds."""

    def ask(self, study: Study, *, killable: bool) -> Job | None:  # noqa: ARG002
        """Return a job on all folds."""
        first = self.next_first_point()
        if first is not None:
            return self.new_job(study, first, "portfolio")
        return self.new_job(study, self.propose(study), "search")

    @abstractmethod
    def propose(self, study: Study) -> Configuration:
        """Return a new point of the space."""


class GridSampler(SpaceSampler):
    """Warm starts and defaults, then all points of a grid, in an order drawn with the seed."""

    def __init__(self, problem: SearchProblem) -> None:
        super().__init__(problem)
        points = grid_points(self.space)
        order = np.random.default_rng(self.seed).permutation(len(points))
        seen = [*problem.past_points, *self.waiting]
        self.waiting += new_points((points[index] for index in order), seen)

    @property
    def exhausted(self) -> bool:
        """Whether the grid is used up."""
        return not self.waiting

    def ask(self, study: Study, *, killable: bool) -> Job | None:  # noqa: ARG002
        """Return the next point; it is never pruned."""
        return self.new_job(study, self.waiting.pop(0), "portfolio")


@dataclass(frozen=True)
class Observation:
    """A point of one family and how good it is; greater is better."""

    point: Configuration
    score: float


def observations(
    trials: Iterable[Trial], pending: Iterable[Configuration], metric: Metric
) -> list[Observation]:
    """Return what a model of one family's points is to learn from; empty without any score.

    A trial that was stopped has a mean over some of the folds, and was behind others on these: it
    counts with that mean, but never as better than the median of the complete trials. One that
    failed counts as the worst, so that it isn't proposed again, and one that is out as the mean (a
    "constant liar"), so that workers that ask at once get different points.
    """
    trials = list(trials)
    complete = [
        maximized_score(trial.score, metric)
        for trial in trials
        if trial.status == "complete" and trial.score is not None
    ]
    limit = float(np.median(complete)) if complete else math.inf
    scores: list[float | None] = []
    for trial in trials:
        score = None if trial.score is None else maximized_score(trial.score, metric)
        if trial.status == "stopped" and score is not None:
            score = min(score, limit)
        scores.append(None if trial.status == "failed" else score)
    known = [score for score in scores if score is not None]
    if not known:
        return []
    lie, worst = sum(known) / len(known), min(known)
    found = [
        Observation(trial.configuration, worst if score is None else score)
        for trial, score in zip(trials, scores, strict=True)
    ]
    return found + [Observation(point, lie) for point in pending]


def choose_family(
    space: Space, trials: Iterable[Trial], pending: Iterable[Configuration], metric: Metric
) -> str:
    """Return the family to propose a point of: an upper confidence bound over families.

    A family that was not tried comes first. Else the value of family f is the mean rank of its
    three best trials among all trials (1 is the best of all, 0 the worst) plus
    `0.3 * sqrt(log(N) / n_f)`, where n_f of all N trials are of the family. Points that are out
    count as trials.
    """
    scores: dict[str, list[float]] = {family: [] for family in space}
    counts = dict.fromkeys(space, 0)
    for trial in trials:
        family = trial.configuration.family
        counts[family] += 1
        if trial.status != "failed" and trial.score is not None:
            scores[family].append(maximized_score(trial.score, metric))
    for point in pending:
        counts[point.family] += point.family in counts
    ordered = np.sort(np.concatenate([*scores.values(), []]))
    total = sum(counts.values())

    def value(family: str) -> float:
        if not counts[family]:
            return math.inf
        best = sorted(scores[family])[-BEST_TRIALS:]
        ranks = [(np.searchsorted(ordered, score, "right")) / len(ordered) for score in best]
        mean = float(np.mean(ranks)) if ranks else 0.0
        return mean + EXPLORATION * math.sqrt(math.log(max(total, 2)) / counts[family])

    return max(space, key=value)


def new_points(
    points: Iterable[Configuration], seen: Sequence[Configuration]
) -> list[Configuration]:
    """Return the points that were not seen, each once."""
    known = {_key(point) for point in seen}
    new: list[Configuration] = []
    for point in points:
        if _key(point) not in known:
            known.add(_key(point))
            new.append(point)
    return new


def default_values(family: str, parameters: Parameters) -> dict[str, ParameterValue]:
    """Return a family's default of each parameter, moved into its range, whatever its condition."""
    known = COMMON_DEFAULTS | FAMILIES[family].defaults
    return {name: clip_value(known.get(name), part) for name, part in parameters.items()}


def has_single_value(parameter: Parameter) -> bool:
    """Return whether there is nothing to search.

    Examples
    --------
    >>> has_single_value(Choice((4,))), has_single_value(Integer(1, 2))
    (True, False)
    """
    if isinstance(parameter, Choice):
        return len(parameter.values) == 1
    return parameter.low == parameter.high


def scaled_bounds(parameter: Float | Integer) -> tuple[float, float]:
    """Return the bounds of a number on its scale: their logarithms if that is logarithmic.

    Examples
    --------
    >>> scaled_bounds(Integer(1, 8)), scaled_bounds(Float(1.0, 10.0, log=True))
    ((1.0, 8.0), (0.0, 2.302585092994046))
    """
    scale = math.log if parameter.log else float
    return scale(parameter.low), scale(parameter.high)


def number_at(parameter: Float | Integer, place: float) -> float | int:
    """Return the number at a place of a parameter's scale; outside of it, the nearest bound.

    Examples
    --------
    >>> number_at(Integer(1, 8), 3.4), number_at(Integer(1, 8), 9.0)
    (3, 8)
    """
    number = min(max(math.exp(place) if parameter.log else place, parameter.low), parameter.high)
    return round(number) if isinstance(parameter, Integer) else number


def is_inside(point: Configuration, space: Space) -> bool:
    """Return whether a configuration is a point of a space."""
    return nearest_configuration(point, space) == point


def random_configuration(
    space: Space, rng: np.random.Generator, family: str | None = None
) -> Configuration:
    """Return a point drawn at random: uniform on the scale of each parameter.

    Examples
    --------
    >>> space = build_space(["svm"], {"svm": {"C": [2.0]}})
    >>> random_configuration(space, np.random.default_rng(0)).hyperparameters["C"]
    2.0
    """
    chosen = list(space)[int(rng.integers(len(space)))] if family is None else family

    def draw(_: str, parameter: Parameter) -> ParameterValue:
        if isinstance(parameter, Choice):
            return parameter.values[int(rng.integers(len(parameter.values)))]
        return number_at(parameter, float(rng.uniform(*scaled_bounds(parameter))))

    return Configuration(chosen, draw_values(space[chosen], draw))


def mutate_configuration(
    point: Configuration, space: Space, rng: np.random.Generator
) -> Configuration:
    """Return a random point near another one, in the space of its family.

    Numbers move by a normal step on their scale, a fifth of the range as standard deviation; a
    choice stays with probability 0.8. Values that the point does not name count as their defaults.

    Examples
    --------
    >>> from evertune.search.configurations import build_space
    >>> linear = build_space(["linear"], {"linear": {"alpha": [1.0, 2.0]}})
    >>> step = mutate_configuration(Configuration("linear"), linear, np.random.default_rng(0))
    >>> 1.0 <= step.hyperparameters["alpha"] <= 2.0
    True
    """
    known = nearest_values(point, space)

    def mutate(name: str, parameter: Parameter) -> ParameterValue:
        value = known.get(name)
        if isinstance(parameter, Choice):
            if value in parameter.values and rng.random() < KEEP_PROBABILITY:
                return value
            return parameter.values[int(rng.integers(len(parameter.values)))]
        low, high = scaled_bounds(parameter)
        start = (low + high) / 2
        if isinstance(value, int | float):
            start = math.log(value) if parameter.log else float(value)
        return number_at(parameter, start + MUTATION_SCALE * (high - low) * float(rng.normal()))

    return Configuration(point.family, draw_values(space[point.family], mutate))


def _key(point: Configuration) -> tuple[str, frozenset[tuple[str, ParameterValue]]]:
    return point.family, frozenset(point.hyperparameters.items())
