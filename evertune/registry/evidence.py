"""Measure what the promotion gates need: a new version and the champion on the hold-out.

`compare_on_holdout` reads the hold-out and both models and predicts the rows that neither model
was trained on; a single such row among those that judge is an error. `gather_evidence` measures
the rest: paired differences with bootstrap intervals, regressions of slices, calibration, gaps
between selection rates, latency and size. The result is a `GateEvidence`, in which None means
"not known", never "no difference". `GateRules` says which gates are on. Reads files, both
models and the clock; writes nothing.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
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
from evertune.models.model import Model
from evertune.models.persistence import load_model, predict_rows
from evertune.registry.holdout_reuse import adjusted_confidence
from evertune.registry.runs import RegistrationInputs
from evertune.stats.bootstrap import (
    BootstrapConfig,
    PairedDifference,
    TestResult,
    paired_difference,
)
from evertune.stats.comparison import delong_test, holm_adjust
from evertune.types import FloatArray, Predictions, Task, take_rows


@dataclass(frozen=True)
class GateRules:
    """What a version must pass; see `registry` in params.yaml. False and None switch off."""

    baselines: bool = True
    existing: bool = True
    champion: bool = True
    guards: bool = True
    data: bool = True
    slices: float | None = 0.05
    calibration: float | None = 0.02
    rate_gap: float | None = None
    milliseconds_a_row: float | None = None
    megabytes: float | None = None
    approval: bool = False


@dataclass(frozen=True)
class ChampionComparison:
    """The standing champion beside the new model, on hold-out rows that neither was trained on.

    Attributes
    ----------
    version : str
    difference : PairedDifference, optional
        By how much the new model is better; None where the two cannot be compared.
    n_seen : int
        Rows of the hold-out that were left out, since one of the two was trained on them.
    obstacle : str, optional
        Why the two cannot be compared.
    loss : PairedDifference, optional
        By how much the loss that production is watched by is lower, on the same rows, with the
        interval of the look after. None where the metric is this loss itself.
    """

    version: str
    difference: PairedDifference | None = None
    n_seen: int = 0
    obstacle: str | None = None
    loss: PairedDifference | None = None


@dataclass(frozen=True)
class SliceRegression:
    """By how much the new model is worse than the champion on the rows of a slice.

    Attributes
    ----------
    column, value : str
    metric : str
        The one that is optimised; the watched loss where that is undefined on these rows.
    figure : float, optional
        The champion's.
    fall : PairedDifference
        Positive where the new model is worse; its p-value is of "it is not worse".
    """

    column: str
    value: str
    metric: str
    figure: float | None
    fall: PairedDifference


@dataclass(frozen=True)
class RateGap:
    """The largest difference between the shares of rows predicted to be of a class.

    Attributes
    ----------
    column : str
        A sensitive one.
    predicted : str
        The class.
    lowest, highest : str
        The values of the column with the lowest and the highest share.
    gap : float
    """

    column: str
    predicted: str
    lowest: str
    highest: str
    gap: float


@dataclass(frozen=True)
class GateEvidence:
    """All that the gate knows of a version beside its evaluation; None: it is not known.

    Attributes
    ----------
    version : str
    n_holdout : int
        Rows of the hold-out.
    n_known : int
        Those of them that the version was trained on.
    n_silent : int
        Those for which it says nothing that is finite.
    fault : str, optional
        Why it cannot read them.
    rival : ChampionComparison, optional
        None where there is no champion yet.
    look : int
        Which look at these rows it is.
    confidence : float
        Of the rival's difference.
    slice_columns : tuple of str
        Those that are declared.
    falls : tuple of SliceRegression, optional
        None without a champion to compare with.
    calibration : PairedDifference, optional
        By how much the expected calibration error is higher than the champion's.
    has_chances : bool
        Whether the version gives probabilities.
    sensitive : tuple of str
        The columns that are declared so.
    rate_gaps : tuple of RateGap, optional
    milliseconds_a_row, megabytes : float, optional
    faults : tuple of str, optional
        What is wrong with the rows that judge.
    tests : tuple of TestResult
        Tests beside those that decide.
    """

    version: str
    n_holdout: int
    n_known: int = 0
    n_silent: int = 0
    fault: str | None = None
    rival: ChampionComparison | None = None
    look: int = 1
    confidence: float = 0.95
    slice_columns: tuple[str, ...] = ()
    falls: tuple[SliceRegression, ...] | None = None
    calibration: PairedDifference | None = None
    has_chances: bool = False
    sensitive: tuple[str, ...] = ()
    rate_gaps: tuple[RateGap, ...] | None = None
    milliseconds_a_row: float | None = None
    megabytes: float | None = None
    faults: tuple[str, ...] | None = None
    tests: tuple[TestResult, ...] = ()


MAX_TRAINING_MISSING_SHARE = 0.5
MIN_GROUPS = 2


@dataclass(frozen=True, eq=False)
class PairedPredictions:
    """The predictions of a version and of the champion for rows that neither was trained on.

    Attributes
    ----------
    truth : array of shape (n,)
    ours, theirs : Predictions
        Of the same n rows.
    """

    truth: FloatArray
    ours: Predictions
    theirs: Predictions


def improvement_over_champion(
    metric: Metric, pair: PairedPredictions, bootstrap: BootstrapConfig
) -> PairedDifference:
    """Return by how much the version is better than the champion."""
    return paired_difference(metric, pair.truth, pair.ours, pair.theirs, **asdict(bootstrap))


def shortfall_from_champion(
    metric: Metric, pair: PairedPredictions, bootstrap: BootstrapConfig
) -> PairedDifference:
    """Return by how much the version is worse than the champion."""
    return paired_difference(metric, pair.truth, pair.theirs, pair.ours, **asdict(bootstrap))


def calibration_error_increase(
    pair: PairedPredictions, bootstrap: BootstrapConfig
) -> PairedDifference | None:
    """Return by how much the expected calibration error is higher; None without probabilities."""
    if pair.ours.probabilities is None or pair.theirs.probabilities is None:
        return None
    return shortfall_from_champion(METRICS["calibration_error"], pair, bootstrap)


def slice_regressions(
    metrics: Sequence[Metric],
    pair: PairedPredictions,
    slices: Sequence[Slice],
    bootstrap: BootstrapConfig,
) -> tuple[SliceRegression, ...]:
    """Return by how much the version is worse than the champion on each slice.

    Parameters
    ----------
    metrics : sequence of Metric
        The first that is defined on a slice is used there: ROC AUC is not where all are of one
        class.
    pair : PairedPredictions
    slices : sequence of Slice
        Of the pair's rows.
    bootstrap : BootstrapConfig
    """
    return tuple(
        _slice_regression(metrics, _slice_pair(pair, each), each, bootstrap) for each in slices
    )


def slice_tests(falls: Sequence[SliceRegression]) -> tuple[TestResult, ...]:
    """Return the falls as tests of "the champion is not better there", corrected by Holm."""
    told = [each for each in falls if each.fall.p_value is not None]
    adjusted = holm_adjust([each.fall.p_value or 0.0 for each in told])
    return tuple(
        TestResult(
            name=f"slice {each.column} is {each.value}, {each.metric}",
            difference=_negate(each.fall.mean),
            low=_negate(each.fall.high),
            high=_negate(each.fall.low),
            p_value=chance,
            n=each.fall.n_rows,
            note="p of: not worse than the champion; after Holm",
        )
        for each, chance in zip(told, adjusted, strict=True)
    )


def difference_test(name: str, found: PairedDifference) -> TestResult:
    """Return a paired difference as a test."""
    return TestResult(
        name, found.mean, found.low, found.high, found.p_value, found.n_rows, found.method
    )


def selection_rate_gaps(
    said: Predictions, slices: Sequence[Slice], schema: TableSchema
) -> tuple[RateGap, ...] | None:
    """Return for each column the largest gap between the rates at which a class is predicted.

    Parameters
    ----------
    said : Predictions
    slices : sequence of Slice
        Of sensitive columns.
    schema : TableSchema
        In a binary task the positive class counts, in others the class whose gap is largest.

    Returns
    -------
    tuple of RateGap, optional
        None in regression, which predicts no class.

    Examples
    --------
    >>> said = Predictions(np.array([1.0, 1.0, 0.0, 1.0]))
    >>> parts = [Slice("sex", "f", np.array([0, 1])), Slice("sex", "m", np.array([2, 3]))]
    >>> schema = TableSchema((), "y", "binary", ("no", "yes"))
    >>> [(each.predicted, each.highest, each.gap) for each in selection_rate_gaps(said, parts, schema)]
    [('yes', 'f', 0.5)]
    """
    if schema.task == "regression":
        return None
    codes = [1] if schema.task == "binary" else range(len(schema.classes))
    gaps = []
    for column in dict.fromkeys(each.column for each in slices):
        parts = [each for each in slices if each.column == column]
        if len(parts) >= MIN_GROUPS:
            found = [_widest_rate_gap(said, parts, code, schema.classes[code]) for code in codes]
            gaps.append(max(found, key=lambda each: each.gap))
    return tuple(gaps)


def holdout_faults(
    holdout: pd.DataFrame, training: pd.DataFrame, schema: TableSchema, truth: FloatArray
) -> tuple[str, ...]:
    """Return what keeps the rows that judge from being judged by.

    Parameters
    ----------
    holdout, training : DataFrame
        Clean rows.
    schema : TableSchema
    truth : array of shape (n,)
        Of the hold-out.

    Examples
    --------
    >>> from evertune.data.schema import Column
    >>> schema = TableSchema((Column("age", "number"),), "y", "regression")
    >>> gone, there = pd.DataFrame({"age": [np.nan]}), pd.DataFrame({"age": [31.0]})
    >>> holdout_faults(gone, there, schema, np.array([1.0]))[0][:47]
    'age is missing in every row that judges, and in'
    """
    return (*_unlabelled_faults(truth), *_missing_column_faults(holdout, training, schema))


def _slice_regression(
    metrics: Sequence[Metric], pair: PairedPredictions, part: Slice, bootstrap: BootstrapConfig
) -> SliceRegression:
    defined = (each for each in metrics if np.isfinite(each.score(pair.truth, pair.theirs)))
    metric = next(defined, metrics[0])
    figure = metric.score(pair.truth, pair.theirs)
    return SliceRegression(
        part.column,
        part.value,
        metric.name,
        figure if np.isfinite(figure) else None,
        shortfall_from_champion(metric, pair, bootstrap),
    )


def _slice_pair(pair: PairedPredictions, part: Slice) -> PairedPredictions:
    mask = np.zeros(pair.truth.size, dtype=bool)
    mask[part.rows] = True
    return PairedPredictions(
        pair.truth[mask], take_rows(pair.ours, mask), take_rows(pair.theirs, mask)
    )


def _negate(figure: float | None) -> float | None:
    return None if figure is None else -figure


def _widest_rate_gap(said: Predictions, parts: Sequence[Slice], code: int, name: str) -> RateGap:
    rates = {each.value: float((said.values[each.rows] == code).mean()) for each in parts}
    lowest, highest = min(rates, key=rates.__getitem__), max(rates, key=rates.__getitem__)
    return RateGap(parts[0].column, name, lowest, highest, rates[highest] - rates[lowest])


def _unlabelled_faults(truth: FloatArray) -> Iterator[str]:
    n_unknown = int((~np.isfinite(truth)).sum())
    if n_unknown:
        yield f"{n_unknown} rows that judge have no truth that is known"


def _missing_column_faults(
    holdout: pd.DataFrame, training: pd.DataFrame, schema: TableSchema
) -> Iterator[str]:
    for name in (column.name for column in schema.features if column.name in holdout):
        share = float(training[name].isna().mean()) if len(training) else 1.0
        if len(holdout) and holdout[name].isna().all() and share < MAX_TRAINING_MISSING_SHARE:
            yield (
                f"{name} is missing in every row that judges, and in {share:.0%} of those it"
                " learned from: mend the feed, or add it to data.ignore"
            )


def unseen_mask(keys: Sequence[str], *seen: Collection[str]) -> NDArray[np.bool_]:
    """Return a mask of the rows whose keys are in none of the collections.

    Examples
    --------
    >>> unseen_mask(["a", "b", "c"], {"b"}, {"c", "d"})
    array([ True, False, False])
    """
    known = set().union(*seen)
    return np.array([key not in known for key in keys], dtype=bool)


def check_disjoint(judging: Collection[str], *, learned: Mapping[str, Collection[str]]) -> None:
    """Check that no row judges that a model was trained on.

    Parameters
    ----------
    judging : collection of str
        Keys of the rows that judge.
    learned : mapping
        Keys of the rows that each model was trained on, by its name.

    Raises
    ------
    ValueError
        If a row does; the message says how many and of which model.

    Examples
    --------
    >>> check_disjoint(["a", "b"], learned={"version 3": ["c"]})
    """
    for name, keys in learned.items():
        n_shared = len(set(judging).intersection(keys))
        if n_shared:
            raise ValueError(
                f"Expected rows that {name} was not trained on, but {n_shared} of {len(judging)}"
                " rows that judge were among those that it was."
            )


def n_missing_predictions(predictions: Predictions) -> int:
    """Return for how many rows a model says nothing that is finite.

    Examples
    --------
    >>> n_missing_predictions(Predictions(np.array([1.0, np.nan, np.inf])))
    2
    """
    spoken = np.isfinite(predictions.values)
    if predictions.probabilities is not None:
        spoken &= np.isfinite(predictions.probabilities).all(axis=1)
    return int((~spoken).sum())


def monitoring_loss(task: Task) -> Metric:
    """Return the metric whose figure is the loss that production is watched by.

    Examples
    --------
    >>> monitoring_loss("binary").name, monitoring_loss("regression").name
    ('brier', 'mae')
    """
    return METRICS["mae" if task == "regression" else "brier"]


def incomparable_reason(ours: TableSchema, theirs: TableSchema) -> str | None:
    """Return why two models answer different questions, None if they do not.

    Examples
    --------
    >>> incomparable_reason(TableSchema((), "churned", "binary"), TableSchema((), "price", "regression"))
    "it predicts 'price', not 'churned'"
    """
    if ours.target != theirs.target:
        return f"it predicts {theirs.target!r}, not {ours.target!r}"
    if ours.task != theirs.task:
        return f"its task is {theirs.task}, not {ours.task}"
    if ours.classes != theirs.classes:
        return f"its classes are {', '.join(theirs.classes)}, not {', '.join(ours.classes)}"
    return None


@dataclass(frozen=True, eq=False)
class ChampionModel:
    """The champion: its version, the hash of its files, and its model."""

    version: str
    identity: str
    model: Model


@dataclass(frozen=True, eq=False)
class HoldoutComparison:
    """The hold-out, and what is said of the rows that judge.

    Attributes
    ----------
    model : Model
        The version's.
    metrics : tuple of Metric
        The one that is optimised comes first.
    holdout : DataFrame, n rows
    fresh : array of bool of shape (n,)
        The rows that neither model was trained on.
    said : Predictions
        The version's, of all n rows; nothing that is finite where it cannot read them.
    fault : str, optional
        Why it cannot read them.
    theirs : Predictions, optional
        The champion's, of the fresh rows.
    obstacle : str, optional
        Why there is none of the champion's.
    """

    model: Model
    metrics: tuple[Metric, ...]
    holdout: pd.DataFrame
    fresh: NDArray[np.bool_]
    said: Predictions
    fault: str | None = None
    theirs: Predictions | None = None
    obstacle: str | None = None

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The rows that judge."""
        return self.holdout[self.fresh].reset_index(drop=True)

    @cached_property
    def pair(self) -> PairedPredictions | None:
        """What both say of these rows; None where they cannot be compared."""
        ours = take_rows(self.said, self.fresh)
        if self.theirs is None or self.rows.empty or n_missing_predictions(ours):
            return None
        return PairedPredictions(encode_target(self.rows, self.model.schema), ours, self.theirs)


