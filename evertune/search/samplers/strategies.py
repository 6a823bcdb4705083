"""Search a configuration axis by axis, with any searcher.

The axes are the transformation of columns, feature selection, the family (the learning paradigm),
the architecture of a model and its other hyperparameters. A strategy gives a searcher the part of
the space in which all other axes are fixed, and moves on. What they are fixed at is read from the
trials, also of a search that is resumed.
"""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace

from evertune.search.configurations import clip_value, nearest_values
from evertune.search.objective import Job, maximized_score
from evertune.search.samplers.base import (
    SearchProblem,
    SpaceSampler,
    default_values,
    has_single_value,
    is_inside,
    new_points,
)
from evertune.search.space import Choice, Space
from evertune.search.study import Sampler, Study
from evertune.trials import Configuration, ParameterValue, Trial

TRANSFORMATION = ("numeric_transform", "categorical_encoding", "text_encoding", "interactions")
SELECTION = ("feature_selection", "selected_fraction")
ARCHITECTURE = (
    *("layers", "width", "activation", "embedding_dim"),
    *("max_depth", "depth", "num_leaves", "max_leaf_nodes", "grow_policy", "extra_trees"),
)
AXES = ("transformation", "feature_selection", "family", "architecture", "hyperparameters")
MAX_REPEATS = 20  # proposals in a row that are known: then the part of the space is used up
ELIMINATION_STEPS = (0.8, 0.9, 0.95)  # what an elimination keeps of the columns; then finer steps


def axis_of(name: str) -> str:
    """Return the axis of a parameter.

    Examples
    --------
    >>> axis_of("selected_fraction"), axis_of("num_leaves"), axis_of("learning_rate")
    ('feature_selection', 'architecture', 'hyperparameters')
    """
    if name in TRANSFORMATION:
        return "transformation"
    if name in SELECTION:
        return "feature_selection"
    return "architecture" if name in ARCHITECTURE else "hyperparameters"


def free_space(space: Space, axes: Sequence[str], fixed: Configuration) -> Space:
    """Return the part of a space in which only some axes are free.

    Parameters
    ----------
    axes : sequence of str
        The free ones. If `family` is among them, all families stay, else that of `fixed` alone.
    fixed : Configuration
        The values of the others. Where it has none, or is of another family that lacks the value,
        they are the family's defaults.

    Examples
    --------
    >>> from evertune.search.configurations import build_space
    >>> tree = build_space(["tree", "svm"])
    >>> part = free_space(tree, ["architecture"], Configuration("tree", {"min_samples_leaf": 7}))
    >>> list(part), part["tree"]["max_depth"].high, part["tree"]["min_samples_leaf"].values
    (['tree'], 16, (7,))
    """
    part: Space = {}
    for family in list(space) if "family" in axes else [fixed.family]:
        values = default_values(family, space[family])
        values |= {
            name: value
            for name, value in fixed.hyperparameters.items()
            if name in values and clip_value(value, space[family][name]) == value
        }
        part[family] = {
            name: each if axis_of(name) in axes else Choice((values[name],), each.when)
            for name, each in space[family].items()
        }
    return part


def make_strategy(problem: SearchProblem) -> "StrategySampler":
    """Return the sampler of the settings' strategy, with their searcher inside."""
    kinds = {"sequence": SequenceSampler, "alternating": AlternatingSampler}
    return kinds[problem.config.strategy](problem)


