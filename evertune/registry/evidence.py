"""Measure what the promotion gates need: a new version and the champion on the hold-out.

`compare_on_holdout` reads the hold-out and both models and predicts the rows that neither model
was trained on. `gather_evidence` measures the rest: paired differences with bootstrap intervals,
regressions of slices, calibration, gaps between selection rates, latency and size. The result is
a `GateEvidence`, in which None means "not known", never "no difference". Reads files, both models
and the clock; writes nothing.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from time import perf_counter

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evertune.config.custom_metrics import load_metrics
from evertune.config.schema import EvaluationSection, Params
from evertune.data.schema import TableSchema, encode_target
from evertune.errors import ParamsError, StageError, TableError
from evertune.evaluation.slices import Slice, slice_by_columns
from evertune.files import read_table
from evertune.metrics.metrics import METRICS, Metric
from evertune.models.fitted_model import Model
from evertune.models.persistence import load_model, predict_rows
from evertune.registry.holdout_reuse import adjusted_confidence
from evertune.registry.inputs import RegistrationInputs
from evertune.stats.bootstrap import BootstrapConfig, paired_difference
from evertune.stats.comparison import delong_test, holm_adjust
from evertune.stats.results import PairedDifference, TestResult
from evertune.types import FloatArray, Predictions, Task, take_rows

MAX_TRAINING_MISSING_SHARE = 0.5
TIMING_ROWS, TIMING_REPEATS = 1000, 3
BYTES_PER_MEGABYTE = 1e6


@dataclass(frozen=True)
class ChampionComparison:
    """The champion beside the new model, on hold-out rows that neither was trained on.

    Attributes
    ----------
    version : str
        The champion's.
    difference : PairedDifference, optional
        By how much the new model is better; None if the two cannot be compared.
    n_left_out : int
        Rows of the hold-out that one of the two was trained on.
    obstacle : str, optional
        Why the two cannot be compared.
    loss : PairedDifference, optional
        By how much the monitored loss is lower, on the same rows, with the interval of the use
        after. None if the metric is this loss itself.
    """

    version: str
    difference: PairedDifference | None = None
    n_left_out: int = 0
    obstacle: str | None = None
    loss: PairedDifference | None = None


@dataclass(frozen=True)
class SliceRegression:
    """By how much the new model is worse than the champion on the rows of a slice.

    Attributes
    ----------
    metric : str
        The optimised one; the monitored loss if that is undefined on these rows.
    score : float, optional
        The champion's.
    drop : PairedDifference
        Positive if the new model is worse; its p-value is of "it is not worse".
    """

    column: str
    value: str
    metric: str
    score: float | None
    drop: PairedDifference


@dataclass(frozen=True)
class RateGap:
    """The largest difference between the shares of rows predicted to be of a class.

    `lowest` and `highest` are the values of the sensitive column with the lowest and highest
    share.
    """

    column: str
    predicted: str
    lowest: str
    highest: str
    gap: float


@dataclass(frozen=True)
class GateEvidence:
    """All that the gates know of a version beside its evaluation; None: it is not known.

    Attributes
    ----------
    n_holdout, n_trained, n_missing : int
        Rows of the hold-out; those that the version was trained on; those for which it gives no
        finite prediction.
    fault : str, optional
        Why it cannot read them.
    champion : ChampionComparison, optional
        None if there is no champion yet.
    look : int
        The number of this use of these rows.
    confidence : float
        Of the difference from the champion.
    slice_columns, sensitive : tuple of str
        The declared columns.
    regressions : tuple of SliceRegression, optional
        None without a champion to compare with.
    calibration : PairedDifference, optional
        By how much the expected calibration error is higher than the champion's.
    faults : tuple of str, optional
        What is wrong with the hold-out.
    tests : tuple of TestResult
        Shown beside those that decide.
    """

    version: str
    n_holdout: int
    n_trained: int = 0
    n_missing: int = 0
    fault: str | None = None
    champion: ChampionComparison | None = None
    look: int = 1
    confidence: float = 0.95
    slice_columns: tuple[str, ...] = ()
    regressions: tuple[SliceRegression, ...] | None = None
    calibration: PairedDifference | None = None
    has_probabilities: bool = False
    sensitive: tuple[str, ...] = ()
    rate_gaps: tuple[RateGap, ...] | None = None
    milliseconds_a_row: float | None = None
    megabytes: float | None = None
    faults: tuple[str, ...] | None = None
    tests: tuple[TestResult, ...] = ()


@dataclass(frozen=True, eq=False)
class ChampionModel:
    """The champion: its version, the hash of its files, and its model."""

    version: str
    identity: str
    model: Model


@dataclass(frozen=True, eq=False)
class PairedPredictions:
    """The predictions of a challenger and of the champion for rows that neither was trained on.

    `y_true` is an array of shape (n,), both predictions are of the same n rows.
    """

    y_true: FloatArray
    challenger: Predictions
    champion: Predictions

    def improvement(self, metric: Metric, bootstrap: BootstrapConfig) -> PairedDifference:
        """Return by how much the challenger is better than the champion."""
        return paired_difference(
            metric, self.y_true, self.challenger, self.champion, **asdict(bootstrap)
        )

    def drop(self, metric: Metric, bootstrap: BootstrapConfig) -> PairedDifference:
        """Return by how much the challenger is worse than the champion."""
        return paired_difference(
            metric, self.y_true, self.champion, self.challenger, **asdict(bootstrap)
        )

    def take(self, rows: NDArray[np.intp]) -> "PairedPredictions":
        """Return the pair of some rows, given by their positions."""
        mask = np.zeros(self.y_true.size, dtype=bool)
        mask[rows] = True
        return PairedPredictions(
            self.y_true[mask], take_rows(self.challenger, mask), take_rows(self.champion, mask)
        )


@dataclass(frozen=True, eq=False)
class HoldoutComparison:
    """The hold-out, and the predictions of both models.

    Attributes
    ----------
    model : Model
        The challenger.
    metrics : tuple of Metric
        The optimised one comes first.
    unseen : array of bool of shape (n,)
        The rows that neither model was trained on.
    predictions : Predictions
        The challenger's, of all n rows; not finite if it cannot read them.
    fault : str, optional
        Why it cannot read them.
    champion_predictions : Predictions, optional
        Of the unseen rows.
    obstacle : str, optional
        Why there are none of the champion.
    """

    model: Model
    metrics: tuple[Metric, ...]
    holdout: pd.DataFrame
    unseen: NDArray[np.bool_]
    predictions: Predictions
    fault: str | None = None
    champion_predictions: Predictions | None = None
    obstacle: str | None = None

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The unseen rows."""
        return self.holdout[self.unseen].reset_index(drop=True)

    @cached_property
    def pair(self) -> PairedPredictions | None:
        """The predictions of both for the unseen rows; None if they cannot be compared."""
        challenger = take_rows(self.predictions, self.unseen)
        champion = self.champion_predictions
        if champion is None or self.rows.empty or n_missing_predictions(challenger):
            return None
        return PairedPredictions(encode_target(self.rows, self.model.schema), challenger, champion)

    @property
    def secondary_loss(self) -> Metric | None:
        """The loss that a second test is of; None if it is the metric itself."""
        loss = monitoring_loss(self.model.schema.task)
        undefined = loss.needs_probabilities and self.predictions.probabilities is None
        return None if undefined or loss.name == self.metrics[0].name else loss


