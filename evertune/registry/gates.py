"""The promotion gate: whether a version becomes champion.

`evaluate_gates` is the whole rule. Each gate says `pass`, `fail`, `unknown` or `off`, and

- `keep` is the verdict if one fails: the champion stays;
- `not enough evidence` if none fails and one is unknown, for missing evidence is never a pass;
- `promote` if all pass or are off. If a person has to approve, that is one more unknown.

Gates are pure functions of the version's evaluation and of `GateEvidence`, which
`evertune.registry.evidence` measures on hold-out rows that neither model was trained on.

Two tests of `champion_gate` may promote: the optimised metric, and the monitored loss (MAE, or the
Brier score). Each spends its own share of `registry.alpha` (the metric at this use of the hold-out,
the loss at the next), so that models that are equal in both are promoted at one hold-out with at
most that probability (Bonferroni, however the two depend on each other). Slices are corrected by
Holm (1979).
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeGuard

from evertune.config.schema import GatesSection
from evertune.evaluation.evaluation_record import (
    BaselineRow,
    Evaluation,
    chosen_model_metrics,
    chosen_simple_model,
    metric_row,
)
from evertune.metrics.metrics import is_better, keeps_bound
from evertune.registry.promotion_records import GateOutcome, GateResult, RecordVerdict, Verdict
from evertune.stats.comparison import holm_adjust, required_sample_size
from evertune.stats.results import PairedDifference, TestResult

Finding = tuple[GateOutcome, str]  # an outcome and its reason

MIN_SHARE_BETTER = 0.25  # of draws in which a version has to be better that wins by its loss alone
MIN_COMPARED_ROWS = 30  # resamples of fewer are alike, and their intervals too narrow
MAX_TRAINED_SHARE = 0.05  # of the hold-out: keys that repeat by accident
SLICE_ALPHA = 0.05  # one-sided, over all slices
IMPROVEMENT_GATES = ("baselines", "existing", "champion")  # their passing says why it is better
SWITCHED_OFF = "switched off in params.yaml"


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
        By how much the monitored loss is lower, on the same rows, with the interval of the next
        use of the hold-out. None if the metric is this loss itself.
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

    @property
    def is_comparable(self) -> bool:
        """Whether the drop is known, and its p-value if it is above 0."""
        interval = finite_interval(self.drop)
        return (
            _is_known(self.score)
            and interval is not None
            and (interval[0] <= 0 or _is_known(self.drop.p_value))
        )

    @property
    def relative_drop(self) -> float:
        """The drop as a share of the champion's score."""
        drop, score = self.drop.mean or 0.0, abs(self.score or 0.0)
        return drop / score if score else math.copysign(math.inf, drop) if drop else 0.0

    def __str__(self) -> str:
        """Return the slice in words, such as `plan is a`."""
        return f"{self.column} is {self.value}"


@dataclass(frozen=True)
class RateGap:
    """The largest difference between the shares of rows predicted to be of a class.

    `lowest` and `highest` are the values of the sensitive column with the lowest and the highest
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
    holdout_use : int
        How often these rows have been used for a decision, this time included.
    confidence : float
        Of the interval of the difference from the champion.
    slice_columns, sensitive : tuple of str
        The declared columns.
    regressions : tuple of SliceRegression, optional
        None without a champion to compare with.
    calibration : PairedDifference, optional
        By how much the expected calibration error is higher than the champion's.
    faults : tuple of str, optional
        What is wrong with the hold-out.
    tests : tuple of TestResult
        What the reasons rest on, and tests that are shown beside.
    """

    version: str
    n_holdout: int
    n_trained: int = 0
    n_missing: int = 0
    fault: str | None = None
    champion: ChampionComparison | None = None
    holdout_use: int = 1
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


