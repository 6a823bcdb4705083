"""What the gate says: of each thing that it looks at, and of the version as a whole."""

from dataclasses import dataclass
from typing import Literal

from pipelines.core.judging.results import TestResult

Decision = Literal["promote", "keep", "not enough evidence"]
GateOutcome = Literal["pass", "fail", "unknown", "off"]


@dataclass(frozen=True)
class GateResult:
    """What one gate says.

    Attributes
    ----------
    name : str
        Such as `champion` or `slices`.
    outcome : str
        `unknown` where evidence is missing, which is never a pass; `off` where the gate is
        switched off in params.yaml.
    reason : str
    """

    name: str
    outcome: GateOutcome
    reason: str


@dataclass(frozen=True)
class Verdict:
    """What the gate says about a version.

    Attributes
    ----------
    decision : str
        `promote`: it is the champion now. `keep`: the champion stays, or there is none still.
        `not enough evidence`: the same, since the rows at hand cannot tell, or a person has still
        to approve.
    reasons : tuple of str
    rows_needed : int, optional
        About how many hold-out rows would tell, if the difference stays as it is.
    version : str, optional
        The version that was judged.
    champion : str, optional
        The champion after the verdict.
    basis : str, optional
        Digest of what was judged and against which champion: the same basis, the same verdict.
    n_rows : int, optional
        Hold-out rows that it was judged by, where they cannot tell.
    gates : tuple of GateResult
        One for each gate, in the order in which they are looked at.
    tests : tuple of TestResult
        What the reasons rest on.
    look : int
        How often these hold-out rows have been looked at for a decision, this time included.
    confidence : float
        Of the interval of this look's difference from the champion.
    waits_for_approval : bool
        Whether all gates are passed and only a person's approval is missing.
    """

    decision: Decision
    reasons: tuple[str, ...]
    rows_needed: int | None = None
    version: str | None = None
    champion: str | None = None
    basis: str | None = None
    n_rows: int | None = None
    gates: tuple[GateResult, ...] = ()
    tests: tuple[TestResult, ...] = ()
    look: int = 1
    confidence: float = 0.95
    waits_for_approval: bool = False

    @property
    def promoted(self) -> bool:
        """Whether the version is the champion now."""
        return self.decision == "promote"