def compare_on_holdout(
    inputs: RegistrationInputs, champion: ChampionModel | None
) -> HoldoutComparison:
    """Predict the hold-out with a new version, and its unseen rows with the champion.

    Raises
    ------
    StageError
        One of the two was trained on a row that is about to be compared.
    ParamsError
        The metric does not serve the task.
    """
    model, holdout = load_model(inputs.model), read_table(inputs.params.paths.holdout)
    champion_keys = () if champion is None else champion.model.row_keys
    predictions, fault = _predict_or_fault(model, holdout)
    comparison = HoldoutComparison(
        model=model,
        metrics=load_metrics(inputs.params.metric, model.schema.task, inputs.root),
        holdout=holdout,
        unseen=unseen_mask(list(holdout["row_key"]), model.row_keys, champion_keys),
        predictions=predictions,
        fault=fault,
    )
    if champion is None:
        return comparison
    trained = {"the version": model.row_keys, f"version {champion.version}": champion_keys}
    check_rows_unseen(list(comparison.rows["row_key"]), trained=trained)
    obstacle = incomparable_reason(model.schema, champion.model.schema)
    if obstacle is not None:
        return replace(comparison, obstacle=obstacle)
    if comparison.rows.empty:
        return comparison
    predictions, fault = _predict_or_fault(champion.model, comparison.rows)
    if fault is not None:
        return replace(comparison, obstacle=fault)
    n_missing = n_missing_predictions(predictions)
    if n_missing:
        n_rows = len(comparison.rows)
        obstacle = f"it gives no finite prediction for {n_missing} of {n_rows} rows"
        return replace(comparison, obstacle=obstacle)
    return replace(comparison, champion_predictions=predictions)