def compare_on_holdout(
    facts: RegistrationInputs, standing: ChampionModel | None
) -> HoldoutComparison:
    """Return the rows that judge, and what both models say of them.

    Raises
    ------
    StageError
        Rows were about to judge that one of the two was trained on.
    ParamsError
        The metric does not serve the task.
    """
    model, holdout = load_model(facts.model), read_table(facts.params.paths.holdout)
    champion = () if standing is None else standing.model.row_keys
    said, fault = _predict_or_fault(model, holdout)
    scene = HoldoutComparison(
        model=model,
        metrics=load_metrics(facts.params.metric, model.schema.task, facts.root),
        holdout=holdout,
        fresh=unseen_mask(list(holdout["row_key"]), model.row_keys, champion),
        said=said,
        fault=fault,
    )
    if standing is None:
        return scene
    learned = {"the version": model.row_keys, f"version {standing.version}": champion}
    check_rows_unseen(list(scene.rows["row_key"]), learned=learned)
    return _with_champion_predictions(scene, standing)


def check_rows_unseen(judging: Sequence[str], *, learned: Mapping[str, Sequence[str]]) -> None:
    """Check that no row is about to judge that a model was trained on.

    Parameters
    ----------
    judging : sequence of str
        Keys of the rows that judge.
    learned : mapping
        Keys of the rows that each model was trained on, by its name.

    Raises
    ------
    StageError
        If a row is.
    """
    try:
        check_disjoint(judging, learned=learned)
    except ValueError as error:
        raise StageError(f"{error} Nothing was decided.") from error