def evaluate_gates(
    evaluation: Evaluation, evidence: GateEvidence, gates: GatesSection, *, approval: bool = False
) -> Verdict:
    """Return whether the model that the evaluation chose becomes champion.

    Parameters
    ----------
    gates : GatesSection
        Which gates are on, and their limits.
    approval : bool
        Whether a person has to approve a version that passes them all.
    """

    def run(name: str, limit: bool | float | None, gate: Callable[[float], Finding]) -> GateResult:
        off = limit is None or limit is False
        return GateResult(name, *(("off", SWITCHED_OFF) if off else gate(float(limit or 0))))

    results = [
        GateResult("rows", *rows_gate(evidence)),
        run("baselines", gates.baselines, lambda _: baselines_gate(evaluation)),
        run("existing", gates.existing, lambda _: existing_gate(evaluation)),
        run("guards", gates.guards, lambda _: guards_gate(evaluation)),
        run("champion", gates.champion, lambda _: champion_gate(evidence, evaluation.metric)),
        run("data", gates.data, lambda _: data_gate(evidence)),
        run("slices", gates.slices, lambda most: slices_gate(evidence, most)),
        run("calibration", gates.calibration, lambda most: calibration_gate(evidence, most)),
        run("rate_gap", gates.rate_gap, lambda most: rate_gap_gate(evidence, most)),
        run(
            "milliseconds_a_row", gates.milliseconds_a_row, lambda most: speed_gate(evidence, most)
        ),
        run("megabytes", gates.megabytes, lambda most: size_gate(evidence, most)),
    ]
    reasons = {
        outcome: tuple(each.reason for each in results if each.outcome == outcome)
        for outcome in ("fail", "unknown")
    }
    better = tuple(
        each.reason for each in results if each.outcome == "pass" and each.name in IMPROVEMENT_GATES
    )
    person: Finding = ("off", "asked once every other gate is passed" if approval else SWITCHED_OFF)
    decision: RecordVerdict = "not enough evidence"
    rows_needed, n_rows, waits = None, None, False
    if reasons["fail"]:
        decision, why = "keep", reasons["fail"]
    elif reasons["unknown"]:
        why = reasons["unknown"]
        unknown = {each.name for each in results if each.outcome == "unknown"}
        rows_needed, n_rows = _rows_that_would_tell(unknown, evaluation, evidence)
    elif approval:
        waits = True
        person = ("unknown", f"waits for `evertune approve {evidence.version} --reason ...`")
        why = (person[1], *better)
    else:
        decision, why = "promote", better
    return Verdict(
        decision,
        why,
        rows_needed=rows_needed,
        version=evidence.version,
        n_rows=n_rows,
        gates=(*results, GateResult("approval", *person)),
        tests=evidence.tests,
        look=evidence.holdout_use,
        confidence=evidence.confidence,
        waits_for_approval=waits,
    )


def rows_gate(evidence: GateEvidence) -> Finding:
    """Pass if the hold-out can judge the version at all.

    One that was trained on more than a twentieth of it is refused, for all of its scores are
    flattered; fewer rows are left out of the comparison with the champion, and counted.
    """
    n_trained, n_rows = evidence.n_trained, evidence.n_holdout
    if n_rows == 0:
        return "unknown", "the hold-out has no row"
    if n_trained > MAX_TRAINED_SHARE * n_rows:
        return "fail", (
            f"it was trained on {n_trained} of the {n_rows} hold-out rows, so that its scores are"
            " worth nothing; if rows of one identifier belong together, make it data.group"
        )
    if evidence.fault is not None:
        return "unknown", evidence.fault
    if evidence.n_missing:
        return "unknown", (
            f"it gives no finite prediction for {evidence.n_missing} of {n_rows} rows"
        )
    left_out = f", {n_trained} that it was trained on are left out" if n_trained else ""
    return "pass", f"{n_rows} rows judge it{left_out}"


def baselines_gate(evaluation: Evaluation) -> Finding:
    """Pass if the version is better than every baseline that is not a model.

    The lower ends of the lifts count, not the scores alone; without one it is not known.
    """
    rows = [row for row in evaluation.baselines if row.kind == "none"]
    if not rows:
        return "unknown", "there is no baseline that it was compared with"
    better = f"better than every baseline that is no model in {evaluation.metric}"
    return _worst([_compare_with_baseline(evaluation, row) for row in rows], better)


def existing_gate(evaluation: Evaluation) -> Finding:
    """Pass if the version is better than the system in use."""
    rows = [row for row in evaluation.baselines if row.name == "existing"]
    if not rows:
        return "off", "no system in use is named in params.yaml"
    better = f"better than the system in use in {evaluation.metric}"
    return _worst([_compare_with_baseline(evaluation, row) for row in rows], better)


def guards_gate(evaluation: Evaluation) -> Finding:
    """Pass if every guard is kept; an undefined score keeps none."""
    if not evaluation.guards:
        return "off", "no guard is named in params.yaml"
    scores = chosen_model_metrics(evaluation)
    broken: list[Finding] = []
    for guard in evaluation.guards:
        score, metric = scores.get(guard.metric), metric_row(evaluation, guard.metric)
        bound = f"{'at least' if metric.greater_is_better else 'at most'} {guard.bound:g}"
        reason = f"{guard.metric} must be {bound}, but is {_score_text(score)}"
        if not _is_known(score):
            broken.append(("unknown", reason))
        elif not keeps_bound(metric, score, guard.bound):
            broken.append(("fail", reason))
    return _worst(broken, "every guard is kept")


