"""Whether a hold-out shows that a model beats the rules that need no model.

`unbeaten_rules` is the one answer that the report's cautions and the promotion gate give: a
model beats a rule if the whole interval of the difference on the hold-out lies above zero, on
enough rows and, for classes, enough rows of the rarer one (`row_shortage`). What a small hold-out
seems to show is not known.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeGuard

from evertune.evaluation.evaluation_record import BaselineRow, Evaluation, chosen_model_metrics
from evertune.evaluation.formatting import count_noun, humanize, metric_name
from evertune.metrics.metrics import is_better
from evertune.stats.bootstrap import CLASS_RATE_METRICS
from evertune.stats.comparison import required_sample_size
from evertune.stats.results import PairedDifference

MIN_COMPARED_ROWS = 30  # resamples of fewer are alike, and their intervals too narrow
MIN_RARE_ROWS = 10  # of the rarer class; with fewer, one row decides
RULE_NAMES = {
    "uniform_random": "uniform random guessing",
    "label_distribution": "guessing by the class shares",
    "zero_rule": "the constant prediction",
    "heuristic": "the best one-column rule",
    "existing": "the system in use",
}


@dataclass(frozen=True)
class RuleComparison:
    """A model beside one rule on the hold-out.

    Attributes
    ----------
    outcome : str
        `pass` if the model is surely better, `fail` if it is not better, else `unknown`.
    reason : str
        The end of a sentence about the model; empty if it is surely better.
    rows_needed : int, optional
        About how many hold-out rows would tell, if these do not.
    """

    outcome: Literal["pass", "fail", "unknown"]
    reason: str = ""
    rows_needed: int | None = None


SURELY_BETTER = RuleComparison("pass")


def unbeaten_rules(evaluation: Evaluation) -> tuple[RuleComparison, ...]:
    """Return why it is not shown that the model in use beats every rule that needs no model.

    None if it is. If the model is not better than some rules, the best of these says all.
    """
    rows = [row for row in evaluation.baselines if row.kind == "none"]
    found = [(compare_with_rule(evaluation, row), row) for row in rows]
    failed = [pair for pair in found if pair[0].outcome == "fail"]
    if failed:
        best = max if evaluation.greater_is_better else min
        worst, _ = best(failed, key=lambda pair: pair[1].holdout[evaluation.metric] or 0.0)
        return (worst,)
    return tuple(each for each, _ in found if each.outcome == "unknown")


def compare_with_rule(evaluation: Evaluation, row: BaselineRow) -> RuleComparison:
    """Return the model in use beside one baseline, on the rows that this predicts."""
    metric, name = metric_name(evaluation.metric), rule_name(row.name)
    score = chosen_model_metrics(evaluation).get(evaluation.metric)
    rival = row.holdout.get(evaluation.metric)
    if not (_is_known(score) and _is_known(rival)):
        return RuleComparison("unknown", f"its {metric} cannot be compared with that of {name}")
    lift = PairedDifference(row.lift, row.low, row.high, None, row.n_rows)
    shortage = row_shortage(class_counts(evaluation), row.n_rows, evaluation)
    if shortage is not None:
        by_chance = required_sample_size(lift) if _is_known(row.low) else None
        needed = [n for n in (shortage.rows_needed, by_chance) if n is not None]
        return RuleComparison("unknown", shortage.reason, max(needed, default=None))
    if not is_better(evaluation, score, rival):
        side = "below" if evaluation.greater_is_better else "above"
        beside = f"no better than {name}" if score == rival else f"{side} that of {name}"
        return RuleComparison("fail", f"its {metric} of {score:.4g} is {beside} ({rival:.4g})")
    if _is_known(row.low) and row.low > 0:
        return SURELY_BETTER
    doubt = f"its {metric} of {score:.4g} is not clearly better than that of {name} ({rival:.4g})"
    if not _is_known(row.low):
        return RuleComparison("unknown", f"{doubt}: the difference has no interval")
    chance = f"the interval of the difference goes down to {row.low:+.4g}"
    return RuleComparison("unknown", f"{doubt}: {chance}", required_sample_size(lift))


def row_shortage(
    counts: Sequence[int] | None, n_rows: int, evaluation: Evaluation
) -> RuleComparison | None:
    """Return that rows are too few to compare two models by them, None if they are enough.

    Parameters
    ----------
    counts : sequence of int, optional
        Rows of each class; None in regression. A metric that is a mean over classes, such as
        balanced accuracy, needs enough rows of the rarest that occurs; any other needs enough rows
        outside the most common one, which in a binary task is the same.
    n_rows : int
        Rows that both models predict.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> churn = SimpleNamespace(metric="log_loss", classes=("no", "yes"))
    >>> row_shortage((48, 2), 50, churn).reason
    "the hold-out has only 2 rows of class 'yes', and at least 10 are needed to judge a model"
    >>> row_shortage((48, 2), 50, churn).rows_needed
    250
    """
    if n_rows < MIN_COMPARED_ROWS:
        few = f"the hold-out has only {count_noun(n_rows, 'row')} to compare by"
        reason = f"{few}, and at least {MIN_COMPARED_ROWS} are needed to judge a model"
        needed = MIN_COMPARED_ROWS
    else:
        reason, needed = "", 0
    if counts is not None:
        n_rare, where = _rare_rows(counts, evaluation)
        if n_rare < MIN_RARE_ROWS:
            few = f"the hold-out has only {count_noun(n_rare, 'row')} {where}"
            reason = f"{few}, and at least {MIN_RARE_ROWS} are needed to judge a model"
            if not n_rare:
                return RuleComparison("unknown", reason)
            needed = max(needed, math.ceil(sum(counts) * MIN_RARE_ROWS / n_rare))
    return RuleComparison("unknown", reason, needed) if reason else None


def class_counts(evaluation: Evaluation) -> tuple[int, ...] | None:
    """Return the hold-out rows of each class, in the order of their codes; None in regression."""
    if not evaluation.classes:
        return None
    return tuple(sum(row) for row in evaluation.confusion)


def rule_name(name: str) -> str:
    """Return a baseline's name as it stands in a sentence."""
    return RULE_NAMES.get(name, humanize(name))


def _rare_rows(counts: Sequence[int], evaluation: Evaluation) -> tuple[int, str]:
    """Return how many rows a comparison rests on, and which they are."""
    occurring = [code for code, count in enumerate(counts) if count]
    if len(occurring) < 2:
        return 0, "of a second class"
    is_mean_over_classes = evaluation.metric in CLASS_RATE_METRICS
    if len(evaluation.classes) > 2 and not is_mean_over_classes:
        most = max(occurring, key=counts.__getitem__)
        return sum(counts) - counts[most], f"outside class {evaluation.classes[most]!r}"
    rarest = min(occurring, key=counts.__getitem__)
    return counts[rarest], f"of class {evaluation.classes[rarest]!r}"


def _is_known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)
