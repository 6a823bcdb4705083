"""Checks of params.yaml that involve several sections, the project's folder, or roles of columns.

A check is a function whose parameters are sections, or `root` for the project's folder. It
yields the dotted key and the message of each conflict. `find_conflicts` runs all checks whose
sections could be read, so that one broken section does not hide the faults of the others (a
validator of pydantic's model of the whole file would not run then).
"""

import inspect
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evertune.config.schema import (
    BUSINESS_PREFIX,
    CONTRACT_SIGNAL,
    CONTRACT_SIGNALS,
    DRIFT_SIGNALS,
    ESTIMATED_PREFIX,
    LOSS_SIGNALS,
    Conflict,
    DataSection,
    MetricSection,
    MonitoringSection,
    PathsSection,
    SearchSection,
    SplitSection,
    is_query,
)
from evertune.messages import did_you_mean
from evertune.metrics.metrics import METRICS


def find_conflicts(sections: Mapping[str, Any]) -> list[Conflict]:
    """Return the dotted key and the message of every conflict between values.

    Parameters
    ----------
    sections : mapping
        The sections that could be read, by name, and `root`; a check that needs another one is
        skipped.
    """
    conflicts: list[Conflict] = []
    for check in CHECKS:
        needed = inspect.signature(check).parameters
        if needed.keys() <= sections.keys():
            conflicts += check(**{name: sections[name] for name in needed})
    return conflicts


def _check_paths(paths: PathsSection, root: Path) -> Iterator[Conflict]:
    named = {f"paths.{key}": path for key, path in paths.model_dump(by_alias=True).items()}
    for key, path in named.items():
        inside = not path.is_absolute() and ".." not in path.parts and path != Path()
        # a link on the way could leave the project, too
        if not inside or not (root / path).parent.resolve().is_relative_to(root.resolve()):
            yield key, f"{key} must be a path inside the project, but got '{path}'."
        for other, outer in named.items():
            if key != other and path.is_relative_to(outer):
                yield key, f"{key} '{path}' must not be in or the same as {other} '{outer}'."


def _check_data(data: DataSection) -> Iterator[Conflict]:
    roles = ("target", "identifier", "time", "group", "weight", "human_column", "existing_column")
    columns = {role: getattr(data, role) for role in roles if getattr(data, role) is not None}
    counts = Counter(columns.values())
    for role, column in columns.items():
        if counts[column] > 1:
            yield f"data.{role}", f"data.{role}: column '{column}' has more than one role."
    if data.target in data.ignore or data.target in data.columns:
        yield "data.target", f"data.target '{data.target}' must not be in data.ignore or .columns."
    key = "data.address_variable"
    if is_query(data.source) and data.address_variable is None:
        yield (
            key,
            (
                f"data.source '{data.source}' is a query; {key} must name the environment variable "
                "that holds the database address."
            ),
        )
    if not is_query(data.source) and data.address_variable is not None:
        yield key, f"{key} is for a .sql source, but data.source is '{data.source}'."
    if data.existing_column is not None and data.existing_model is not None:
        key = "data.existing_model"
        yield key, f"data.existing_column and {key} are both given; keep one of them."
    if data.task not in {"auto", "binary"} and data.positive != "auto":
        yield "data.positive", f"data.positive must be auto if data.task is '{data.task}'."


def _check_split(data: DataSection, split: SplitSection) -> Iterator[Conflict]:
    for kind, column in (("time", data.time), ("group", data.group)):
        if split.folds == kind and column is None:
            yield "split.folds", f"split.folds '{kind}' needs data.{kind}, which is null."
    if split.folds == "stratified" and data.task == "regression":
        yield "split.folds", "split.folds 'stratified' needs classes; data.task is 'regression'."
    if split.gap_days > 0 and data.time is None:
        yield "split.gap_days", f"split.gap_days {split.gap_days:g} needs data.time, which is null."


def _check_metrics(metric: MetricSection, data: DataSection) -> Iterator[Conflict]:
    names = {f"metric.guards.{name}": name for name in metric.guards}
    if metric.primary != "auto":
        names["metric.primary"] = metric.primary
    known = [*METRICS, *metric.custom]
    for key, name in names.items():
        if name not in known:
            hint = did_you_mean(name, known)
            yield key, f"{key}: '{name}' is not a metric.{hint} Known: {', '.join(known)}."
        elif name in METRICS and data.task not in {"auto", *METRICS[name].tasks}:
            fitting = ", ".join(other for other in METRICS if data.task in METRICS[other].tasks)
            yield key, f"{key}: '{name}' is not for data.task '{data.task}'; use {fitting}."


def _check_objectives(
    search: SearchSection, metric: MetricSection, data: DataSection
) -> Iterator[Conflict]:
    known = [*METRICS, *metric.custom]
    key = "search.objectives"
    for name in search.objectives:
        if name not in known:
            hint = did_you_mean(name, known)
            yield key, f"{key}: '{name}' is not a metric.{hint} Known: {', '.join(known)}."
        elif name == metric.primary:
            yield key, f"{key}: '{name}' is metric.primary, which counts anyway; leave it out."
        elif name in METRICS and data.task not in {"auto", *METRICS[name].tasks}:
            fitting = ", ".join(other for other in METRICS if data.task in METRICS[other].tasks)
            yield key, f"{key}: '{name}' is not for data.task '{data.task}'; use {fitting}."


def _check_custom_metrics(metric: MetricSection) -> Iterator[Conflict]:
    for name in metric.custom.keys() & {"auto", *METRICS}:
        key = f"metric.custom.{name}"
        yield key, f"{key}: '{name}' is the name of a built-in metric; choose another name."


def _check_signals(
    monitoring: MonitoringSection, metric: MetricSection, data: DataSection
) -> Iterator[Conflict]:
    fitting = [name for name, known in METRICS.items() if data.task in {"auto", *known.tasks}]
    metrics = [*fitting, *metric.custom]
    known = [
        *LOSS_SIGNALS,
        *metrics,
        *DRIFT_SIGNALS,
        CONTRACT_SIGNAL,
        *CONTRACT_SIGNALS,
        *(f"{ESTIMATED_PREFIX}{name}" for name in ("loss", *metrics)),
        *(f"{BUSINESS_PREFIX}{name}" for name in monitoring.business),
    ]
    for number, trigger in enumerate(monitoring.triggers):
        if trigger.signal not in known:
            key = f"monitoring.triggers.{number}.signal"
            hint = did_you_mean(trigger.signal, known) or f" Known: {', '.join(known)}."
            yield key, f"{key}: '{trigger.signal}' is not a signal of production.{hint}"


def _check_slices(monitoring: MonitoringSection, data: DataSection) -> Iterator[Conflict]:
    if data.target in monitoring.slices:
        yield "monitoring.slices", f"monitoring.slices: '{data.target}' is the target."


CHECKS = (
    _check_paths,
    _check_data,
    _check_split,
    _check_metrics,
    _check_objectives,
    _check_custom_metrics,
    _check_signals,
    _check_slices,
)
