"""Evaluate one configuration on some folds, within limits of time and memory.

`Objective` holds the table, target, folds and metrics; it is sent to each worker once. A `Job`
is a configuration with the folds to evaluate; `run_job` yields a `JobUpdate` after each group
of quick folds and never raises: an error of a fit, or an undefined metric, fails that trial
alone.

If the first fold is cut short by its time limit, all other folds get exactly as many
iterations, so that folds stay comparable. A fit that would not fit into memory is not started
(`wait_for_memory`, with peaks that were measured per family and rounded up).
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from evertune.config.custom_metrics import load_metrics
from evertune.config.schema import MetricSection, PathsSection
from evertune.data.folds import Fold, folds_from_table
from evertune.data.schema import TableSchema, encode_target
from evertune.ensemble.oof import FoldModel
from evertune.files import read_record, read_table
from evertune.metrics.metrics import Metric, compute_metrics
from evertune.models.families import FAMILIES, configuration_encoding, fit_encoded, make_fit_context
from evertune.models.model import predict_encoded
from evertune.models.persistence import dump_predictor
from evertune.models.training import FitResult
from evertune.preprocessing.encoders import EncodingName, feature_frame, make_encoder
from evertune.trials import Configuration, FoldResult, TrialSource
from evertune.types import FloatArray

BYTES_PER_CELL = 8
MAX_ENCODED_BYTES = 400_000_000  # kept by one worker; older encodings make room


@dataclass(frozen=True, eq=False)
class Objective:
    """All that a worker needs to evaluate configurations; it is sent once.

    Attributes
    ----------
    table : DataFrame of n rows
        Clean training rows.
    truth : array of shape (n,)
    metrics : tuple of Metric
        The first is optimised, the others are written down.
    """

    table: pd.DataFrame
    truth: FloatArray
    schema: TableSchema
    folds: tuple[Fold, ...]
    metrics: tuple[Metric, ...]
    seed: int


@dataclass(frozen=True, eq=False)
class EncodedFold:
    """The rows of one fold as a form of encoding shows them.

    Attributes
    ----------
    training, validation : arrays
    seconds : float
        What the validation rows took, once the encoder was fitted.
    """

    training: FloatArray
    validation: FloatArray
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class FoldOutcome:
    """What one fold gave.

    Attributes
    ----------
    result : FoldResult
    model : FoldModel
    whole : bool
        False where the fit was cut short.
    """

    result: FoldResult
    model: FoldModel
    whole: bool


EncodingCache = dict[tuple[EncodingName, int], EncodedFold]


def evaluate_fold(
    work: Objective,
    configuration: Configuration,
    fold: int,
    *,
    encodings: EncodingCache,
    iterations: int | None = None,
    deadline: float = math.inf,
) -> FoldOutcome:
    """Return how a configuration does on one fold, with one thread.

    Parameters
    ----------
    work : Objective
    configuration : Configuration
    fold : int
    encodings : dict
        Of folds that were encoded before; this fold's is added.
    iterations : int, optional
        Exactly so many rounds, trees or epochs; by default as many as the validation rows ask for.
    deadline : float
        Moment of the monotonic clock at which a fit ends with what it has.
    """
    start = time.perf_counter()
    encoded = _encode_fold(work, configuration_encoding(configuration), fold, encodings)
    setting = make_fit_context(
        configuration,
        work.schema,
        seed=work.seed,
        n_jobs=1,
        validation=(encoded.validation, work.truth[work.folds[fold].validation]),
        metric=work.metrics[0].name,
        iterations=iterations,
        deadline=deadline,
    )
    grown = fit_encoded(
        configuration, encoded.training, work.truth[work.folds[fold].training], setting
    )
    middle = time.perf_counter()
    model = _fold_model(work, fold, grown, encoded)
    end = time.perf_counter()
    reached = compute_metrics(work.metrics, work.truth[model.rows], model.predictions)
    seconds = middle - start, end - middle
    result = FoldResult(fold, reached, *seconds, grown.iterations, encoded.seconds)
    return FoldOutcome(result, model, grown.whole)


def estimate_encoded_bytes(
    work: Objective, configuration: Configuration, fold: int, encodings: EncodingCache
) -> tuple[int, bool]:
    """Return about how large a fold's encoded rows are, and whether they are there already.

    Of a form that no fold was encoded in yet, a column for each feature is taken.
    """
    form, folds = configuration_encoding(configuration), work.folds[fold]
    if (form, fold) in encodings:
        return _n_bytes(encodings[form, fold]), True
    alike = [_n_bytes(encoded) for (known, _), encoded in encodings.items() if known == form]
    n_rows = len(folds.training) + len(folds.validation)
    return max([*alike, n_rows * len(work.schema.features) * BYTES_PER_CELL]), False


def mean_score(results: Iterable[FoldResult], metric: str) -> float | None:
    """Return the mean of a metric over the folds in which it is defined."""
    known = [value for fold in results if (value := fold.figures[metric]) is not None]
    return sum(known) / len(known) if known else None


def _encode_fold(
    work: Objective, form: EncodingName, fold: int, known: EncodingCache
) -> EncodedFold:
    if (form, fold) not in known:
        training, validation = work.folds[fold].training, work.folds[fold].validation
        columns = make_encoder(form, work.schema)
        rows = feature_frame(work.table.iloc[training], work.schema)
        X = columns.fit_transform(rows, work.truth[training])
        began = time.perf_counter()
        others = columns.transform(feature_frame(work.table.iloc[validation], work.schema))
        known[(form, fold)] = EncodedFold(X, others, time.perf_counter() - began)
        _evict_encodings(known)
    return known[(form, fold)]


def _evict_encodings(known: EncodingCache) -> None:
    while len(known) > 1 and sum(map(_n_bytes, known.values())) > MAX_ENCODED_BYTES:
        del known[next(iter(known))]


def _n_bytes(encoded: EncodedFold) -> int:
    return int(encoded.training.nbytes + encoded.validation.nbytes)


def _fold_model(work: Objective, fold: int, grown: FitResult, encoded: EncodedFold) -> FoldModel:
    X = encoded.validation if grown.columns is None else encoded.validation[:, list(grown.columns)]
    schema = work.schema
    said = predict_encoded(grown.predictor, X, task=schema.task, n_classes=len(schema.classes))
    kind, data = dump_predictor(grown.predictor)
    return FoldModel(
        fold=fold,
        rows=work.folds[fold].validation,
        predictions=said,
        kind=kind,
        data=data,
        columns=grown.columns,
        iterations=grown.iterations,
    )


MEGABYTE = 1e6
MIN_FIT_BYTES = 50 * 10**6  # that a fit takes beside its rows
# of the encoded rows of a fold: what a fit holds beside them at its peak, measured and rounded up
COPIES_BY_FAMILY = {"hist_boosting": 3.0, "catboost": 3.0, "lightgbm": 1.5, "xgboost": 1.5}
DEFAULT_COPIES = 2.0
FORESTS = ("random_forest", "extra_trees")
BYTES_PER_NODE = 200  # in memory and as the bytes that are kept
MAX_TREE_NODES = 20_000  # of a tree, see evertune.models.sklearn_models
DEFAULT_TREES = 100
MEMORY_POLL_SECONDS = 0.2
MEMORY_WAIT_SECONDS = 5.0
UNKNOWN_BYTES = 2**63

FreeBytes = Callable[[], int]


def wait_for_memory(needed: int, *, until: float, free: FreeBytes) -> str | None:
    """Return why a fit cannot be started, None where it can; other fits may end meanwhile.

    Parameters
    ----------
    needed : int
        Bytes.
    until : float
        Moment of the monotonic clock until which is waited.
    free : callable
        Gives the bytes that are free now.

    Examples
    --------
    >>> wait_for_memory(3_000_000_000, until=0.0, free=lambda: 1_000_000_000)
    'its fit needs about 3,000 MB of memory, but 1,000 MB are free'
    """
    found = free()
    while found < needed and time.monotonic() < until:
        time.sleep(MEMORY_POLL_SECONDS)
        found = free()
    if found >= needed:
        return None
    return (
        f"its fit needs about {needed / MEGABYTE:,.0f} MB of memory, but "
        f"{found / MEGABYTE:,.0f} MB are free"
    )


def estimate_fit_bytes(
    work: Objective, configuration: Configuration, fold: int, *, encodings: EncodingCache
) -> int:
    """Return about how much memory a fit on one fold takes, its encoded rows included.

    Parameters
    ----------
    work : Objective
    configuration : Configuration
    fold : int
    encodings : dict
        Rows that are encoded already are not counted.
    """
    rows, known = estimate_encoded_bytes(work, configuration, fold, encodings)
    copies = COPIES_BY_FAMILY.get(configuration.family, DEFAULT_COPIES)
    missing = 0 if known else 2 * rows  # the cells and what the encoder makes of them
    return MIN_FIT_BYTES + missing + round(copies * rows) + _forest_bytes(work, configuration, fold)


def free_bytes(root: Path = Path("/")) -> int:
    """Return how much memory can be taken now: the machine's, or what limits leave of it.

    Parameters
    ----------
    root : Path
        Where `proc` and `sys` are; without them nothing is known, and very much is returned.
    """
    return min(
        [
            _machine_free_bytes(root),
            *(_cgroup_free_bytes(folder) for folder in _cgroup_folders(root)),
        ]
    )


def _forest_bytes(work: Objective, configuration: Configuration, fold: int) -> int:
    if configuration.family not in FORESTS:
        return 0
    trees = configuration.hyperparameters.get("n_estimators", DEFAULT_TREES)
    nodes = min(2 * len(work.folds[fold].training), MAX_TREE_NODES)
    classes = max(1, len(work.schema.classes))
    return int(trees or 0) * nodes * (BYTES_PER_NODE + 8 * classes)


def _machine_free_bytes(root: Path) -> int:
    try:
        text = (root / "proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return UNKNOWN_BYTES
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return (
        int(lines["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in lines else UNKNOWN_BYTES
    )


def _cgroup_folders(root: Path) -> list[Path]:
    """Return the control groups that the process is in, with those above them."""
    try:
        text = (root / "proc/self/cgroup").read_text(encoding="utf-8")
    except OSError:
        return []
    found: list[Path] = []
    for _, controllers, path in (line.split(":", 2) for line in text.splitlines()):
        if controllers in ("", "memory"):
            top = root / "sys/fs/cgroup" / controllers
            place = top / path.strip("/")
            found += [place, *(above for above in place.parents if above.is_relative_to(top))]
    return found


def _cgroup_free_bytes(folder: Path) -> int:
    """Return what a control group's limit leaves; pages of files that are not used are free."""
    limit = _read_integer(folder / "memory.max") or _read_integer(folder / "memory.limit_in_bytes")
    used = _read_integer(folder / "memory.current") or _read_integer(
        folder / "memory.usage_in_bytes"
    )
    if limit is None or used is None:
        return UNKNOWN_BYTES
    return max(0, limit - used + _inactive_file_bytes(folder / "memory.stat"))


