"""The metrics of a project: the built-in ones and the functions that its params.yaml names."""

from pathlib import Path

from pipelines.core.metrics import Metric, chosen_metric, custom_metric, metrics_for
from pipelines.core.predictions import Task
from pipelines.errors import ParamsError
from pipelines.sections import MetricSection
from pipelines.stores.files import load_function


def metrics_of(section: MetricSection, task: Task, root: Path) -> tuple[Metric, ...]:
    """Return all metrics of a task, the one that is optimised first.

    Parameters
    ----------
    section : MetricSection
    task : str
    root : Path
        The project folder, where functions of the user's own are looked for.

    Raises
    ------
    ParamsError
        If the metric does not serve the task, or a function cannot be loaded.
    """
    custom = {
        name: custom_metric(
            name,
            load_function(own.function, root),
            greater_is_better=own.greater_is_better,
            task=task,
        )
        for name, own in section.custom.items()
    }
    try:
        optimised = chosen_metric(section.optimise, task, custom)
    except ValueError as error:
        raise ParamsError(f"metric.optimise: {error}") from error
    known = {metric.name: metric for metric in (*metrics_for(task), *custom.values())}
    return (optimised, *(metric for name, metric in known.items() if name != optimised.name))
