"""Evaluate a job step by step, so that a scheduler can compare, pause, move and continue trials.

| rung | one step | a scheduler compares trials after |
|---|---|---|
| `folds` | one fold | 1, 2, ... folds |
| `rows` | all folds, with a share of their training rows | 1/9, 1/3, all of the rows |
| `rounds` | all folds, some more rounds or epochs | 1/9, 1/3, all of the rounds |

Population based training takes `rounds` in ten equal steps. An `Evaluation` can be saved after
each step (`state`), and continued by another worker (`restore`). Only the last step of `rows` and
`rounds` has `JobUpdate.outcomes`: what joins the ensemble ran on all folds, with all of their rows.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from evertune.config.search_rules import POPULATION_SCHEDULERS
from evertune.data.folds import Fold
from evertune.metrics.metrics import compute_metrics
from evertune.models.families import configuration_encoding, make_fit_context
from evertune.models.fitted_model import predict_encoded
from evertune.models.stepwise import StepwiseFit, start_stepwise_fit
from evertune.search.objective import (
    OUT_OF_BUDGET,
    TOO_SLOW,
    EncodedFold,
    EncodingCache,
    FoldOutcome,
    Job,
    JobUpdate,
    Objective,
    encode_fold,
    lack_of_memory,
    run_job,
    score_fit,
)
from evertune.trials import FoldResult
from evertune.types import FloatArray

REDUCTION_FACTOR = 3  # from rung to rung, and of the trials that go on
MAX_RESOURCE = 9  # of rungs of rows and rounds, which have 1, 3 and 9 parts of all
POPULATION_STEPS = 10  # of population based training
MIN_RUNG_ROWS = 100  # training rows of the smallest rung


@dataclass(frozen=True)
class Rungs:
    """Where the trials of a search are compared.

    Attributes
    ----------
    kind : str
        `folds`, `rows` or `rounds`.
    resources : tuple of int
        What a trial has used after each step; the last is all.
    one_by_one : bool
        Whether each fold is a step, however quick it is.
    """

    kind: str
    resources: tuple[int, ...]
    one_by_one: bool = True

    @property
    def max_resource(self) -> int:
        """What a complete trial has used."""
        return self.resources[-1]


def make_rungs(scheduler: str, rung: str, folds: Sequence[Fold], *, one_by_one: bool) -> Rungs:
    """Return the rungs of a search, by the settings of that name.

    Raises
    ------
    ValueError
        If there are too few rows for rungs of rows.
    """
    if scheduler in POPULATION_SCHEDULERS:
        return Rungs("rounds", tuple(range(1, POPULATION_STEPS + 1)))
    if rung == "folds":
        return Rungs("folds", tuple(range(1, len(folds) + 1)), one_by_one=one_by_one)
    powers = [1, REDUCTION_FACTOR, MAX_RESOURCE]
    if rung == "rows":
        n_rows = min(len(fold.training) for fold in folds)
        while len(powers) > 1 and n_rows < powers[-1] * MIN_RUNG_ROWS:
            powers.pop()
        if len(powers) == 1:
            raise ValueError(
                f"search.rung rows needs {REDUCTION_FACTOR * MIN_RUNG_ROWS} training rows in each "
                f"fold, but found {n_rows}; take the rung folds."
            )
    return Rungs(rung, tuple(powers))


class Evaluation(ABC):
    """A job that is evaluated in steps.

    Attributes
    ----------
    resource : int
        What it has used so far, in the unit of `Rungs.resources`.
    """

    resource = 0

    @abstractmethod
    def step(self) -> JobUpdate:
        """Take the next step; it never raises for a fault of a fit."""

    @abstractmethod
    def results(self) -> tuple[FoldResult, ...]:
        """Return the results that the trial is compared by now."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return all that another worker needs to go on."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Go on from the state of an evaluation, which may have had other hyperparameters."""


@dataclass
class Worker:
    """What a worker keeps from one job to the next.

    Attributes
    ----------
    encodings : dict
        Encoded folds, by the resource of the rung that they belong to.
    """

    objective: Objective
    rungs: Rungs
    encodings: dict[int, EncodingCache] = field(default_factory=dict)
    objectives: dict[int, Objective] = field(default_factory=dict)

    def start(self, job: Job) -> Evaluation:
        """Return the evaluation of a job."""
        kinds: dict[str, Callable[[Worker, Job], Evaluation]] = {
            "folds": FoldEvaluation,
            "rows": RowEvaluation,
            "rounds": RoundEvaluation,
        }
        return kinds[self.rungs.kind](self, job)

    def encodings_at(self, resource: int) -> EncodingCache:
        """Return the encoded folds of a rung."""
        return self.encodings.setdefault(resource, {})

    def objective_at(self, resource: int) -> Objective:
        """Return the objective with the share of each fold's training rows that a rung has."""
        if resource == self.rungs.max_resource:
            return self.objective
        if resource not in self.objectives:
            share = resource / self.rungs.max_resource
            folds = tuple(
                Fold(self._sample(fold.training, share), fold.validation)
                for fold in self.objective.folds
            )
            self.objectives[resource] = replace(self.objective, folds=folds)
        return self.objectives[resource]

    def _sample(self, rows: Any, share: float) -> Any:
        y = self.objective.y[rows] if self.objective.schema.classes else None
        return rows[sample_positions(len(rows), share, y=y, seed=self.objective.seed)]


