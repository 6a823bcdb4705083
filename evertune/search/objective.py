"""Score one configuration on the folds, at once or step by step, within limits of time and memory.

`Objective` holds the table, target, folds and metrics; it is sent to each worker once. A `Job` is
a configuration with the folds to evaluate. `run_job` yields a `JobUpdate` after each group of
quick folds and never raises: an error of a fit, or an undefined metric, fails that trial alone.
`evaluate_fold` is one fit and its score.

If the first fold is cut short by its time limit, all other folds get exactly as many iterations,
so that folds stay comparable. A fit that would not fit into memory is not started.

On Ray a `Worker` takes a job in steps (`rungs`), as an `Evaluation` that can be saved after each
step (`state`) and continued by another worker (`restore`). Only the last step of `rows` and
`rounds` has `JobUpdate.outcomes`: what joins the ensemble ran on all folds, with all of their rows.
"""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from evertune.config.custom_metrics import load_metrics
from evertune.config.schema import MetricSection, PathsSection
from evertune.data.folds import Fold, folds_from_table
from evertune.data.schema import TableSchema, encode_target, fit_weights
from evertune.ensemble.oof import FoldModel
from evertune.files import read_record, read_table
from evertune.metrics.metrics import Metric, compute_metrics
from evertune.models.families import FAMILIES, configuration_encoding, fit_encoded, make_fit_context
from evertune.models.fit_context import FitContext, FitResult
from evertune.models.fitted_model import predict_encoded
from evertune.models.predictor_files import dump_predictor
from evertune.models.stepwise import StepwiseFit, start_stepwise_fit
from evertune.preprocessing.encoders import Encoding, feature_frame, make_encoder, monotone_columns
from evertune.search.memory import (
    BYTES_PER_CELL,
    FreeBytes,
    estimate_fit_bytes,
    free_bytes,
    wait_for_memory,
)
from evertune.search.rungs import Rungs, sample_positions
from evertune.trials import Configuration, FoldResult, TrialSource
from evertune.types import FloatArray, Predictions

MAX_ENCODED_BYTES = 400_000_000  # kept by one worker; older encodings make room
MEMORY_WAIT_SECONDS = 5.0
REPORT_SECONDS = 0.5  # quick folds are reported together: each message costs some 25 ms
MIN_ITERATIONS = 10  # that a first fold which was cut short must have, to set the others' number
FOLD_TIME_FACTOR = 3.0
OUT_OF_BUDGET = "the budget was used up"
TOO_SLOW = "a fit on one fold took longer than its share of the budget"


@dataclass(frozen=True, eq=False)
class Objective:
    """What a configuration is scored by; the score is the mean of the first metric over the folds.

    Attributes
    ----------
    table : DataFrame of n rows
        Clean training rows.
    y : array of shape (n,)
        The encoded target.
    metrics : tuple of Metric
        The first is optimised, the others are recorded.
    """

    table: pd.DataFrame
    y: FloatArray
    schema: TableSchema
    folds: tuple[Fold, ...]
    metrics: tuple[Metric, ...]
    seed: int


def read_objective(
    paths: PathsSection, metric: MetricSection, *, root: Path, seed: int
) -> Objective:
    """Read what the stages `prepare` and `split` wrote."""
    schema, table = read_record(paths.table_schema, TableSchema), read_table(paths.training)
    return Objective(
        table=table,
        y=encode_target(table, schema),
        schema=schema,
        folds=folds_from_table(read_table(paths.folds)),
        metrics=load_metrics(metric, schema.task, root),
        seed=seed,
    )


@dataclass(frozen=True)
class Job:
    """Some folds of one trial, evaluated by one worker, one after the other.

    Attributes
    ----------
    number : int
        Of the trial.
    phase : str
        What the trial is for: `portfolio`, `search` or `given`.
    iterations : int, optional
        Exactly so many for every fold, once the first fold was cut short.
    fold_seconds : float
        Time limit of a fit. The model of the first fold is cut short at it.
    deadline : float
        Unix time at which fits end whatever they have.
    member : str, optional
        See `Trial`.
    """

    number: int
    configuration: Configuration
    folds: tuple[int, ...]
    phase: TrialSource = "search"
    iterations: int | None = None
    fold_seconds: float = math.inf
    deadline: float = math.inf
    member: str | None = None

    def fit_deadline(self) -> float:
        """Return when a fit that starts now must end, by this machine's monotonic clock."""
        now, limit = time.monotonic(), self.fold_seconds
        if self.iterations is not None:  # what one fold did in its time may take another longer
            limit *= FOLD_TIME_FACTOR
        return min(now + limit, now + self.deadline - time.time())


@dataclass(frozen=True, eq=False)
class FoldOutcome:
    """Score and model of one fold; `completed` is False if the fit was cut short."""

    result: FoldResult
    model: FoldModel
    completed: bool