def secondary_loss(scene: HoldoutComparison) -> Metric | None:
    """Return the loss that a second test is of; None where it is the metric itself."""
    loss = monitoring_loss(scene.model.schema.task)
    silent = loss.needs_probabilities and scene.said.probabilities is None
    return None if silent or loss.name == scene.metrics[0].name else loss


def _predict_or_fault(model: Model, rows: pd.DataFrame) -> tuple[Predictions, str | None]:
    try:
        return predict_rows(model, rows), None
    except TableError as error:
        return Predictions(np.full(len(rows), np.nan)), f"it cannot read these rows: {error}"


def _with_champion_predictions(
    scene: HoldoutComparison, standing: ChampionModel
) -> HoldoutComparison:
    obstacle = incomparable_reason(scene.model.schema, standing.model.schema)
    if obstacle is not None:
        return replace(scene, obstacle=obstacle)
    if scene.rows.empty:
        return scene
    said, fault = _predict_or_fault(standing.model, scene.rows)
    if fault is not None:
        return replace(scene, obstacle=fault)
    silent = n_missing_predictions(said)
    if silent:
        given = f"it gives no finite prediction for {silent} of {len(scene.rows)} rows"
        return replace(scene, obstacle=given)
    return replace(scene, theirs=said)


TIMING_ROWS = 1000
TIMING_REPEATS = 3
BYTES_PER_MEGABYTE = 1e6