def gather_evidence(
    inputs: RegistrationInputs,
    comparison: HoldoutComparison,
    champion: ChampionModel | None,
    *,
    number: str,
    look: int,
) -> GateEvidence:
    """Return all that the gates know of a version beside its evaluation.

    Parameters
    ----------
    number : str
        The version.
    look : int
        The number of this use of the hold-out's rows.

    Raises
    ------
    ParamsError
        `evaluation.slices` or `evaluation.sensitive` names no column of the table.
    """
    section, gates = inputs.params.evaluation, inputs.params.registry.gates
    model, holdout = comparison.model, comparison.holdout
    sensitive = _slices(holdout, model.schema, section.sensitive, section)
    training = read_table(inputs.params.paths.training)
    size = sum(file.stat().st_size for file in inputs.model.rglob("*") if file.is_file())
    evidence = GateEvidence(
        version=number,
        n_holdout=len(holdout),
        n_trained=int((~unseen_mask(list(holdout["row_key"]), model.row_keys)).sum()),
        n_missing=n_missing_predictions(comparison.predictions),
        fault=comparison.fault,
        look=look,
        confidence=_bootstrap_for_use(inputs.params, look).confidence,
        slice_columns=(*section.slices, *section.sensitive),
        has_probabilities=comparison.predictions.probabilities is not None,
        sensitive=section.sensitive,
        rate_gaps=selection_rate_gaps(comparison.predictions, sensitive, model.schema),
        milliseconds_a_row=_milliseconds_a_row(comparison) if gates.milliseconds_a_row else None,
        megabytes=size / BYTES_PER_MEGABYTE,
        faults=holdout_faults(
            holdout, training, model.schema, encode_target(holdout, model.schema)
        ),
    )
    if champion is None:
        return evidence
    found = ChampionComparison(
        champion.version,
        n_left_out=int((~comparison.unseen).sum()),
        obstacle=comparison.obstacle,
    )
    pair = comparison.pair
    if pair is None:
        return replace(evidence, champion=found)
    metric, loss = comparison.metrics[0], comparison.secondary_loss
    found = replace(
        found,
        difference=pair.improvement(metric, _bootstrap_for_use(inputs.params, look)),
        loss=None
        if loss is None
        else pair.improvement(loss, _bootstrap_for_use(inputs.params, look + 1)),
    )
    bootstrap = BootstrapConfig(section.bootstrap_draws, section.confidence, section.seed)
    slices = _slices(comparison.rows, model.schema, evidence.slice_columns, section)
    on_slices = (metric, monitoring_loss(model.schema.task))
    regressions = slice_regressions(on_slices, pair, slices, bootstrap)
    return replace(
        evidence,
        champion=found,
        regressions=regressions,
        calibration=calibration_error_increase(pair, bootstrap),
        tests=(
            *_difference_tests(f"paired {metric.name}", found.difference),
            *_delong_tests(metric, pair, evidence.confidence),
            *_difference_tests(f"paired {loss.name if loss else ''}, the watched loss", found.loss),
            *slice_tests(regressions),
        ),
    )


