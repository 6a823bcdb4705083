"""What sections of params.yaml must agree on, beside what each value may be.

A check is a function whose parameters are sections, or `root` for the project's folder, as in the
`run` of a step. It yields the place of each fault and what is wrong there.
"""

import inspect
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.core.metrics import METRICS
from pipelines.core.wording import did_you_mean
from pipelines.sections import Data, MetricSection, Paths, SearchSection, Split

Complaint = tuple[str, str]


def disagreements(sections: Mapping[str, Any]) -> list[Complaint]:
    """Return the place and the words of every fault between values that are fine alone.

    Parameters
    ----------
    sections : mapping
        The sections that could be read, by name, and `root`; a check that needs another one is
        left out.
    """
    complaints: list[Complaint] = []
    for check in CHECKS:
        needed = inspect.signature(check).parameters
        if needed.keys() <= sections.keys():
            complaints += check(**{name: sections[name] for name in needed})
    return complaints


def paths_inside(paths: "Paths", root: Path) -> Iterator[Complaint]:
    """Refuse a path that leaves the folder of the project, itself or by a link on its way."""
    for name, path in _named(paths):
        inside = not path.is_absolute() and ".." not in path.parts and path != Path()
        if not inside or not (root / path).parent.resolve().is_relative_to(root.resolve()):
            yield name, f"{name} must be a path inside the project, but got '{path}'."


def paths_apart(paths: "Paths") -> Iterator[Complaint]:
    """Refuse a path that is or lies in another one: a step would overwrite another's work."""
    named = list(_named(paths))
    for name, path in named:
        for other, around in named:
            if name != other and path.is_relative_to(around):
                yield name, f"{name} '{path}' must not be in or the same as {other} '{around}'."


def columns_apart(data: "Data") -> Iterator[Complaint]:
    """Refuse a column with two roles."""
    roles = ("target", "identifier", "time", "group", "human_column", "existing_column")
    given = {role: getattr(data, role) for role in roles if getattr(data, role) is not None}
    counts = Counter(given.values())
    for role, column in given.items():
        if counts[column] > 1:
            yield f"data.{role}", f"data.{role}: column '{column}' has more than one role."
    if data.target in data.ignore or data.target in data.columns:
        yield "data.target", f"data.target '{data.target}' must not be in data.ignore or .columns."


def source_reachable(data: "Data") -> Iterator[Complaint]:
    """Refuse a query without the variable that holds the address, and the variable alone."""
    is_query = Path(data.source).suffix.lower() == ".sql"
    if is_query and data.address_variable is None:
        yield (
            "data.address_variable",
            (
                f"data.source '{data.source}' is a query; data.address_variable must name the "
                "environment variable that holds the database address."
            ),
        )
    if not is_query and data.address_variable is not None:
        yield (
            "data.address_variable",
            (f"data.address_variable is for a .sql source, but data.source is '{data.source}'."),
        )


def one_existing_system(data: "Data") -> Iterator[Complaint]:
    """Refuse two ways to say what the system in use predicts."""
    if data.existing_column is not None and data.existing_model is not None:
        yield (
            "data.existing_model",
            ("data.existing_column and data.existing_model are both given; keep one of them."),
        )


def positive_fits(data: "Data") -> Iterator[Complaint]:
    """Refuse a class of interest where the task is not binary."""
    if data.task not in {"auto", "binary"} and data.positive != "auto":
        yield "data.positive", f"data.positive must be auto where data.task is '{data.task}'."


def folds_fit(data: "Data", split: "Split") -> Iterator[Complaint]:
    """Refuse folds that need a column or classes which are not there."""
    for kind, column in (("time", data.time), ("group", data.group)):
        if split.folds == kind and column is None:
            yield "split.folds", f"split.folds '{kind}' needs data.{kind}, which is null."
    if split.folds == "stratified" and data.task == "regression":
        yield "split.folds", "split.folds 'stratified' needs classes; data.task is 'regression'."
    if split.gap_days > 0 and data.time is None:
        yield "split.gap_days", f"split.gap_days {split.gap_days:g} needs data.time, which is null."


def metrics_known(metric: "MetricSection", data: "Data") -> Iterator[Complaint]:
    """Refuse a metric that does not exist or does not fit the task, where one is given."""
    optimised = {} if metric.optimise == "auto" else {"metric.optimise": metric.optimise}
    guards = {f"metric.guards.{name}": name for name in metric.guards}
    for place, name in (optimised | guards).items():
        if name not in {*METRICS, *metric.custom}:
            hint = did_you_mean(name, [*METRICS, *metric.custom])
            known = ", ".join([*METRICS, *metric.custom])
            yield place, f"{place}: '{name}' is no metric.{hint} Known: {known}."
        elif name in METRICS and data.task not in {"auto", *METRICS[name].tasks}:
            fitting = ", ".join(known for known in METRICS if data.task in METRICS[known].tasks)
            yield place, f"{place}: '{name}' is not for data.task '{data.task}'; use {fitting}."


def custom_metrics_new(metric: "MetricSection") -> Iterator[Complaint]:
    """Refuse a metric of the user's own under a name that has a meaning already."""
    for name in metric.custom.keys() & {"auto", *METRICS}:
        place = f"metric.custom.{name}"
        yield place, f"{place}: '{name}' has a meaning already; choose another name."


def budget_given(search: "SearchSection") -> Iterator[Complaint]:
    """Refuse a search without an end."""
    if search.budget_seconds is None and search.budget_trials is None:
        yield (
            "search.budget_seconds",
            ("search.budget_seconds or search.budget_trials must be given, but both are null."),
        )


def families_once(search: "SearchSection") -> Iterator[Complaint]:
    """Refuse a family that stands twice."""
    for name, count in Counter(search.families).items():
        if count > 1:
            yield "search.families", f"search.families: '{name}' stands {count} times."


def _named(paths: "Paths") -> Iterator[tuple[str, Path]]:
    for name, path in paths.model_dump(by_alias=True).items():
        yield f"paths.{name}", path


CHECKS = (
    paths_inside,
    paths_apart,
    columns_apart,
    source_reachable,
    one_existing_system,
    positive_fits,
    folds_fit,
    metrics_known,
    custom_metrics_new,
    budget_given,
    families_once,
)