@dataclass(frozen=True, eq=False)
class JobUpdate:
    """What a worker reports at once: some folds, and why the job ended if it ended early.

    Attributes
    ----------
    outcomes : tuple of FoldOutcome
        Folds that were fitted to their end, on all of their rows.
    rung_results : tuple of FoldResult
        Of a job with rungs of rows or rounds that goes on: all folds, as they are at this rung.
    fidelity : float
        Share of the training rows or rounds that `rung_results` used; 1 for `outcomes`.
    """

    outcomes: tuple[FoldOutcome, ...]
    done: bool
    reason: str | None = None
    failed: bool = False
    rung_results: tuple[FoldResult, ...] = ()
    fidelity: float = 1.0


@dataclass(frozen=True, eq=False)
class EncodedFold:
    """The encoded rows of one fold.

    Attributes
    ----------
    seconds : float
        What encoding the validation rows took.
    monotone : tuple of int
        See `FitContext`.
    """

    training: FloatArray
    validation: FloatArray
    seconds: float = 0.0
    monotone: tuple[int, ...] = ()

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return int(self.training.nbytes + self.validation.nbytes)


EncodingCache = dict[tuple[Encoding, int], EncodedFold]


def run_job(
    objective: Objective,
    job: Job,
    encodings: EncodingCache,
    *,
    n_done: int = 0,
    one_by_one: bool = False,
    free: FreeBytes = free_bytes,
) -> Iterator[JobUpdate]:
    """Yield the folds of a job as they finish; if it has a deadline, quick ones together.

    Parameters
    ----------
    encodings : dict
        Of folds that this worker encoded before; more are added.
    n_done : int
        How many of the folds were evaluated before; they are left out.
    one_by_one : bool
        Whether each fold is yielded alone, however quick it is.
    free : callable
        Returns the bytes of memory that are free.
    """
    finished: list[FoldOutcome] = []
    reported, exactly = time.monotonic(), one_by_one or math.isinf(job.deadline)
    for position, fold in enumerate(job.folds):
        if position < n_done:
            continue
        lack = lack_of_memory(objective, job, fold, encodings, free)
        if lack is not None:
            yield JobUpdate(tuple(finished), done=True, reason=lack)
            return
        try:
            outcome = evaluate_fold(
                objective,
                job.configuration,
                fold,
                encodings=encodings,
                iterations=job.iterations,
                deadline=job.fit_deadline(),
            )
        except Exception as error:  # any fault of a fit fails its trial and no other
            reason = f"{type(error).__name__}: {error}"
            yield JobUpdate(tuple(finished), done=True, reason=reason, failed=True)
            return
        metric = objective.metrics[0].name
        if outcome.result.figures[metric] is None:
            reason = f"{metric} is undefined on fold {fold}"
            yield JobUpdate(tuple(finished), done=True, reason=reason, failed=True)
            return
        if not outcome.completed:
            iterations = outcome.result.iterations
            sets_iterations = position == 0 and job.iterations is None
            if not sets_iterations or (iterations or 0) < MIN_ITERATIONS:
                reason = OUT_OF_BUDGET if time.time() >= job.deadline else TOO_SLOW
                yield JobUpdate(tuple(finished), done=True, reason=reason)
                return
            job = replace(job, iterations=iterations)
        finished.append(outcome)
        done = position == len(job.folds) - 1
        # Without a deadline each fold is reported alone: whether a trial is pruned, and after which
        # fold, must then not depend on how long the folds take.
        if done or exactly or time.monotonic() - reported >= REPORT_SECONDS:
            yield JobUpdate(tuple(finished), done)
            finished, reported = [], time.monotonic()


def evaluate_fold(
    objective: Objective,
    configuration: Configuration,
    fold: int,
    *,
    encodings: EncodingCache,
    iterations: int | None = None,
    deadline: float = math.inf,
) -> FoldOutcome:
    """Fit a configuration on one fold with one thread, and score its validation rows.

    Parameters
    ----------
    encodings : dict
        Of folds that were encoded before; this fold's is added.
    iterations : int, optional
        Exactly so many rounds, trees or epochs; by default early stopping on the validation rows
        decides.
    deadline : float
        Moment of the monotonic clock at which a fit ends with what it has.
    """
    start = time.perf_counter()
    rows, y = objective.folds[fold], objective.y
    encoded = encode_fold(objective, configuration_encoding(configuration), fold, encodings)
    context = _fold_context(
        objective, configuration, fold, encoded, iterations=iterations, deadline=deadline
    )
    fit = fit_encoded(configuration, encoded.training, y[rows.training], context)
    return score_fit(objective, fold, encoded, fit, fit_seconds=time.perf_counter() - start)


def _fold_context(
    objective: Objective,
    configuration: Configuration,
    fold: int,
    encoded: EncodedFold,
    *,
    deadline: float,
    iterations: int | None = None,
) -> FitContext:
    """Return the context of a fit on one fold, which stops early by its validation rows."""
    rows, weights = objective.folds[fold], fit_weights(objective.table, objective.schema)
    return make_fit_context(
        configuration,
        objective.schema,
        seed=objective.seed,
        n_jobs=1,
        weights=None if weights is None else weights[rows.training],
        validation=(encoded.validation, objective.y[rows.validation]),
        metric=objective.metrics[0].name,
        iterations=iterations,
        deadline=deadline,
        monotone=encoded.monotone,
    )