class StrategySampler(Sampler):
    """Warm starts and the default that it begins with, then what the strategy's turns propose."""

    learns_from_all = False  # also from trials outside the part of the space that is searched

    def __init__(self, problem: SearchProblem) -> None:
        self.metric, self.space, config = problem.metric, problem.space, problem.config
        joint = replace(config, warm_starts=(), strategy="joint")
        self.problem = replace(problem, config=joint)
        first = next(family for family in config.families if family in self.space)
        self.start = Configuration(first, nearest_values(Configuration(first), self.space))
        self.tried = [self._searched(point) for point in problem.past_points]
        points = [point for point in config.warm_starts if point.family in self.space]
        self.first_points = (*points, self.start)
        self.waiting = new_points(self.first_points, (*problem.past_points, *self.tried))
        self._inner: SpaceSampler | None = None
        self._part: Space = {}
        self._owners: dict[int, SpaceSampler] = {}

    @abstractmethod
    def next_job(self, study: Study, *, killable: bool) -> Job | None:
        """Return the next job of whose turn it is."""

    def ask(self, study: Study, *, killable: bool) -> Job | None:
        """Return a first point, or the next one of whose turn it is."""
        job = (
            study.new_job(self.waiting.pop(0), "portfolio")
            if self.waiting
            else self.next_job(study, killable=killable)
        )
        if job is not None:
            self.tried.append(self._searched(job.configuration))
        return job

    def tell(self, study: Study, number: int, trial: Trial | None) -> None:
        """Let the searcher know that proposed the trial, and the present one."""
        owner = self._owners.pop(number, None)
        if owner is not None:
            owner.tell(study, number, trial)
        if self._inner is None or self._inner is owner or trial is None:
            return
        if self.learns_from_all or is_inside(trial.configuration, self._part):
            self._inner.tell(study, number, trial)

    def best(self, trials: Iterable[Trial]) -> Configuration:
        """Return the best complete trial's configuration; the start if there is none."""
        scored = [
            (maximized_score(trial.score, self.metric), trial.configuration)
            for trial in trials
            if trial.status == "complete"
            and trial.score is not None
            and trial.configuration.family in self.space
        ]
        return max(scored, key=lambda each: each[0])[1] if scored else self.start

    def search_part(self, study: Study, part: Space, *, killable: bool) -> Job | None:
        """Return the searcher's next new point of a part of the space; None if it is used up."""
        if part != self._part or self._inner is None:
            self._inner, self._part = self._new_searcher(study, part), part
        for _ in range(MAX_REPEATS):
            if self._inner.exhausted:
                return None
            job = self._inner.ask(study, killable=killable)
            if job is None or self._searched(job.configuration) not in self.tried:
                if job is not None:
                    self._owners[job.number] = self._inner
                return job
            self._inner.tell(study, job.number, None)
            study.withdraw(job)
        return None

    def _searched(self, point: Configuration) -> Configuration:
        """Return a configuration without the values that are not searched."""
        if point.family not in self.space:
            return point
        return Configuration(point.family, nearest_values(point, self.space))

    def _new_searcher(self, study: Study, part: Space) -> SpaceSampler:
        from evertune.search.samplers import SEARCHERS

        known = tuple(
            trial
            for trial in study.all_trials
            if self.learns_from_all or is_inside(trial.configuration, part)
        )
        searcher = self.problem.config.searcher
        problem = replace(self.problem, past_trials=known, part=part)
        sampler = SEARCHERS[searcher].sampler(problem)
        if not isinstance(sampler, SpaceSampler):
            raise TypeError(f"{searcher} cannot search a part of a space.")
        if self.learns_from_all:
            sampler.learn_from_all()
            if self._inner is not None:
                sampler.waiting = []
        return sampler