def gather_evidence(
    facts: RegistrationInputs,
    scene: HoldoutComparison,
    standing: ChampionModel | None,
    *,
    number: str,
    look: int,
) -> GateEvidence:
    """Return all that the gate knows of a version beside its evaluation.

    Parameters
    ----------
    facts : RegistrationInputs
    scene : HoldoutComparison
    standing : ChampionModel, optional
    number : str
        The version.
    look : int
        Which look at the rows it is.

    Raises
    ------
    ParamsError
        `evaluation.slices` or `evaluation.sensitive` names no column of the table.
    """
    section, gates = facts.params.evaluation, facts.params.registry.gates
    found = GateEvidence(
        version=number,
        n_holdout=len(scene.holdout),
        n_known=int((~unseen_mask(list(scene.holdout["row_key"]), scene.model.row_keys)).sum()),
        n_silent=n_missing_predictions(scene.said),
        fault=scene.fault,
        look=look,
        confidence=_bootstrap_for_use(facts.params, look).confidence,
        slice_columns=(*section.slices, *section.sensitive),
        has_chances=scene.said.probabilities is not None,
        sensitive=section.sensitive,
        rate_gaps=_measure_rate_gaps(scene, section),
        milliseconds_a_row=_milliseconds_per_row(scene) if gates.milliseconds_a_row else None,
        megabytes=_model_megabytes(facts.model),
        faults=_check_holdout(facts, scene),
    )
    return found if standing is None else _with_champion_comparison(found, facts, scene, standing)


