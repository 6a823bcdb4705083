"""Load the metrics of a project: the built-in ones and the functions that params.yaml names."""

from pathlib import Path

from evertune.config.schema import MetricSection
from evertune.errors import ParamsError
from evertune.files import load_function
from evertune.metrics.metrics import Metric, custom_metric, get_metric, metrics_for
from evertune.types import Task


def load_metrics(section: MetricSection, task: Task, root: Path) -> tuple[Metric, ...]:
    """Return all metrics of a task, the one that is optimised first.

    Parameters
    ----------
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
        optimised = get_metric(section.primary, task, custom)
    except ValueError as error:
        raise ParamsError(f"metric.primary: {error}") from error
    known = {metric.name: metric for metric in (*metrics_for(task), *custom.values())}
    return (optimised, *(metric for name, metric in known.items() if name != optimised.name))
