"""The figures of the model that an evaluation chose."""

from pipelines.core.evaluation import Evaluation, baseline_row, simplest_chosen
from pipelines.core.trials import Figures


def chosen_figures(evaluation: Evaluation) -> Figures:
    """Return the figures on the hold-out of the model that the evaluation chose."""
    simplest = simplest_chosen(evaluation)
    return evaluation.holdout if simplest is None else baseline_row(evaluation, simplest).holdout
