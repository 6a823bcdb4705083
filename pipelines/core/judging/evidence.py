"""What the gate judges by, beside the evaluation: measured on the rows that judge."""

from dataclasses import dataclass

from pipelines.core.intervals import Difference
from pipelines.core.judging.results import TestResult


@dataclass(frozen=True)
class Rules:
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
class Rival:
    """The standing champion beside the new model, on hold-out rows that neither was trained on.

    Attributes
    ----------
    version : str
    difference : Difference, optional
        By how much the new model is better; None where the two cannot be compared.
    n_seen : int
        Rows of the hold-out that were left out, since one of the two was trained on them.
    obstacle : str, optional
        Why the two cannot be compared.
    loss : Difference, optional
        By how much the loss that production is watched by is lower, on the same rows, with the
        interval of the look after. None where the metric is this loss itself.
    """

    version: str
    difference: Difference | None = None
    n_seen: int = 0
    obstacle: str | None = None
    loss: Difference | None = None


@dataclass(frozen=True)
class SliceFall:
    """By how much the new model is worse than the champion on the rows of a slice.

    Attributes
    ----------
    column, value : str
    metric : str
        The one that is optimised; the watched loss where that is undefined on these rows.
    figure : float, optional
        The champion's.
    fall : Difference
        Positive where the new model is worse; its p-value is of "it is not worse".
    """

    column: str
    value: str
    metric: str
    figure: float | None
    fall: Difference


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
class Evidence:
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
    rival : Rival, optional
        None where there is no champion yet.
    look : int
        Which look at these rows it is.
    confidence : float
        Of the rival's difference.
    slice_columns : tuple of str
        Those that are declared.
    falls : tuple of SliceFall, optional
        None without a champion to compare with.
    calibration : Difference, optional
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
    rival: Rival | None = None
    look: int = 1
    confidence: float = 0.95
    slice_columns: tuple[str, ...] = ()
    falls: tuple[SliceFall, ...] | None = None
    calibration: Difference | None = None
    has_chances: bool = False
    sensitive: tuple[str, ...] = ()
    rate_gaps: tuple[RateGap, ...] | None = None
    milliseconds_a_row: float | None = None
    megabytes: float | None = None
    faults: tuple[str, ...] | None = None
    tests: tuple[TestResult, ...] = ()