def champion_gate(evidence: GateEvidence, metric: str) -> Finding:
    """Pass if the version is better than the champion.

    It passes if the whole interval of the metric's improvement is above 0. It passes as well if
    the metric is inconclusive and that of the monitored loss is: ranks do not show that all
    probabilities became too low. It fails if the metric is not better, or surely worse.
    """
    found = evidence.champion
    if found is None:
        return "pass", "there is no champion yet"
    champion, difference = f"the champion, version {found.version}", found.difference
    if found.obstacle is not None:
        return "unknown", (
            f"cannot be compared with {champion}: {found.obstacle};"
            " give a new question a name of its own (registry.name),"
            " or make it champion by hand (evertune promote)"
        )
    left_out = ""
    if found.n_left_out:
        one = "that one of the two was trained on are left out"
        left_out = f"; {found.n_left_out} hold-out rows {one}"
    interval = finite_interval(difference)
    if difference is None or interval is None:
        return "unknown", f"no row can tell it from {champion}{left_out}"
    mean, low, high = interval
    reason = (
        f"{metric} is {'better' if mean > 0 else 'not better'} {_interval_text(difference)} than"
        f" that of {champion}{left_out} (use {evidence.holdout_use} of these rows:"
        f" {100 * evidence.confidence:.3g} % interval)"
    )
    outcome: GateOutcome = "fail" if mean <= 0 or high <= 0 else "unknown"
    if difference.n_rows < MIN_COMPARED_ROWS:
        few = f"{difference.n_rows} rows cannot tell it from {champion}"
        outcome, reason = "unknown", f"{few}, {MIN_COMPARED_ROWS} are needed{left_out}"
    elif low > 0:
        outcome = "pass"
    elif found.loss is not None and _wins_by_loss(difference, found.loss):
        outcome = "pass"
        reason = f"{reason}; its loss is lower {_interval_text(found.loss)}"
    return outcome, reason


def data_gate(evidence: GateEvidence) -> Finding:
    """Pass if the hold-out's rows are sound."""
    if evidence.faults is None:
        return "unknown", "the hold-out's rows were not checked"
    if evidence.faults:
        return "fail", "; ".join(evidence.faults)
    return "pass", "the hold-out's rows are sound"


def slices_gate(evidence: GateEvidence, tolerance: float) -> Finding:
    """Pass if no declared slice falls by more than the tolerance, beyond chance.

    A slice has fallen if its score is worse than the champion's by more than `tolerance` times
    the champion's, and chance gives as much in fewer than 5 % of cases over all slices (Holm).
    """
    slices = evidence.regressions
    if not evidence.slice_columns:
        return "off", "no column is named in evaluation.slices or sensitive"
    if evidence.champion is None:
        return "pass", "there is no champion whose slices could fall"
    if not slices:
        few = "no slice has as many rows as evaluation.slice_rows"
        return "unknown", "the slices could not be compared" if slices is None else few
    unclear = ", ".join(str(each) for each in slices if not each.is_comparable)
    if unclear:
        return "unknown", f"no score tells the slices {unclear}"
    p_values = [1.0 if each.drop.p_value is None else each.drop.p_value for each in slices]
    fallen = [
        f"{each}: {each.metric} is worse by {each.drop.mean:.4g} than the champion's"
        f" {each.score:.4g} ({each.drop.n_rows} rows, p {p_value:.2g} after Holm)"
        for each, p_value in zip(slices, holm_adjust(p_values), strict=True)
        if each.relative_drop > tolerance and p_value < SLICE_ALPHA
    ]
    if fallen:
        return "fail", f"worse where {'; '.join(fallen)}"
    worst = max(slices, key=lambda each: each.relative_drop)
    return "pass", (
        f"no slice of {len(slices)} falls by more than {tolerance:.1%} beyond chance;"
        f" the lowest is {worst}, {-worst.relative_drop:+.1%} in {worst.metric}"
    )


def calibration_gate(evidence: GateEvidence, tolerance: float) -> Finding:
    """Pass if the expected calibration error does not rise by more than the tolerance.

    It has risen if it is higher than the champion's by more, and chance does not explain it.
    """
    if not evidence.has_probabilities:
        return "off", "it gives no probabilities"
    if evidence.champion is None:
        return "pass", "there is no champion whose calibration it could miss"
    interval = finite_interval(evidence.calibration)
    if interval is None:
        return "unknown", "the calibration errors cannot be compared"
    mean, low, _ = interval
    reason = f"its expected calibration error is {mean:+.4g} beside the champion's"
    if mean > tolerance and low > 0:
        return "fail", f"{reason}, at most {tolerance:+g} is allowed"
    return "pass", reason