def calibration_error_increase(
    pair: PairedPredictions, bootstrap: BootstrapConfig
) -> PairedDifference | None:
    """Return by how much the expected calibration error is higher; None without probabilities."""
    if pair.challenger.probabilities is None or pair.champion.probabilities is None:
        return None
    return pair.drop(METRICS["calibration_error"], bootstrap)


def slice_regressions(
    metrics: Sequence[Metric],
    pair: PairedPredictions,
    slices: Sequence[Slice],
    bootstrap: BootstrapConfig,
) -> tuple[SliceRegression, ...]:
    """Return by how much the challenger is worse than the champion on each slice."""
    found = []
    for part in slices:
        inside = pair.take(part.rows)
        scores = {each: each.score(inside.y_true, inside.champion) for each in metrics}
        metric = next((each for each in metrics if np.isfinite(scores[each])), metrics[0])
        score = scores[metric] if np.isfinite(scores[metric]) else None
        drop = inside.drop(metric, bootstrap)
        found.append(SliceRegression(part.column, part.value, metric.name, score, drop))
    return tuple(found)


def slice_tests(regressions: Sequence[SliceRegression]) -> tuple[TestResult, ...]:
    """Return the regressions as tests of "the champion is not better there", Holm-corrected."""
    tested = [each for each in regressions if each.drop.p_value is not None]
    adjusted = holm_adjust([each.drop.p_value or 0.0 for each in tested])
    return tuple(
        TestResult(
            name=f"slice {each.column} is {each.value}, {each.metric}",
            difference=_negate(each.drop.mean),
            low=_negate(each.drop.high),
            high=_negate(each.drop.low),
            p_value=p_value,
            n=each.drop.n_rows,
            note="p of: not worse than the champion; after Holm",
        )
        for each, p_value in zip(tested, adjusted, strict=True)
    )


def selection_rate_gaps(
    predictions: Predictions, slices: Sequence[Slice], schema: TableSchema
) -> tuple[RateGap, ...] | None:
    """Return for each column the largest gap between the rates at which a class is predicted."""
    if schema.task == "regression":
        return None
    codes = [1] if schema.task == "binary" else range(len(schema.classes))
    gaps = []
    for column in dict.fromkeys(each.column for each in slices):
        parts = [each for each in slices if each.column == column]
        if len(parts) < 2:
            continue
        of_column = []
        for code in codes:
            rates = {
                each.value: float((predictions.values[each.rows] == code).mean()) for each in parts
            }
            low, high = min(rates, key=rates.__getitem__), max(rates, key=rates.__getitem__)
            gap = rates[high] - rates[low]
            of_column.append(RateGap(column, schema.classes[code], low, high, gap))
        gaps.append(max(of_column, key=lambda each: each.gap))
    return tuple(gaps)


def holdout_faults(
    holdout: pd.DataFrame, training: pd.DataFrame, schema: TableSchema, y_true: FloatArray
) -> tuple[str, ...]:
    """Return what is wrong with the hold-out's rows (clean, with true values `y_true`).

    These are unknown true values, and columns that are missing in the whole hold-out but not in
    most of the training rows.
    """

    def faults() -> Iterator[str]:
        n_unknown = int((~np.isfinite(y_true)).sum())
        if n_unknown:
            yield f"{n_unknown} hold-out rows have no known target"
        for name in (column.name for column in schema.features if column.name in holdout):
            share = float(training[name].isna().mean()) if len(training) else 1.0
            is_gone = len(holdout) and holdout[name].isna().all()
            if is_gone and share < MAX_TRAINING_MISSING_SHARE:
                yield (
                    f"{name} is missing in every row of the hold-out, and in {share:.0%} of the"
                    " training rows: mend the feed, or add it to data.ignore"
                )

    return tuple(faults())