def _inactive_file_bytes(path: Path) -> int:
    try:
        lines = dict(line.split(" ", 1) for line in path.read_text(encoding="ascii").splitlines())
    except OSError:
        return 0
    return int(lines.get("total_inactive_file", lines.get("inactive_file", "0")))


def _read_integer(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


REPORT_SECONDS = 0.5  # quick folds are told of together: each message costs some 25 ms
MIN_ITERATIONS = 10  # what a fold that was cut short must have, to set the others' number
FOLD_TIME_FACTOR = 3.0
OUT_OF_BUDGET = "the budget was used up"
TOO_SLOW = "a fit on one fold took longer than its share of the budget"


@dataclass(frozen=True)
class Job:
    """A configuration and the folds that it is evaluated on, one after the other.

    Attributes
    ----------
    number : int
        Of the trial.
    configuration : Configuration
    folds : tuple of int
    phase : str
    iterations : int, optional
        What every fold has exactly, once the first fold was cut short.
    fold_seconds : float
        The longest time of a fit. The first fold's model is cut short at it, and all other folds
        then have as many iterations, so that the folds stay comparable.
    deadline : float
        Moment, in seconds since 1970, at which fits end whatever they have.
    """

    number: int
    configuration: Configuration
    folds: tuple[int, ...]
    phase: TrialSource = "search"
    iterations: int | None = None
    fold_seconds: float = math.inf
    deadline: float = math.inf


@dataclass(frozen=True, eq=False)
class JobUpdate:
    """What a worker tells at once: some folds, and why the unit ended where it did not go on."""

    yields: tuple[FoldOutcome, ...]
    done: bool
    reason: str | None = None
    failed: bool = False


@dataclass(frozen=True)
class FoldFailure:
    """Why a unit has no result on a fold, and whether it failed rather than was passed over."""

    reason: str
    failed: bool


def run_job(
    work: Objective, unit: Job, encodings: EncodingCache, *, free: FreeBytes = free_bytes
) -> Iterator[JobUpdate]:
    """Yield the folds of a unit as they are finished, quick ones together.

    An exception of a fit ends the unit alone, and so does a fold on which the metric is undefined:
    it is its reason. A fit that would not find room in memory is not begun.

    Parameters
    ----------
    work : Objective
    unit : Job
    encodings : dict
        Of folds that were encoded before; more are added.
    free : callable
        Gives the bytes of memory that are free.
    """
    gathered: list[FoldOutcome] = []
    began = time.monotonic()
    for position, fold in enumerate(unit.folds):
        found = _try_fold(work, unit, fold, encodings, free)
        if isinstance(found, FoldFailure):
            yield JobUpdate(tuple(gathered), True, found.reason, failed=found.failed)
            return
        reason = _rejection_reason(unit, found, first=position == 0)
        if reason is not None:
            yield JobUpdate(tuple(gathered), True, reason)
            return
        if not found.whole:
            unit = replace(unit, iterations=found.result.iterations)
        gathered.append(found)
        done = position == len(unit.folds) - 1
        if done or time.monotonic() - began >= REPORT_SECONDS:
            yield JobUpdate(tuple(gathered), done)
            gathered, began = [], time.monotonic()


def job_to_config(unit: Job) -> dict[str, Any]:
    """Return a unit as Tune carries it; `job_from_config` reads it back."""
    return asdict(unit)


def job_from_config(config: Mapping[str, Any]) -> Job:
    """Return the unit of a Tune trial."""
    configuration = Configuration(**config["configuration"])
    return Job(**{**config, "configuration": configuration, "folds": tuple(config["folds"])})


def _fit_deadline(unit: Job) -> float:
    """Return when the next fit must end, on this machine's monotonic clock."""
    now, most = time.monotonic(), unit.fold_seconds
    if unit.iterations is not None:  # what one fold did in its time, another may do in a bit more
        most *= FOLD_TIME_FACTOR
    return min(now + most, now + unit.deadline - time.time())


def _try_fold(
    work: Objective, unit: Job, fold: int, encodings: EncodingCache, free: FreeBytes
) -> FoldOutcome | FoldFailure:
    lack = _lack_of_memory(work, unit, fold, encodings, free)
    if lack is not None:
        return FoldFailure(lack, failed=False)
    try:
        found = evaluate_fold(
            work,
            unit.configuration,
            fold,
            encodings=encodings,
            iterations=unit.iterations,
            deadline=_fit_deadline(unit),
        )
    except Exception as error:
        return FoldFailure(f"{type(error).__name__}: {error}", failed=True)
    if found.result.figures[work.metrics[0].name] is None:
        return FoldFailure(_undefined_metric_text(work, fold), failed=True)
    return found


def _lack_of_memory(
    work: Objective, unit: Job, fold: int, encodings: EncodingCache, free: FreeBytes
) -> str | None:
    if unit.configuration.family not in FAMILIES:  # its fit says so
        return None
    needed = estimate_fit_bytes(work, unit.configuration, fold, encodings=encodings)
    until = min(time.monotonic() + MEMORY_WAIT_SECONDS, _fit_deadline(unit))
    return wait_for_memory(needed, until=until, free=free)


def _undefined_metric_text(work: Objective, fold: int) -> str:
    return f"{work.metrics[0].name} is undefined on fold {fold}"


def _rejection_reason(unit: Job, found: FoldOutcome, *, first: bool) -> str | None:
    """Return why a fold that was cut short is not kept; None where it is."""
    if found.whole:
        return None
    if first and unit.iterations is None and (found.result.iterations or 0) >= MIN_ITERATIONS:
        return None
    return OUT_OF_BUDGET if time.time() >= unit.deadline else TOO_SLOW


def read_objective(
    paths: PathsSection, metric: MetricSection, *, root: Path, seed: int
) -> Objective:
    """Return what the stages before have left for the search."""
    schema, table = read_record(paths.table_schema, TableSchema), read_table(paths.training)
    return Objective(
        table=table,
        truth=encode_target(table, schema),
        schema=schema,
        folds=folds_from_table(read_table(paths.folds)),
        metrics=load_metrics(metric, schema.task, root),
        seed=seed,
    )
