"""Checks of params.yaml that involve several values.

A check is a function whose parameters are sections, or `root` for the project's folder. It
yields the dotted key and the message of each conflict. `find_conflicts` runs all `CHECKS` whose
sections could be read, so that one broken section does not hide the faults of the others.
`cron_error` checks the five fields of a schedule, before a scheduler sees it.
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
    DataSection,
    KOfNRule,
    MetricSection,
    MonitoringSection,
    PathsSection,
    ScoringSection,
    SearchSection,
    SequentialRule,
    SplitSection,
)
from evertune.messages import did_you_mean
from evertune.metrics.metrics import METRICS

CRON_FIELDS = {
    "minute": (0, 59),
    "hour": (0, 23),
    "day of the month": (1, 31),
    "month": (1, 12),
    "day of the week": (0, 7),
}
CRON_NAMES = {
    "month": ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    "day of the week": ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
}


def cron_error(text: str) -> str | None:
    """Return what is wrong with a schedule, None where nothing is.

    A field is `*`, a number, a range such as `1-5`, a list of them with commas, each with a step
    such as `*/15` where it is no single number; months and days of the week may be names.

    Examples
    --------
    >>> cron_error("*/15 6-20 * * mon-fri")
    >>> cron_error("0 25 * * *")
    "the hour must be from 0 to 23, but is '25'"
    """
    parts = text.split()
    if len(parts) != len(CRON_FIELDS):
        return f"expected five fields ({', '.join(CRON_FIELDS)}), but got {len(parts)}"
    for name, part in zip(CRON_FIELDS, parts, strict=True):
        for entry in part.split(","):
            if not _is_valid_cron_entry(entry, name):
                low, high = CRON_FIELDS[name]
                return f"the {name} must be from {low} to {high}, but is '{entry}'"
    return None


def _is_valid_cron_entry(entry: str, name: str) -> bool:
    span, slash, step = entry.partition("/")
    if slash and not (step.isascii() and step.isdigit() and int(step) > 0):
        return False
    if span == "*":
        return True
    first, dash, last = span.partition("-")
    numbers = [_parse_cron_number(each, name) for each in ([first, last] if dash else [first])]
    low, high = CRON_FIELDS[name]
    if any(number is None or not low <= number <= high for number in numbers):
        return False
    return not (slash and not dash) and numbers == sorted(n for n in numbers if n is not None)


def _parse_cron_number(text: str, name: str) -> int | None:
    names = CRON_NAMES.get(name, [])
    if text.lower() in names:
        return names.index(text.lower()) + CRON_FIELDS[name][0]
    return int(text) if text.isascii() and text.isdigit() else None


Conflict = tuple[str, str]


def find_conflicts(sections: Mapping[str, Any]) -> list[Conflict]:
    """Return the place and the words of every fault between values that are fine alone.

    Parameters
    ----------
    sections : mapping
        The sections that could be read, by name, and `root`; a check that needs another one is
        left out.
    """
    complaints: list[Conflict] = []
    for check in CHECKS:
        needed = inspect.signature(check).parameters
        if needed.keys() <= sections.keys():
            complaints += check(**{name: sections[name] for name in needed})
    return complaints


def check_paths_inside_project(paths: "PathsSection", root: Path) -> Iterator[Conflict]:
    """Refuse a path that leaves the folder of the project, itself or by a link on its way."""
    for name, path in _named_paths(paths):
        inside = not path.is_absolute() and ".." not in path.parts and path != Path()
        if not inside or not (root / path).parent.resolve().is_relative_to(root.resolve()):
            yield name, f"{name} must be a path inside the project, but got '{path}'."


def check_paths_disjoint(paths: "PathsSection") -> Iterator[Conflict]:
    """Refuse a path that is or lies in another one: a step would overwrite another's work."""
    named = list(_named_paths(paths))
    for name, path in named:
        for other, around in named:
            if name != other and path.is_relative_to(around):
                yield name, f"{name} '{path}' must not be in or the same as {other} '{around}'."


