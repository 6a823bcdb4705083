"""The gate that compares a version with the champion.

Two tests may promote, so that each pays for itself: the metric that is optimised spends the share
of false promotions of this look, and the loss that production is watched by that of the look
after. With shares that sum to 1 over all looks, models that are equal in both are promoted at one
hold-out with at most `registry.false_promotions` (Bonferroni, whatever the two have in common).
"""

import math

from pipelines.core.intervals import Difference
from pipelines.core.judging.evidence import Evidence, Rival
from pipelines.core.judging.looks import look_text
from pipelines.core.judging.verdicts import GateResult

LEAST_SHARE = 0.25  # of draws in which a version has to be better that wins by its loss alone
LEAST_ROWS = 30  # that judge; resamples of fewer are alike, and their intervals too narrow
NAME = "champion"


def champion_gate(evidence: Evidence, metric: str) -> GateResult:
    """Return whether the version is better than the champion.

    Better it is in the metric, or in the loss that production is watched by where the metric tells
    the two hardly apart: ranks do not show that all probabilities came to be too low.

    Parameters
    ----------
    evidence : Evidence
    metric : str
        The name of the one that is optimised.
    """
    rival = evidence.rival
    if rival is None:
        return GateResult(NAME, "pass", "there is no champion yet")
    named = f"the champion, version {rival.version}"
    if rival.obstacle is not None:
        return GateResult(NAME, "unknown", _advice(named, rival.obstacle))
    found = rival.difference
    if found is None or not is_known(found):
        return GateResult(NAME, "unknown", f"no row can tell it from {named}{_left_out(rival)}")
    if found.n_rows < LEAST_ROWS:
        few = f"{found.n_rows} rows cannot tell it from {named}, {LEAST_ROWS} are needed"
        return GateResult(NAME, "unknown", f"{few}{_left_out(rival)}")
    where = look_text(evidence.look, evidence.confidence)
    reason = f"{metric} is {_gap(found)} than that of {named}{_left_out(rival)} ({where})"
    return _told(found, rival.loss, reason)


def is_known(found: Difference) -> bool:
    """Return whether a difference and both ends of its interval are finite.

    Examples
    --------
    >>> is_known(Difference(0.1, None, None, None, 50))
    False
    """
    figures = (found.mean, found.low, found.high)
    return all(figure is not None and math.isfinite(figure) for figure in figures)


def _told(found: Difference, loss: Difference | None, reason: str) -> GateResult:
    mean, low, high = found.mean or 0.0, found.low or 0.0, found.high or 0.0
    if low > 0:
        return GateResult(NAME, "pass", reason)
    if loss is not None and _loses_less(found, loss):
        return GateResult(NAME, "pass", f"{reason}; its loss is lower {_ends(loss)}")
    if mean <= 0 or high <= 0:
        return GateResult(NAME, "fail", reason)
    return GateResult(NAME, "unknown", reason)


def _loses_less(found: Difference, loss: Difference) -> bool:
    is_lower = is_known(loss) and (loss.low or 0.0) > 0
    return is_lower and (found.share_better or 0.0) >= LEAST_SHARE


def _advice(named: str, obstacle: str) -> str:
    return (
        f"cannot be compared with {named}: {obstacle};"
        " give a new question a name of its own (registry.name),"
        " or make it champion by hand (evertune promote)"
    )


def _gap(found: Difference) -> str:
    word = "better" if (found.mean or 0) > 0 else "not better"
    return f"{word} {_ends(found)}"


def _ends(found: Difference) -> str:
    return f"({found.mean:+.4g}, {found.low:+.4g} to {found.high:+.4g}, {found.n_rows} rows)"


def _left_out(rival: Rival) -> str:
    if rival.n_seen == 0:
        return ""
    return f"; {rival.n_seen} hold-out rows that one of the two was trained on are left out"
