"""Measure what the promotion gate needs: a new version and the champion on the hold-out.

`compare_on_holdout` reads the hold-out and has the new version predict it, and the champion the
rows that neither of the two was trained on. `gather_evidence` measures the rest: paired
differences with bootstrap intervals, regressions of slices, calibration, gaps between selection
rates, latency and size. The result is a `GateEvidence`, in which None means "not known", never "no
difference". Reads files, both models and the clock; writes nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from time import perf_counter

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evertune.config.custom_metrics import load_metrics
from evertune.data.schema import TableSchema, encode_predictions, encode_target
from evertune.errors import ParamsError, TableError
from evertune.evaluation.formatting import count_noun
from evertune.evaluation.slices import Slice, slice_by_columns
from evertune.evaluation.unseen_values import describe_unseen_values
from evertune.files import read_table
from evertune.messages import format_percent
from evertune.metrics.metrics import METRICS, Metric
from evertune.models.fitted_model import Model
from evertune.models.persistence import load_model, predict_rows
from evertune.registry.gates import ChampionComparison, GateEvidence, RateGap, SliceRegression
from evertune.registry.holdout_reuse import adjusted_confidence
from evertune.registry.registration_inputs import RegistrationInputs
from evertune.stats.bootstrap import BootstrapConfig, paired_difference
from evertune.stats.comparison import delong_test, holm_adjust
from evertune.stats.results import PairedDifference, TestResult
from evertune.types import FloatArray, Predictions, take_rows

MAX_TRAINING_MISSING_SHARE = 0.5
TIMING_ROWS, TIMING_REPEATS = 1000, 3
BYTES_PER_MEGABYTE = 1e6


@dataclass(frozen=True, eq=False)
class PairedPredictions:
    """The predictions of a challenger and of the champion for the same n rows.

    `y_true` is an array of shape (n,); neither model was trained on these rows.
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
    """The hold-out, and the predictions of a new version and of the champion.

    Attributes
    ----------
    model : Model
        The new version's.
    metrics : tuple of Metric
        The optimised one comes first.
    unseen : array of bool of shape (n,)
        The rows that neither model was trained on.
    predictions : Predictions
        The new version's, of all n rows; not finite if it cannot read them.
    fault : str, optional
        Why it cannot read them.
    champion_version : str, optional
        None if there is no champion yet.
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
    champion_version: str | None = None
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
    def monitored_loss(self) -> Metric:
        """The loss of the second test: MAE in regression, else the Brier score."""
        return METRICS["mae" if self.model.schema.task == "regression" else "brier"]

    @property
    def has_second_test(self) -> bool:
        """Whether this loss can be tested, and is not the metric itself."""
        loss = self.monitored_loss
        is_defined = not loss.needs_probabilities or self.predictions.probabilities is not None
        return is_defined and loss.name != self.metrics[0].name


def compare_on_holdout(
    inputs: RegistrationInputs,
    champion: Model | None = None,
    *,
    champion_version: str | None = None,
) -> HoldoutComparison:
    """Predict the hold-out with a new version, and its unseen rows with the champion.

    Raises
    ------
    ParamsError
        The metric does not serve the task.
    """
    model, holdout = load_model(inputs.model), read_table(inputs.params.paths.holdout)
    seen = model.row_keys if champion is None else (*model.row_keys, *champion.row_keys)
    predictions, fault = _predict_or_fault(model, holdout)
    comparison = HoldoutComparison(
        model=model,
        metrics=load_metrics(inputs.params.metric, model.schema.task, inputs.root),
        holdout=holdout,
        unseen=~holdout["row_key"].isin(seen).to_numpy(),
        predictions=predictions,
        fault=fault,
        champion_version=champion_version,
    )
    if champion is None:
        return comparison
    obstacle = incomparable_reason(model.schema, champion.schema)
    if obstacle is not None or comparison.rows.empty:
        return replace(comparison, obstacle=obstacle)
    predictions, obstacle = _predict_or_fault(champion, comparison.rows)
    n_missing = n_missing_predictions(predictions)
    if obstacle is None and n_missing:
        n_rows = count_noun(len(comparison.rows), "row")
        obstacle = f"it gives no finite prediction for {n_missing} of {n_rows}"
    if obstacle is not None:
        return replace(comparison, obstacle=obstacle)
    return replace(comparison, champion_predictions=predictions)


def gather_evidence(
    inputs: RegistrationInputs, comparison: HoldoutComparison, *, version: str, holdout_use: int
) -> GateEvidence:
    """Return all that the gates know of a version beside its evaluation.

    Parameters
    ----------
    version : str
        The number of the new version.
    holdout_use : int
        The number of this use of the hold-out's rows.

    Raises
    ------
    ParamsError
        `evaluation.slices` or `evaluation.sensitive` names no column of the table.
    """
    section, registry = inputs.params.evaluation, inputs.params.registry
    holdout, schema = comparison.holdout, comparison.model.schema
    predictions = comparison.predictions

    def bootstrap(use: int) -> BootstrapConfig:
        confidence = adjusted_confidence(use, alpha=registry.alpha)
        return BootstrapConfig(section.bootstrap_draws, confidence, section.seed)

    def slices(rows: pd.DataFrame, columns: Sequence[str]) -> tuple[Slice, ...]:
        named = list(dict.fromkeys(columns))
        try:
            return slice_by_columns(rows, schema, named, min_rows=section.slice_rows)
        except ValueError as error:
            raise ParamsError(f"evaluation.slices and evaluation.sensitive: {error}") from error

    training = read_table(inputs.params.paths.training)
    size = sum(file.stat().st_size for file in inputs.model.rglob("*") if file.is_file())
    evidence = GateEvidence(
        version=version,
        n_holdout=len(holdout),
        n_trained=int(holdout["row_key"].isin(comparison.model.row_keys).sum()),
        n_missing=n_missing_predictions(predictions),
        fault=comparison.fault,
        holdout_use=holdout_use,
        confidence=bootstrap(holdout_use).confidence,
        slice_columns=(*section.slices, *section.sensitive),
        has_probabilities=predictions.probabilities is not None,
        sensitive=section.sensitive,
        rate_gaps=selection_rate_gaps(predictions, slices(holdout, section.sensitive), schema),
        milliseconds_a_row=(
            _milliseconds_a_row(comparison) if registry.gates.milliseconds_a_row else None
        ),
        megabytes=size / BYTES_PER_MEGABYTE,
        faults=holdout_faults(holdout, training, schema),
        notes=describe_unseen_values(training, holdout, schema),
    )
    if comparison.champion_version is None:
        return evidence
    champion = ChampionComparison(
        comparison.champion_version,
        n_left_out=int((~comparison.unseen).sum()),
        obstacle=comparison.obstacle,
    )
    pair = comparison.pair
    if pair is None:
        return replace(evidence, champion=champion)

    if schema.classes:
        counts = np.bincount(pair.y_true.astype(int), minlength=len(schema.classes))
        champion = replace(champion, class_counts=tuple(counts.tolist()))
    metric, loss = comparison.metrics[0], comparison.monitored_loss
    improvement = pair.improvement(metric, bootstrap(holdout_use))
    tests = [_as_test(f"paired {metric.name}", improvement)]
    if metric.name == "roc_auc":
        confidence = evidence.confidence
        delong = delong_test(pair.y_true, pair.challenger, pair.champion, confidence=confidence)
        tests += [] if delong is None else [delong]
    loss_improvement = None
    if comparison.has_second_test:
        loss_improvement = pair.improvement(loss, bootstrap(holdout_use + 1))
        tests.append(_as_test(f"paired {loss.name}, the monitored loss", loss_improvement))
    plain = BootstrapConfig(section.bootstrap_draws, section.confidence, section.seed)
    columns = evidence.slice_columns
    regressions = slice_regressions((metric, loss), pair, slices(comparison.rows, columns), plain)
    calibration = None
    if pair.challenger.probabilities is not None and pair.champion.probabilities is not None:
        calibration = pair.drop(METRICS["calibration_error"], plain)
    return replace(
        evidence,
        champion=replace(champion, difference=improvement, loss=loss_improvement),
        regressions=regressions,
        calibration=calibration,
        tests=(*tests, *slice_tests(regressions)),
    )


def slice_regressions(
    metrics: Sequence[Metric],
    pair: PairedPredictions,
    slices: Sequence[Slice],
    bootstrap: BootstrapConfig,
) -> tuple[SliceRegression, ...]:
    """Return by how much the challenger is worse than the champion on each slice.

    The first metric that is defined for the champion on the rows of a slice judges it.
    """
    regressions = []
    for part in slices:
        inside = pair.take(part.rows)
        scores = {each: each.score(inside.y_true, inside.champion) for each in metrics}
        metric = next((each for each in metrics if np.isfinite(scores[each])), metrics[0])
        score = scores[metric] if np.isfinite(scores[metric]) else None
        drop = inside.drop(metric, bootstrap)
        regressions.append(SliceRegression(part.column, part.value, metric.name, score, drop))
    return tuple(regressions)


def slice_tests(regressions: Sequence[SliceRegression]) -> tuple[TestResult, ...]:
    """Return the regressions as tests of "the champion is not better there", Holm-corrected."""

    def negate(value: float | None) -> float | None:
        return None if value is None else -value

    tested = [(each, each.drop.p_value) for each in regressions if each.drop.p_value is not None]
    adjusted = holm_adjust([p_value for _, p_value in tested])
    return tuple(
        TestResult(
            name=f"slice {each}, {each.metric}",
            difference=negate(each.drop.mean),
            low=negate(each.drop.high),
            high=negate(each.drop.low),
            p_value=p_value,
            n=each.drop.n_rows,
            note="p of: not worse than the champion; after Holm",
        )
        for (each, _), p_value in zip(tested, adjusted, strict=True)
    )


def selection_rate_gaps(
    predictions: Predictions, slices: Sequence[Slice], schema: TableSchema
) -> tuple[RateGap, ...] | None:
    """Return for each column the largest gap between the rates at which a class is predicted.

    None in regression; a column with one slice has no gap.
    """
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
    holdout: pd.DataFrame, training: pd.DataFrame, schema: TableSchema
) -> tuple[str, ...]:
    """Return what is wrong with the hold-out's rows.

    These are unknown targets, and columns that are missing in the whole hold-out but not in most of
    the training rows.
    """

    def faults() -> Iterator[str]:
        targets = encode_predictions(holdout[schema.target], schema).values
        n_unknown = int((~np.isfinite(targets)).sum())
        if n_unknown:
            verb = "has" if n_unknown == 1 else "have"
            yield f"{count_noun(n_unknown, 'hold-out row')} {verb} no known target"
        for name in (column.name for column in schema.features if column.name in holdout):
            share = float(training[name].isna().mean()) if len(training) else 1.0
            is_gone = len(holdout) and holdout[name].isna().all()
            if is_gone and share < MAX_TRAINING_MISSING_SHARE:
                yield (
                    f"{name} is missing in every row of the hold-out, and in"
                    f" {format_percent(share)} of the training rows: fix the data source, or add it"
                    " to data.ignore"
                )

    return tuple(faults())


def n_missing_predictions(predictions: Predictions) -> int:
    """Return for how many rows a model gives no finite prediction."""
    finite = np.isfinite(predictions.values)
    if predictions.probabilities is not None:
        finite &= np.isfinite(predictions.probabilities).all(axis=1)
    return int((~finite).sum())


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


def _as_test(name: str, found: PairedDifference) -> TestResult:
    return TestResult(
        name, found.mean, found.low, found.high, found.p_value, found.n_rows, found.method
    )


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