def check_column_roles(data: "DataSection") -> Iterator[Conflict]:
    """Refuse a column with two roles."""
    roles = ("target", "identifier", "time", "group", "human_column", "existing_column")
    given = {role: getattr(data, role) for role in roles if getattr(data, role) is not None}
    counts = Counter(given.values())
    for role, column in given.items():
        if counts[column] > 1:
            yield f"data.{role}", f"data.{role}: column '{column}' has more than one role."
    if data.target in data.ignore or data.target in data.columns:
        yield "data.target", f"data.target '{data.target}' must not be in data.ignore or .columns."


def check_source_address(data: "DataSection") -> Iterator[Conflict]:
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


def check_existing_system(data: "DataSection") -> Iterator[Conflict]:
    """Refuse two ways to say what the system in use predicts."""
    if data.existing_column is not None and data.existing_model is not None:
        yield (
            "data.existing_model",
            ("data.existing_column and data.existing_model are both given; keep one of them."),
        )


def check_positive_class(data: "DataSection") -> Iterator[Conflict]:
    """Refuse a class of interest where the task is not binary."""
    if data.task not in {"auto", "binary"} and data.positive != "auto":
        yield "data.positive", f"data.positive must be auto where data.task is '{data.task}'."


def check_folds(data: "DataSection", split: "SplitSection") -> Iterator[Conflict]:
    """Refuse folds that need a column or classes which are not there."""
    for kind, column in (("time", data.time), ("group", data.group)):
        if split.folds == kind and column is None:
            yield "split.folds", f"split.folds '{kind}' needs data.{kind}, which is null."
    if split.folds == "stratified" and data.task == "regression":
        yield "split.folds", "split.folds 'stratified' needs classes; data.task is 'regression'."
    if split.gap_days > 0 and data.time is None:
        yield "split.gap_days", f"split.gap_days {split.gap_days:g} needs data.time, which is null."


def check_metrics(metric: "MetricSection", data: "DataSection") -> Iterator[Conflict]:
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


def check_custom_metric_names(metric: "MetricSection") -> Iterator[Conflict]:
    """Refuse a metric of the user's own under a name that has a meaning already."""
    for name in metric.custom.keys() & {"auto", *METRICS}:
        place = f"metric.custom.{name}"
        yield place, f"{place}: '{name}' has a meaning already; choose another name."


def check_search_budget(search: "SearchSection") -> Iterator[Conflict]:
    """Refuse a search without an end."""
    if search.budget_seconds is None and search.budget_trials is None:
        yield (
            "search.budget_seconds",
            ("search.budget_seconds or search.budget_trials must be given, but both are null."),
        )


def check_families_unique(search: "SearchSection") -> Iterator[Conflict]:
    """Refuse a family that stands twice."""
    for name, count in Counter(search.families).items():
        if count > 1:
            yield "search.families", f"search.families: '{name}' stands {count} times."


def check_trigger_names_unique(monitoring: "MonitoringSection") -> Iterator[Conflict]:
    """Refuse two triggers of one name: a record could not say which one was crossed."""
    counts = Counter(trigger.name for trigger in monitoring.triggers)
    for number, trigger in enumerate(monitoring.triggers):
        if counts[trigger.name] > 1:
            place = f"monitoring.triggers.{number}.name"
            yield place, f"{place}: '{trigger.name}' stands {counts[trigger.name]} times."


def check_trigger_signals(
    monitoring: "MonitoringSection", metric: "MetricSection", data: "DataSection"
) -> Iterator[Conflict]:
    """Refuse a trigger on a figure that is never made."""
    fitting = [
        name for name, known in METRICS.items() if data.task == "auto" or data.task in known.tasks
    ]
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
            place = f"monitoring.triggers.{number}.signal"
            hint = did_you_mean(trigger.signal, known) or f" Known: {', '.join(known)}."
            yield place, f"{place}: '{trigger.signal}' is no figure of production.{hint}"