def _with_champion_comparison(
    found: GateEvidence,
    facts: RegistrationInputs,
    scene: HoldoutComparison,
    standing: ChampionModel,
) -> GateEvidence:
    n_seen = int((~scene.fresh).sum())
    rival = ChampionComparison(standing.version, n_seen=n_seen, obstacle=scene.obstacle)
    pair, section = scene.pair, facts.params.evaluation
    if pair is None:
        return replace(found, rival=rival)
    drawn = BootstrapConfig(section.bootstrap_draws, section.confidence, section.seed)
    metrics = (scene.metrics[0], monitoring_loss(scene.model.schema.task))
    parts = _evaluation_slices(scene.rows, scene.model.schema, found.slice_columns, section)
    falls = slice_regressions(metrics, pair, parts, drawn)
    rival = _with_differences(rival, facts, scene, pair, look=found.look)
    return replace(
        found,
        rival=rival,
        falls=falls,
        calibration=calibration_error_increase(pair, drawn),
        tests=(*_test_results(scene, pair, rival, found.confidence), *slice_tests(falls)),
    )


def _with_differences(
    rival: ChampionComparison,
    facts: RegistrationInputs,
    scene: HoldoutComparison,
    pair: PairedPredictions,
    *,
    look: int,
) -> ChampionComparison:
    first, second = (_bootstrap_for_use(facts.params, each) for each in (look, look + 1))
    loss = secondary_loss(scene)
    rival = replace(rival, difference=improvement_over_champion(scene.metrics[0], pair, first))
    return (
        rival
        if loss is None
        else replace(rival, loss=improvement_over_champion(loss, pair, second))
    )


