"""What monitoring decides and what comes of it, told as it happens."""

from dataclasses import dataclass
from pathlib import Path

from pipelines.core.findings import Decision, Outcome
from pipelines.params import load_params
from pipelines.stores.database import opened_log
from pipelines.stores.decisions import decisions, outcomes


@dataclass(frozen=True)
class News:
    """Which decisions were told, and how many outcomes; and the lines about what is new."""

    decisions: frozenset[str] = frozenset()
    n_outcomes: int = 0
    lines: tuple[str, ...] = ()


def news_since(root: Path, before: News) -> News:
    """Return what happened beyond what was told before."""
    params = load_params(root)
    state, variable = params.paths.state, params.scoring.log_variable
    with opened_log(state, model=params.registry.name, variable=variable) as log:
        made, came = decisions(log), outcomes(log)
    new = [decision for decision in made if decision.id not in before.decisions]
    lines = [*map(decision_line, new), *map(outcome_line, came[before.n_outcomes :])]
    return News(frozenset(each.id for each in made), len(came), tuple(lines))


def decision_line(decision: Decision) -> str:
    """Return a decision and its first reason, in one line."""
    asks = "; a person is asked" if decision.ask_a_person else ""
    return f"{decision.moment:%Y-%m-%d} {decision.action}: {decision.reasons[0]}{asks}"


def outcome_line(outcome: Outcome) -> str:
    """Return what came of a decision, in one line."""
    version = f" version {outcome.version}" if outcome.version else ""
    detail = f": {outcome.detail}" if outcome.detail else ""
    return f"{outcome.moment:%Y-%m-%d} {outcome.kind}{version}{detail}"