def check_trigger_rules(monitoring: "MonitoringSection") -> Iterator[Conflict]:
    """Refuse a rule without a bound, with two, with k above n, and a test that is not for it."""
    for number, trigger in enumerate(monitoring.triggers):
        rule, place = trigger.rule, f"monitoring.triggers.{number}.rule"
        if isinstance(rule, SequentialRule):
            if trigger.signal != "loss":
                words = f"e_process tests the signal 'loss', not '{trigger.signal}'."
                yield place, f"{place}: {words} Use threshold or k_of_n."
        elif rule.above is not None and rule.below is not None:
            yield place, f"{place}: keep one of above and below, but both are given."
        elif isinstance(rule, KOfNRule) and rule.above is None and rule.below is None:
            yield place, f"{place}: above or below must be given, but both are null."
        elif isinstance(rule, KOfNRule) and rule.k > rule.n:
            yield f"{place}.k", f"{place}: k {rule.k} must not be above n {rule.n}."


def check_crons(scoring: "ScoringSection", monitoring: "MonitoringSection") -> Iterator[Conflict]:
    """Refuse a schedule that no scheduler can read, and one with nothing to do."""
    for place, cron in (("scoring.cron", scoring.cron), ("monitoring.cron", monitoring.cron)):
        fault = None if cron is None else cron_error(cron)
        if fault is not None:
            yield place, f"{place}: {fault}."
    if scoring.cron is not None and scoring.source is None:
        yield "scoring.cron", "scoring.cron needs scoring.source, which is null."


def check_scoring_address(scoring: "ScoringSection") -> Iterator[Conflict]:
    """Refuse a query without the variable that holds the address."""
    queries = [name for name in ("source", "labels") if _is_query(getattr(scoring, name))]
    if queries and scoring.address_variable is None:
        place = "scoring.address_variable"
        words = "must name the environment variable that holds the database address."
        yield place, f"scoring.{queries[0]} is a query; {place} {words}"


def check_monitoring_bounds(
    monitoring: "MonitoringSection", data: "DataSection"
) -> Iterator[Conflict]:
    """Refuse bounds of monitoring that contradict each other."""
    policy, contract, retune = monitoring.policy, monitoring.contract, monitoring.retune
    days = policy.follow_up_days
    faults = {
        "window_rows": monitoring.window_rows is not None
        and monitoring.window_rows < monitoring.least_rows
        and f"must not be below least_rows {monitoring.least_rows}, or no window is judged",
        "horizon_days": monitoring.horizon_days < monitoring.window_days
        and f"must not be below window_days {monitoring.window_days:g}",
        "slices": data.target in monitoring.slices and f"'{data.target}' is the target",
        "contract.volume_high": contract.volume_high <= contract.volume_low
        and f"must be above volume_low {contract.volume_low:g}",
        "policy.longest_cooldown_days": policy.longest_cooldown_days < policy.cooldown_days
        and f"must not be below cooldown_days {policy.cooldown_days:g}",
        "policy.follow_up_days": list(days) != sorted(set(days)) and "must rise",
        "retune.budget_seconds": retune.budget_seconds is None
        and retune.budget_trials is None
        and "or budget_trials must be given, but both are null",
    }
    for name, words in faults.items():
        if words:
            yield f"monitoring.{name}", f"monitoring.{name}: {words}."


def _is_query(source: str | None) -> bool:
    return source is not None and Path(source).suffix.lower() == ".sql"


def _named_paths(paths: "PathsSection") -> Iterator[tuple[str, Path]]:
    for name, path in paths.model_dump(by_alias=True).items():
        yield f"paths.{name}", path


CHECKS = (
    check_paths_inside_project,
    check_paths_disjoint,
    check_column_roles,
    check_source_address,
    check_existing_system,
    check_positive_class,
    check_folds,
    check_metrics,
    check_custom_metric_names,
    check_search_budget,
    check_families_unique,
    check_trigger_names_unique,
    check_trigger_signals,
    check_trigger_rules,
    check_crons,
    check_scoring_address,
    check_monitoring_bounds,
)