def _test_results(
    scene: HoldoutComparison, pair: PairedPredictions, rival: ChampionComparison, confidence: float
) -> tuple[TestResult, ...]:
    metric, loss = scene.metrics[0], secondary_loss(scene)
    found = []
    if rival.difference is not None:
        found.append(difference_test(f"paired {metric.name}", rival.difference))
    if metric.name == "roc_auc":
        delong = delong_test(pair.truth, pair.ours, pair.theirs, confidence=confidence)
        found += [] if delong is None else [delong]
    if rival.loss is not None and loss is not None:
        found.append(difference_test(f"paired {loss.name}, the watched loss", rival.loss))
    return tuple(found)


def _bootstrap_for_use(params: Params, look: int) -> BootstrapConfig:
    section, allowed = params.evaluation, params.registry.alpha
    confidence = adjusted_confidence(look, false_promotions=allowed)
    return BootstrapConfig(section.bootstrap_draws, confidence, section.seed)


def _evaluation_slices(
    rows: pd.DataFrame, schema: TableSchema, columns: tuple[str, ...], section: EvaluationSection
) -> tuple[Slice, ...]:
    named = list(dict.fromkeys(columns))
    try:
        return slice_by_columns(rows, schema, named, min_rows=section.slice_rows)
    except ValueError as error:
        raise ParamsError(f"evaluation.slices and evaluation.sensitive: {error}") from error


def _measure_rate_gaps(
    scene: HoldoutComparison, section: EvaluationSection
) -> tuple[RateGap, ...] | None:
    schema = scene.model.schema
    return selection_rate_gaps(
        scene.said, _evaluation_slices(scene.holdout, schema, section.sensitive, section), schema
    )


def _check_holdout(facts: RegistrationInputs, scene: HoldoutComparison) -> tuple[str, ...]:
    training, schema = read_table(facts.params.paths.training), scene.model.schema
    return holdout_faults(scene.holdout, training, schema, encode_target(scene.holdout, schema))


def _milliseconds_per_row(scene: HoldoutComparison) -> float | None:
    if scene.fault is not None or scene.holdout.empty:
        return None
    rows = scene.holdout.head(TIMING_ROWS)
    return min(_predict_seconds(scene, rows) for _ in range(TIMING_REPEATS)) * 1000 / len(rows)


def _predict_seconds(scene: HoldoutComparison, rows: pd.DataFrame) -> float:
    started = perf_counter()
    predict_rows(scene.model, rows)
    return perf_counter() - started


def _model_megabytes(model: Path) -> float:
    return (
        sum(file.stat().st_size for file in model.rglob("*") if file.is_file()) / BYTES_PER_MEGABYTE
    )