def score_fit(
    objective: Objective, fold: int, encoded: EncodedFold, fit: FitResult, *, fit_seconds: float
) -> FoldOutcome:
    """Return the score of a fit on the validation rows of its fold, with its model as bytes."""
    result, predictions = _predict_fold(objective, fold, encoded, fit, fit_seconds=fit_seconds)
    start = time.perf_counter()
    kind, data = dump_predictor(fit.predictor)
    predict_seconds = result.predict_seconds + time.perf_counter() - start
    model = FoldModel(
        fold=fold,
        rows=objective.folds[fold].validation,
        predictions=predictions,
        kind=kind,
        data=data,
        columns=fit.columns,
        iterations=fit.iterations,
    )
    return FoldOutcome(replace(result, predict_seconds=predict_seconds), model, fit.whole)


def _predict_fold(
    objective: Objective, fold: int, encoded: EncodedFold, fit: FitResult, *, fit_seconds: float
) -> tuple[FoldResult, Predictions]:
    """Return the score of a fit on the validation rows of its fold, and its predictions."""
    start, schema = time.perf_counter(), objective.schema
    X = encoded.validation if fit.columns is None else encoded.validation[:, list(fit.columns)]
    predictions = predict_encoded(fit.predictor, X, task=schema.task, n_classes=len(schema.classes))
    predict_seconds = time.perf_counter() - start
    y_true = objective.y[objective.folds[fold].validation]
    result = FoldResult(
        fold,
        compute_metrics(objective.metrics, y_true, predictions),
        fit_seconds=fit_seconds,
        predict_seconds=predict_seconds,
        iterations=fit.iterations,
        encode_seconds=encoded.seconds,
    )
    return result, predictions


def mean_score(results: Iterable[FoldResult], metric: str) -> float | None:
    """Return the mean of a metric over the folds in which it is defined."""
    known = [value for fold in results if (value := fold.figures[metric]) is not None]
    return sum(known) / len(known) if known else None


def maximized_score(score: float, metric: Metric) -> float:
    """Return a score with its sign turned so that greater is better."""
    return score if metric.greater_is_better else -score


def maximized_mean_score(results: Iterable[FoldResult], metric: Metric) -> float | None:
    """Return the mean of the metric over the folds so far, turned so that greater is better."""
    mean = mean_score(results, metric.name)
    return None if mean is None else maximized_score(mean, metric)


def encode_fold(
    objective: Objective, encoding: Encoding, fold: int, known: EncodingCache
) -> EncodedFold:
    """Return the encoded rows of a fold; `known` has those of before, and gets these."""
    if (encoding, fold) not in known:
        rows, schema = objective.folds[fold], objective.schema
        encoder = make_encoder(encoding, schema)
        training = encoder.fit_transform(
            feature_frame(objective.table.iloc[rows.training], schema),
            objective.y[rows.training],
        )
        start = time.perf_counter()
        validation = encoder.transform(feature_frame(objective.table.iloc[rows.validation], schema))
        seconds, monotone = time.perf_counter() - start, monotone_columns(encoder, schema)
        known[encoding, fold] = EncodedFold(training, validation, seconds, monotone)
        while len(known) > 1 and sum(each.nbytes for each in known.values()) > MAX_ENCODED_BYTES:
            del known[next(iter(known))]
    return known[encoding, fold]


def lack_of_memory(
    objective: Objective,
    job: Job,
    fold: int,
    encodings: EncodingCache,
    free: FreeBytes = free_bytes,
) -> str | None:
    """Wait until a fit fits into memory; return why it is not started if it never does."""
    configuration, rows = job.configuration, objective.folds[fold]
    if configuration.family not in FAMILIES:  # the fit names this fault
        return None
    encoding = configuration_encoding(configuration)
    own = encodings.get((encoding, fold))
    # Of an encoding that no fold has yet, one column for each feature is assumed.
    cells = (len(rows.training) + len(rows.validation)) * len(objective.schema.features)
    alike = [each.nbytes for (known, _), each in encodings.items() if known == encoding]
    needed = estimate_fit_bytes(
        configuration.family,
        configuration.hyperparameters,
        encoded_bytes=max([*alike, cells * BYTES_PER_CELL]) if own is None else own.nbytes,
        encoded=own is not None,
        n_rows=len(rows.training),
        n_classes=len(objective.schema.classes),
    )
    until = min(time.monotonic() + MEMORY_WAIT_SECONDS, job.fit_deadline())
    return wait_for_memory(needed, until=until, free=free)


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
        self._results = tuple(
            _predict_fold(objective, fold, encoded, fit.result(), fit_seconds=self._seconds[fold])[
                0
            ]
            for fold, encoded, fit in fits
        )
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
        deadline = replace(job, fold_seconds=left).fit_deadline()
        context = _fold_context(objective, job.configuration, fold, encoded, deadline=deadline)
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
