"""Say which version was champion when, and what was decided about versions.

Reads the records, the history of champions and the registry, and changes nothing in them.
"""

from dataclasses import dataclass
from pathlib import Path

from pipelines.core.judging.records import Record
from pipelines.core.judging.reigns import Turn, turns_of
from pipelines.core.summaries import FIGURE_TAG
from pipelines.deciding import opened, reigns
from pipelines.stores import registry
from pipelines.stores.aliases import aliases
from pipelines.stores.records import records
from pipelines.stores.registry import Version


@dataclass(frozen=True)
class History:
    """What happened to the versions of a model.

    Attributes
    ----------
    name : str
        `registry.name`.
    champion : str, optional
        The version that has the alias now; the last turn is another's where a hand other than
        ours has moved it.
    turns : tuple of Turn
        Oldest first.
    decisions : tuple of Record
        Oldest first.
    """

    name: str
    champion: str | None
    turns: tuple[Turn, ...]
    decisions: tuple[Record, ...]


def history(root: Path) -> History:
    """Return what happened to the versions of a project's model.

    Parameters
    ----------
    root : Path
        The project's folder.
    """
    with opened(root) as (store, log):
        decisions = records(log)
        figures = {each.number: _figure(each) for each in registry.all_versions(store)}
        turns = turns_of(reigns(store, log), decisions, figures)
        return History(log.model, aliases(store).get("champion"), turns, decisions)


def _figure(version: Version) -> str:
    metric = version.tags.get("metric")
    figure = version.tags.get(f"{FIGURE_TAG}{metric}")
    return "" if metric is None or figure is None else f"{metric} {float(figure):.4g}"