def sample_positions(n_rows: int, share: float, *, y: FloatArray | None, seed: int) -> Any:
    """Return sorted positions of a share of n rows, which larger shares contain.

    Parameters
    ----------
    y : array of shape (n,), optional
        Codes of classes, whose shares the sample keeps.

    Examples
    --------
    >>> y = np.array([0.0] * 6 + [1.0] * 3)
    >>> third, all_ = (sample_positions(9, share, y=y, seed=0) for share in (1 / 3, 1))
    >>> y[third].tolist(), len(all_), bool(np.isin(third, all_).all())
    ([0.0, 0.0, 1.0], 9, True)
    """
    order = np.random.default_rng(seed).permutation(n_rows)
    if y is not None:
        position = np.empty(n_rows)
        for code in np.unique(y):
            members = order[y[order] == code]
            position[members] = (np.arange(len(members)) + 0.5) / len(members)
        order = np.argsort(position, kind="stable")
    return np.sort(order[: max(1, round(share * n_rows))])


class FoldEvaluation(Evaluation):
    """One fold a step, or some quick ones together; of a job that may have only some folds."""

    def __init__(self, worker: Worker, job: Job) -> None:
        self._worker, self._job = worker, job
        self._outcomes: list[FoldOutcome] = []
        self._go_on()

    def _go_on(self) -> None:
        self.resource = len(self._outcomes)
        self._updates = run_job(
            self._worker.objective,
            self._job,
            self._worker.encodings_at(0),
            n_done=len(self._outcomes),
            one_by_one=self._worker.rungs.one_by_one,
        )

    def step(self) -> JobUpdate:
        """Evaluate the next fold."""
        update = next(self._updates)
        self._outcomes += update.outcomes
        self.resource = len(self._outcomes)
        return update

    def results(self) -> tuple[FoldResult, ...]:
        """Return the results of the folds so far."""
        return tuple(each.result for each in self._outcomes)

    def state(self) -> dict[str, Any]:
        """Return the folds done, with their predictions and models."""
        return {"outcomes": self._outcomes}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on after the folds done."""
        self._outcomes = list(state["outcomes"])
        cut = [each.result.iterations for each in self._outcomes if not each.completed]
        if cut:  # the first fold was cut short: the others get exactly as many iterations
            self._job = replace(self._job, iterations=cut[0])
        self._go_on()


class RowEvaluation(Evaluation):
    """All folds a step, with a growing share of their training rows."""

    def __init__(self, worker: Worker, job: Job) -> None:
        self._worker, self._job = worker, job
        self._results: tuple[FoldResult, ...] = ()

    def step(self) -> JobUpdate:
        """Evaluate all folds with the next share of the rows."""
        rungs = self._worker.rungs
        resource = next(each for each in rungs.resources if each > self.resource)
        outcomes: list[FoldOutcome] = []
        update = JobUpdate((), done=False)
        for update in run_job(
            self._worker.objective_at(resource), self._job, self._worker.encodings_at(resource)
        ):
            outcomes += update.outcomes
        if update.reason is not None:
            return replace(update, outcomes=())
        self.resource = resource
        self._results = tuple(each.result for each in outcomes)
        if resource == rungs.max_resource:
            return JobUpdate(tuple(outcomes), done=True)
        share = resource / rungs.max_resource
        return JobUpdate((), done=False, rung_results=self._results, fidelity=share)

    def results(self) -> tuple[FoldResult, ...]:
        """Return the results of the last rung."""
        return self._results

    def state(self) -> dict[str, Any]:
        """Return the last rung: the next one fits anew."""
        return {"resource": self.resource, "results": self._results}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with the rung after the last one."""
        self.resource, self._results = state["resource"], tuple(state["results"])