def rate_gap_gate(evidence: GateEvidence, most: float) -> Finding:
    """Pass if the rates of a predicted class differ little between values of a sensitive column."""
    gaps = evidence.rate_gaps
    if not evidence.sensitive:
        return "unknown", "no column is named in evaluation.sensitive"
    if not gaps or not all(math.isfinite(each.gap) for each in gaps):
        return "unknown", "no two values have enough rows to compare their rates"
    widest = max(gaps, key=lambda each: each.gap)
    reason = (
        f"{widest.predicted} is predicted {widest.gap:.1%} more often where {widest.column} is"
        f" {widest.highest} than where it is {widest.lowest}"
    )
    if widest.gap > most:
        return "fail", f"{reason}; at most {most:.1%} is allowed"
    return "pass", reason


def speed_gate(evidence: GateEvidence, most: float) -> Finding:
    """Pass if predicting a row takes no longer than allowed, in milliseconds."""
    return _check_limit(evidence.milliseconds_a_row, most, "predicting takes {} ms a row")


def size_gate(evidence: GateEvidence, most: float) -> Finding:
    """Pass if the model's files are no larger than allowed, in megabytes."""
    return _check_limit(evidence.megabytes, most, "the model has {} MB on disk")


def finite_interval(found: PairedDifference | None) -> tuple[float, float, float] | None:
    """Return a difference with the low and high end of its interval, None unless all are finite."""
    if found is None or not (
        _is_known(found.mean) and _is_known(found.low) and _is_known(found.high)
    ):
        return None
    return found.mean, found.low, found.high


def _rows_that_would_tell(
    unknown: set[str], evaluation: Evaluation, evidence: GateEvidence
) -> tuple[int | None, int | None]:
    """Return about how many rows would tell, and how many were compared."""
    if unknown & {"baselines", "existing"}:
        lifts = [
            PairedDifference(row.lift, row.low, row.high, None, row.n_rows)
            for row in evaluation.baselines
            if _may_be_chance(evaluation, row)
        ]
        needed = [required_sample_size(each) for each in lifts if finite_interval(each)]
        return max((n for n in needed if n is not None), default=None), evaluation.n_holdout
    difference = evidence.champion.difference if evidence.champion else None
    if "champion" not in unknown or difference is None or finite_interval(difference) is None:
        return None, None
    return required_sample_size(difference), difference.n_rows


def _compare_with_baseline(evaluation: Evaluation, row: BaselineRow) -> Finding:
    metric, name = evaluation.metric, f"the baseline {row.name}"
    score, baseline = chosen_model_metrics(evaluation).get(metric), row.holdout.get(metric)
    if not (_is_known(score) and _is_known(baseline)):
        return "unknown", f"{metric} cannot be compared with that of {name}"
    if not is_better(evaluation, score, baseline):
        return "fail", (
            f"{metric} must be better than that of {name}, {baseline:.4g}, but is {score:.4g}"
        )
    if _may_be_chance(evaluation, row):
        low = f"{row.low:+.4g}" if _is_known(row.low) else "anything"
        by = f"{metric} is better than that of {name} by {_score_text(row.lift)}"
        return "unknown", f"{by}, but by chance it could be {low}"
    return "pass", ""


def _may_be_chance(evaluation: Evaluation, row: BaselineRow) -> bool:
    """Return whether chance may explain a lift; the lifts of an evaluation are its model's."""
    is_compared = row.kind == "none" or row.name == "existing"
    is_above_zero = _is_known(row.low) and row.low > 0
    return is_compared and chosen_simple_model(evaluation) is None and not is_above_zero


def _worst(findings: Iterable[Finding], passed: str) -> Finding:
    """Return the failures, else what is unknown, else the reason for passing."""
    findings = list(findings)
    outcomes: tuple[GateOutcome, ...] = ("fail", "unknown")
    for outcome in outcomes:
        reasons = [reason for each, reason in findings if each == outcome]
        if reasons:
            return outcome, "; ".join(reasons)
    return "pass", passed


def _wins_by_loss(difference: PairedDifference, loss: PairedDifference) -> bool:
    interval = finite_interval(loss)
    is_lower = interval is not None and interval[1] > 0
    return is_lower and (difference.share_better or 0.0) >= MIN_SHARE_BETTER


def _check_limit(value: float | None, most: float, text: str) -> Finding:
    if not _is_known(value):
        return "unknown", text.format("unknown")
    reason = text.format(f"{value:.3g}")
    return ("fail", f"{reason}; at most {most:g} is allowed") if value > most else ("pass", reason)


def _is_known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _interval_text(found: PairedDifference) -> str:
    return f"({found.mean:+.4g}, {found.low:+.4g} to {found.high:+.4g}, {found.n_rows} rows)"


def _score_text(score: float | None) -> str:
    return f"{score:.4g}" if _is_known(score) else "unknown"
