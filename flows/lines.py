"""What the steps came to, in lines for a person."""

from collections.abc import Iterator
from dataclasses import fields

from pipelines.core.judging.verdicts import Verdict
from pipelines.snapshot import Snapshot
from pipelines.status import Champion, Status
from pipelines.stores.labels import LabelCounts

SHORT = 8
HOUR, DAY = 3600, 86_400


def snapshot_line(taken: Snapshot) -> str:
    """Return what a snapshot found, in one line."""
    state = "new" if taken.changed else "up to date"
    copied = {None: "", True: ", copied to the remote", False: ", the remote has it"}[taken.pushed]
    return f"{state}, {taken.rows} rows, version {_version(taken.version)}{copied}"


def verdict_line(verdict: Verdict) -> str:
    """Return what the gate says and why, in one line."""
    reasons = "; ".join(verdict.reasons)
    return f"{verdict.decision}, {_champion(verdict)}: {reasons}{_rows_needed(verdict)}"


def verdict_page(verdict: Verdict) -> str:
    """Return what the gate says and why, in Markdown."""
    lines = [f"# {verdict.decision.capitalize()}", "", f"{_champion(verdict)}.", ""]
    reasons = [f"- {reason}" for reason in verdict.reasons]
    return "\n".join([*lines, *reasons, _rows_needed(verdict)])


def labels_line(counts: LabelCounts) -> str:
    """Return what labels were, each case counted, in one line, and why any were refused."""
    cases = {each.name: getattr(counts, each.name) for each in fields(counts)}
    faults = cases.pop("faults")
    told = ", ".join(f"{count} {name}" for name, count in cases.items() if count)
    return "\n".join([told or "no label", *(f"  {fault}" for fault in faults)])


def status_lines(found: Status) -> list[str]:
    """Return how a project stands."""
    return [
        *_champion_lines(found),
        f"data: {_version(found.data)}{'' if found.has_remote else ', no remote has a copy'}",
        f"not up to date: {', '.join(found.stale)}" if found.stale else "every stage is up to date",
        f"last run: {_last_run(found)}",
    ]


def _champion_lines(found: Status) -> Iterator[str]:
    champion = found.champion
    if champion is None:
        yield f"{found.name}: no champion yet"
    else:
        yield f"{found.name}: version {champion.version} is the champion, {_age(champion)}"
        yield f"  hold-out: {_figures(champion)}"
        yield f"  trained on data {_version(champion.data)}"
    for alias, version in (("challenger", found.challenger), ("previous", found.previous)):
        if version is not None:
            yield f"  version {version} is the {alias}"


def _figures(champion: Champion) -> str:
    figures = champion.figures
    names = sorted(figures, key=lambda name: (name != champion.metric, name))
    return ", ".join(f"{name} {figures[name]:.4g}" for name in names)


def _age(champion: Champion) -> str:
    hours = champion.age_seconds / HOUR
    return f"{hours / 24:.0f} days old" if champion.age_seconds > 2 * DAY else f"{hours:.1f} h old"


def _last_run(found: Status) -> str:
    return f"{found.last_run.title}, {found.last_run.status}" if found.last_run else "none yet"


def _version(md5: str | None) -> str:
    return md5[:SHORT] if md5 else "no snapshot yet"


def _champion(verdict: Verdict) -> str:
    if verdict.champion is None:
        return f"version {verdict.version} is a challenger and there is no champion"
    if verdict.promoted:
        return f"version {verdict.champion} is the champion"
    return f"version {verdict.champion} stays champion, version {verdict.version} is a challenger"


def _rows_needed(verdict: Verdict) -> str:
    if verdict.rows_needed is None:
        return ""
    return f" (about {verdict.rows_needed} hold-out rows would tell)"