class SequenceSampler(StrategySampler):
    """One axis after the other, each fixed at its best before the next.

    The order is transformation, feature selection, family, architecture, hyperparameters. Each axis
    is searched with those before it at their best, and those after it at their defaults; until the
    family's turn it is the first of `search.families`. An axis ends with its share of the budget,
    which is equal for all that have something to search, or once all its points were tried; the
    last one takes what is left. A value that another family lacks becomes that family's default.
    A search that is resumed goes on with the axis in which its latest trials lie.
    """

    def __init__(self, problem: SearchProblem) -> None:
        super().__init__(problem)
        free = {
            axis_of(name)
            for parameters in self.space.values()
            for name, part in parameters.items()
            if not has_single_value(part)
        }
        free |= {"family"} if len(self.space) > 1 else set()
        self._axes = [axis for axis in AXES if axis in free]
        self._turn, self._is_over, self._fixed = 0, False, self.start
        self._began = False
        self._resume(sorted(problem.past_trials, key=lambda trial: trial.number))

    @property
    def exhausted(self) -> bool:
        """Whether all axes are used up."""
        return self._turn >= len(self._axes) and not self.waiting

    def next_job(self, study: Study, *, killable: bool) -> Job | None:
        """Return the next point of the axis whose turn it is."""
        while not self.exhausted:
            if not self._began:
                if study.is_waiting:
                    return None  # what is best is known once these have ended
                self._began, self._is_over = True, False
                self._fixed = self.best(study.all_trials)
            last = self._turn == len(self._axes) - 1
            end = (self._turn + 1) / len(self._axes)
            self._is_over = self._is_over or (_used_share(study) >= end and not last)
            if not self._is_over:
                part = self._part_of(self._turn, self._fixed)
                job = self.search_part(study, part, killable=killable)
                if job is not None:
                    return job
                self._is_over = True
            if study.is_waiting:
                return None
            self._turn, self._began = self._turn + 1, False
        return None

    def _part_of(self, turn: int, fixed: Configuration) -> Space:
        return free_space(self.space, [self._axes[turn]], fixed)

    def _resume(self, trials: Sequence[Trial]) -> None:
        """Take the turns that the trials of earlier runs took.

        A trial lies in the part of its turn, whose other axes were at the best trial before it. In
        the part of a later turn lies only what is known when that begins.
        """
        first = [self._searched(point) for point in self.first_points]
        for n, trial in enumerate(trials):
            point = self._searched(trial.configuration)
            if point in first:
                continue
            best = self.best(trials[:n])
            for turn in range(self._turn, len(self._axes)):
                fixed = self._fixed if self._began and turn == self._turn else best
                if is_inside(point, self._part_of(turn, fixed)):
                    self._turn, self._began, self._fixed = turn, True, fixed
                    break


class AlternatingSampler(StrategySampler):
    """Recursive feature elimination in turn with the searcher on architecture and hyperparameters.

    Each sees the other's best result. An elimination is `feature_selection: recursive` with a
    smaller `selected_fraction` than the best configuration's: 0.8 of it, or if that was tried, 0.9
    or 0.95; the rest is the best configuration's. Then the searcher proposes family, architecture
    and hyperparameters, with the transformation and the columns of the best configuration. Once no
    elimination is left, the searcher has all turns. It learns from all trials, whatever columns
    they had.
    """

    learns_from_all = True

    def next_job(self, study: Study, *, killable: bool) -> Job | None:
        """Return an elimination or a point of the searcher, in turn."""
        best = self.best(study.all_trials)
        if study.next_number % 2:
            step = self._elimination(best)
            if step is not None:
                return study.new_job(step, "search")
        axes = ["family", "architecture", "hyperparameters"]
        return self.search_part(study, free_space(self.space, axes, best), killable=killable)

    def _elimination(self, best: Configuration) -> Configuration | None:
        parameters = self.space[best.family]
        methods, fraction = parameters.get("feature_selection"), parameters.get("selected_fraction")
        if not isinstance(methods, Choice) or "recursive" not in methods.values:
            return None
        if fraction is None or isinstance(fraction, Choice):
            return None
        own = best.hyperparameters
        kept = 1.0
        if own.get("feature_selection", "none") != "none":
            kept = float(clip_value(own.get("selected_fraction"), fraction) or 1.0)
        for share in ELIMINATION_STEPS:
            if not fraction.low <= kept * share <= fraction.high:
                continue
            values: dict[str, ParameterValue] = {
                "feature_selection": "recursive",
                "selected_fraction": round(kept * share, 6),
            }
            point = Configuration(best.family, best.hyperparameters | values)
            if self._searched(point) not in self.tried:
                return point
        return None


def _used_share(study: Study) -> float:
    """Return the share of the budget that is used, by seconds or by trials."""
    trials = study.budget.trials
    by_number = 0.0 if not trials else study.next_number / trials
    return max(study.used_share(), by_number)
