"""Sentences that tell the user which model was made and why, for logs and the model card."""

from collections.abc import Sequence

from evertune.ensemble.selection import EnsembleSelection
from evertune.metrics.metrics import Metric
from evertune.models.model import Ensemble
from evertune.search.summary import count_endings, failure_reasons
from evertune.trials import Trial

MAX_NAMED_MEMBERS = 6  # members that are named


def trial_note(trial: Trial, metric: Metric) -> str:
    """Return which trial the model is.

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> from evertune.trials import Configuration
    >>> trial = Trial(3, Configuration("linear"), "complete", (), 0.8, None, 1.0)
    >>> trial_note(trial, METRICS["roc_auc"])
    'The model is trial 3, linear: roc_auc 0.8 over 0 folds.'
    """
    reached = f"{metric.name} {trial.score:.6g} over {len(trial.folds)} folds"
    return f"The model is trial {trial.number}, {trial.configuration.family}: {reached}."


def selection_note(selection: EnsembleSelection, ensemble: Ensemble, metric: Metric) -> str:
    """Return which trials make the model and how well they do on folds that did not choose them."""
    if len(ensemble.members) == 1 and len(selection.weights) == 1:
        family = ensemble.members[0].configuration.family
        reached = _format_score(selection.single_score)
        return (
            f"The model is trial {selection.single}, {family}: {metric.name} {reached}"
            " on rows that its fold models did not see."
        )
    shares = [f"{each.configuration.family} {each.weight:.2f}" for each in ensemble.members]
    more = (
        f", and {len(shares) - MAX_NAMED_MEMBERS} more" if len(shares) > MAX_NAMED_MEMBERS else ""
    )
    return (
        f"The model is an ensemble of {len(shares)} trials ({', '.join(shares[:MAX_NAMED_MEMBERS])}{more}): "
        f"{metric.name} {_format_score(selection.cross_fitted)} on folds that did not choose the weights;"
        f" the best single trial, {selection.single}, has {_format_score(selection.single_score)}."
    )


def left_out_note(n_left_out: int) -> str:
    """Return how many members there was no time for.

    Examples
    --------
    >>> left_out_note(2)
    'There was no time for 2 lighter members; raise fit.budget_seconds.'
    """
    noun = "member" if n_left_out == 1 else "members"
    return f"There was no time for {n_left_out} lighter {noun}; raise fit.budget_seconds."


def simplest_model_note(
    name: str, score: float | None, metric: Metric, *, beside: str, best: float | None
) -> str:
    """Return which simpler model was made in place of the best one, and what that would reach.

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> simplest_model_note("ridge", 2.0, METRICS["rmse"], beside="trial 3, lightgbm", best=1.9)
    'fit.prefer is simplest: ridge, with rmse 2, is not worse than trial 3, lightgbm, with 1.9.'
    """
    return (
        f"fit.prefer is simplest: {name}, with {metric.name} {_format_score(score)}, is not worse than "
        f"{beside}, with {_format_score(best)}."
    )


def zero_rule_note(trials: Sequence[Trial]) -> str:
    """Return that nothing was found to make a model of, and how the trials ended.

    Examples
    --------
    >>> from evertune.trials import Configuration
    >>> zero_rule_note([])
    'No trial ran on every fold: the model is the zero rule. Raise search.budget_*.'
    >>> zero_rule_note([Trial(0, Configuration("svm"), "stopped", (), None, "too slow", 1.0)])
    'No trial ran on every fold (1 x too slow): the model is the zero rule. Raise search.budget_*.'
    """
    counted = "; ".join(f"{each.trials} x {each.reason}" for each in count_endings(trials))
    why = f" ({counted})" if counted else ""
    return f"No trial ran on every fold{why}: the model is the zero rule. Raise search.budget_*."


def all_failed_note(trials: Sequence[Trial], file: str) -> str:
    """Return that every trial failed, the reasons counted, and what was saved instead.

    Examples
    --------
    >>> from evertune.trials import Configuration
    >>> one = Trial(0, Configuration("tree"), "failed", (), None, "no memory", 1.0)
    >>> print(all_failed_note([one, one], "trials.jsonl"))
    All 2 trials of the search failed: 2 x no memory. The zero rule was saved as the model. Mend \
the cause, remove trials.jsonl and start again.
    """
    return (
        f"All {len(trials)} trials of the search failed: {failure_reasons(trials)}. The zero rule "
        f"was saved as the model. Mend the cause, remove {file} and start again."
    )


def incomplete_note(trials: Sequence[Trial], trial: Trial) -> str:
    """Return that the model is a trial that did not run on every fold."""
    return (
        f"None of {len(trials)} trials ran on every fold: the model is trial {trial.number}, "
        f"{trial.configuration.family}, of {len(trial.folds)} folds. Raise search.budget_*."
    )


WARM_START_NOTE = (
    "No trial ran on every fold: the model is the configuration that was in use before, fitted on"
    " the new rows. Raise search.budget_*."
)


def _format_score(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.6g}"