class RoundEvaluation(Evaluation):
    """Some more rounds or epochs of all folds a step, from the fits as the last step left them."""

    def __init__(self, worker: Worker, job: Job) -> None:
        self._worker, self._job = worker, job
        self._fits: dict[int, dict[str, Any]] = {}  # by fold
        self._seconds: dict[int, float] = {}
        self._results: tuple[FoldResult, ...] = ()

    def step(self) -> JobUpdate:
        """Train all folds up to the rounds of the next rung; early stopping may end all of them."""
        rungs = self._worker.rungs
        resource = next(each for each in rungs.resources if each > self.resource)
        share = resource / rungs.max_resource
        fits: list[tuple[int, EncodedFold, StepwiseFit]] = []
        for fold in self._job.folds:
            try:
                fault = self._train(fold, share, fits)
            except Exception as error:  # any fault of a fit fails its trial and no other
                return _ended(f"{type(error).__name__}: {error}", failed=True)
            if fault is not None:
                return fault
        self.resource = resource
        objective = self._worker.objective
        self._results = tuple(self._score(*each) for each in fits)
        metric = objective.metrics[0].name
        for result in self._results:
            if result.figures[metric] is None:
                return _ended(f"{metric} is undefined on fold {result.fold}", failed=True)
        if resource < rungs.max_resource and not all(fit.finished for _, _, fit in fits):
            return JobUpdate((), done=False, rung_results=self._results, fidelity=share)
        outcomes = [
            score_fit(objective, fold, encoded, fit.result(), fit_seconds=self._seconds[fold])
            for fold, encoded, fit in fits
        ]
        self._results = tuple(each.result for each in outcomes)
        return JobUpdate(tuple(outcomes), done=True)

    def _train(
        self, fold: int, share: float, fits: list[tuple[int, EncodedFold, StepwiseFit]]
    ) -> JobUpdate | None:
        """Train one fold, and append its fit; return the last update if it cannot go on."""
        objective, job = self._worker.objective, self._job
        encodings = self._worker.encodings_at(0)
        lack = lack_of_memory(objective, job, fold, encodings)
        if lack is not None:
            return _ended(lack)
        start = time.perf_counter()
        encoding = configuration_encoding(job.configuration)
        encoded = encode_fold(objective, encoding, fold, encodings)
        rows, y = objective.folds[fold], objective.y
        left = job.fold_seconds - self._seconds.get(fold, 0.0)
        context = make_fit_context(
            job.configuration,
            objective.schema,
            seed=objective.seed,
            n_jobs=1,
            validation=(encoded.validation, y[rows.validation]),
            metric=objective.metrics[0].name,
            deadline=replace(job, fold_seconds=left).fit_deadline(),
            monotone=encoded.monotone,
        )
        fit = start_stepwise_fit(
            job.configuration,
            encoded.training,
            y[rows.training],
            context,
            state=self._fits.get(fold),
        )
        fit.grow_to(max(1, round(share * fit.total)))
        self._seconds[fold] = self._seconds.get(fold, 0.0) + time.perf_counter() - start
        if fit.expired:
            return _ended(OUT_OF_BUDGET if time.time() >= job.deadline else TOO_SLOW)
        self._fits[fold] = fit.state()
        fits.append((fold, encoded, fit))
        return None

    def _score(self, fold: int, encoded: EncodedFold, fit: StepwiseFit) -> FoldResult:
        objective, start = self._worker.objective, time.perf_counter()
        best = fit.result()
        X = encoded.validation
        predictions = predict_encoded(
            best.predictor,
            X if best.columns is None else X[:, list(best.columns)],
            task=objective.schema.task,
            n_classes=len(objective.schema.classes),
        )
        y_true = objective.y[objective.folds[fold].validation]
        return FoldResult(
            fold,
            compute_metrics(objective.metrics, y_true, predictions),
            fit_seconds=self._seconds[fold],
            predict_seconds=time.perf_counter() - start,
            iterations=best.iterations,
            encode_seconds=encoded.seconds,
        )

    def results(self) -> tuple[FoldResult, ...]:
        """Return the results of the best rounds so far."""
        return self._results

    def state(self) -> dict[str, Any]:
        """Return the fits of all folds."""
        return {
            "resource": self.resource,
            "fits": self._fits,
            "seconds": self._seconds,
            "results": self._results,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with the fits of all folds, and the hyperparameters of this job."""
        self.resource, self._results = state["resource"], tuple(state["results"])
        self._fits, self._seconds = dict(state["fits"]), dict(state["seconds"])


def _ended(reason: str, *, failed: bool = False) -> JobUpdate:
    return JobUpdate((), done=True, reason=reason, failed=failed)


def replay_points(
    results: Iterable[FoldResult], rungs: Rungs, *, fidelity: float, metric: str
) -> list[tuple[int, float]]:
    """Return what an earlier run's trial would have reported: resources and mean scores.

    Of rungs of rows or rounds only the last is known.
    """
    scores = [score for each in results if (score := each.figures[metric]) is not None]
    if not scores:
        return []
    if rungs.kind == "folds":
        return [(n, sum(scores[:n]) / n) for n in range(1, len(scores) + 1)]
    return [(round(fidelity * rungs.max_resource), sum(scores) / len(scores))]
