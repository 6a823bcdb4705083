"""How params.yaml asks a model to be appraised, in the words of core."""

from pipelines.core.appraising import How
from pipelines.core.costs import cost_matrix
from pipelines.core.model_figures import Bootstrap
from pipelines.core.predictions import Floats
from pipelines.errors import ParamsError
from pipelines.sections import Evaluation


def bootstrap_of(section: Evaluation) -> Bootstrap:
    """Return how intervals over rows are made."""
    return Bootstrap(section.bootstrap_draws, section.confidence, section.seed)


def how_of(section: Evaluation) -> How:
    """Return how a model is appraised."""
    return How(
        bootstrap=bootstrap_of(section),
        importance_rows=section.importance_rows,
        importance_repeats=section.importance_repeats,
        slices=section.slices,
        sensitive=section.sensitive,
        slice_rows=section.slice_rows,
        worst_slices=section.worst_slices,
    )


def costs_of(section: Evaluation, classes: tuple[str, ...]) -> Floats | None:
    """Return the costs of mistakes by true and predicted class, None where none are given.

    Raises
    ------
    ParamsError
        If a class is not one of `classes`; a regression has none.
    """
    if section.costs is None:
        return None
    try:
        return cost_matrix(section.costs, classes)
    except ValueError as error:
        raise ParamsError(f"evaluation.costs: {error}") from error
