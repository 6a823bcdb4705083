"""Score one configuration on the folds, within limits of time and memory.

`Objective` holds the table, target, folds and metrics; it is sent to each worker once. A `Job` is
a configuration with the folds to evaluate. `run_job` yields a `JobUpdate` after each group of
quick folds and never raises: an error of a fit, or an undefined metric, fails that trial alone.
`evaluate_fold` is one fit and its score.

If the first fold is cut short by its time limit, all other folds get exactly as many iterations,
so that folds stay comparable. A fit that would not fit into memory is not started.
"""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from evertune.config.custom_metrics import load_metrics
from evertune.config.schema import MetricSection, PathsSection
from evertune.data.folds import Fold, folds_from_table
from evertune.data.schema import TableSchema, encode_target
from evertune.ensemble.oof import FoldModel
from evertune.files import read_record, read_table
from evertune.metrics.metrics import Metric, compute_metrics
from evertune.models.families import FAMILIES, configuration_encoding, fit_encoded, make_fit_context
from evertune.models.fit_context import FitResult
from evertune.models.fitted_model import predict_encoded
from evertune.models.predictor_files import dump_predictor
from evertune.preprocessing.encoders import Encoding, feature_frame, make_encoder, monotone_columns
from evertune.search.memory import (
    BYTES_PER_CELL,
    FreeBytes,
    estimate_fit_bytes,
    free_bytes,
    wait_for_memory,
)
from evertune.trials import Configuration, FoldResult, TrialSource
from evertune.types import FloatArray

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
        Of a job with rungs of rows or rounds that goes on: all folds so far, with a share of them.
    fidelity : float
        That share; 1 of `outcomes`.
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
    rows, schema, y = objective.folds[fold], objective.schema, objective.y
    encoded = encode_fold(objective, configuration_encoding(configuration), fold, encodings)
    context = make_fit_context(
        configuration,
        schema,
        seed=objective.seed,
        n_jobs=1,
        validation=(encoded.validation, y[rows.validation]),
        metric=objective.metrics[0].name,
        iterations=iterations,
        deadline=deadline,
        monotone=encoded.monotone,
    )
    fit = fit_encoded(configuration, encoded.training, y[rows.training], context)
    return score_fit(objective, fold, encoded, fit, fit_seconds=time.perf_counter() - start)


def score_fit(
    objective: Objective, fold: int, encoded: EncodedFold, fit: FitResult, *, fit_seconds: float
) -> FoldOutcome:
    """Return the score of a fit on the validation rows of its fold, with its model as bytes."""
    start = time.perf_counter()
    rows, schema, y = objective.folds[fold], objective.schema, objective.y
    X = encoded.validation if fit.columns is None else encoded.validation[:, list(fit.columns)]
    predictions = predict_encoded(fit.predictor, X, task=schema.task, n_classes=len(schema.classes))
    kind, data = dump_predictor(fit.predictor)
    predict_seconds = time.perf_counter() - start
    result = FoldResult(
        fold,
        compute_metrics(objective.metrics, y[rows.validation], predictions),
        fit_seconds=fit_seconds,
        predict_seconds=predict_seconds,
        iterations=fit.iterations,
        encode_seconds=encoded.seconds,
    )
    model = FoldModel(
        fold=fold,
        rows=rows.validation,
        predictions=predictions,
        kind=kind,
        data=data,
        columns=fit.columns,
        iterations=fit.iterations,
    )
    return FoldOutcome(result, model, fit.whole)


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