def unseen_mask(keys: Sequence[str], *seen: Collection[str]) -> NDArray[np.bool_]:
    """Return a mask of the rows whose keys are in none of the collections.

    Examples
    --------
    >>> unseen_mask(["a", "b", "c"], {"b"}, {"c", "d"})
    array([ True, False, False])
    """
    known = set().union(*seen)
    return np.array([key not in known for key in keys], dtype=bool)


def check_rows_unseen(keys: Collection[str], *, trained: Mapping[str, Collection[str]]) -> None:
    """Check that no model was trained on a row that is about to be compared."""
    for name, trained_keys in trained.items():
        n_shared = len(set(keys).intersection(trained_keys))
        if n_shared:
            raise StageError(
                f"expected rows that {name} was not trained on, but {n_shared} of {len(keys)}"
                " compared rows were among its training rows; nothing was decided"
            )


def n_missing_predictions(predictions: Predictions) -> int:
    """Return for how many rows a model gives no finite prediction."""
    finite = np.isfinite(predictions.values)
    if predictions.probabilities is not None:
        finite &= np.isfinite(predictions.probabilities).all(axis=1)
    return int((~finite).sum())


def monitoring_loss(task: Task) -> Metric:
    """Return the loss of the gate's second test: MAE in regression, else the Brier score."""
    return METRICS["mae" if task == "regression" else "brier"]


def incomparable_reason(challenger: TableSchema, champion: TableSchema) -> str | None:
    """Return why two models answer different questions, None if they do not."""
    if challenger.target != champion.target:
        return f"it predicts {champion.target!r}, not {challenger.target!r}"
    if challenger.task != champion.task:
        return f"its task is {champion.task}, not {challenger.task}"
    if challenger.classes != champion.classes:
        ours, theirs = ", ".join(challenger.classes), ", ".join(champion.classes)
        return f"its classes are {theirs}, not {ours}"
    return None


def _predict_or_fault(model: Model, rows: pd.DataFrame) -> tuple[Predictions, str | None]:
    try:
        return predict_rows(model, rows), None
    except TableError as error:
        return Predictions(np.full(len(rows), np.nan)), f"it cannot read these rows: {error}"


def _bootstrap_for_use(params: Params, look: int) -> BootstrapConfig:
    section, allowed = params.evaluation, params.registry.alpha
    confidence = adjusted_confidence(look, false_promotions=allowed)
    return BootstrapConfig(section.bootstrap_draws, confidence, section.seed)


def _slices(
    rows: pd.DataFrame, schema: TableSchema, columns: Sequence[str], section: EvaluationSection
) -> tuple[Slice, ...]:
    named = list(dict.fromkeys(columns))
    try:
        return slice_by_columns(rows, schema, named, min_rows=section.slice_rows)
    except ValueError as error:
        raise ParamsError(f"evaluation.slices and evaluation.sensitive: {error}") from error


def _difference_tests(name: str, found: PairedDifference | None) -> list[TestResult]:
    if found is None:
        return []
    interval = (found.mean, found.low, found.high)
    return [TestResult(name, *interval, found.p_value, found.n_rows, found.method)]


def _delong_tests(metric: Metric, pair: PairedPredictions, confidence: float) -> list[TestResult]:
    if metric.name != "roc_auc":
        return []
    found = delong_test(pair.y_true, pair.challenger, pair.champion, confidence=confidence)
    return [] if found is None else [found]


def _milliseconds_a_row(comparison: HoldoutComparison) -> float | None:
    if comparison.fault is not None or comparison.holdout.empty:
        return None
    rows = comparison.holdout.head(TIMING_ROWS)
    seconds = []
    for _ in range(TIMING_REPEATS):
        started = perf_counter()
        predict_rows(comparison.model, rows)
        seconds.append(perf_counter() - started)
    return min(seconds) * 1000 / len(rows)


def _negate(value: float | None) -> float | None:
    return None if value is None else -value
