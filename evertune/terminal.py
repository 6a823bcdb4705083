"""Results of steps, monitoring and versions, formatted for the terminal (and some in Markdown).

Every function takes a result and returns a line, lines or a page; none prints. Tables
(`table_lines`) are drawn by rich in a terminal; in a pipe or a file each row is one whole line.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from evertune.config.schema import CONTRACT_SIGNALS
from evertune.evaluation.formatting import format_interval, format_score
from evertune.times import in_zone

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from evertune.decisions import Finding
    from evertune.doctor.finding import Finding as DoctorFinding
    from evertune.monitoring.backtest import Backtest, TriggerBacktest
    from evertune.monitoring.prediction_log import LabelCounts
    from evertune.monitoring.results import MonitoringResult
    from evertune.orchestration.train_plan import PlannedStage, TrainPlan
    from evertune.registry.gc import CollectionResult, SpaceUsage
    from evertune.registry.overview import (
        ProjectStatus,
        VersionHistory,
        VersionSummary,
    )
    from evertune.registry.promotion_records import DecisionRecord, Verdict
    from evertune.registry.reproduce import Reproduction
    from evertune.serving.batch import ScoringResult
    from evertune.stages.snapshot import Snapshot

HASH_LENGTH = 8


def snapshot_line(taken: Snapshot) -> str:
    """Return the state of a snapshot, in one line."""
    state = "new" if taken.changed else "up to date"
    copied = {None: "", True: ", copied to the remote", False: ", the remote has it"}[taken.pushed]
    return f"{state}, {taken.rows} rows, version {_short_hash(taken.version)}{copied}"


def verdict_line(verdict: Verdict) -> str:
    """Return what the gate says and why, and what to do where it cannot tell, in one line."""
    reasons = "; ".join(verdict.reasons)
    parts = [f"{_verdict_text(verdict)}: {reasons}{_rows_needed_text(verdict)}."]
    return " ".join([*parts, *_standing_sentences(verdict)])


def verdict_page(verdict: Verdict) -> str:
    """Return what the gate says and why, in Markdown."""
    reasons = [f"- {reason}" for reason in verdict.reasons]
    rest = [_rows_needed_text(verdict).strip(" ()"), *_standing_sentences(verdict)]
    shown = [f"{text[0].upper()}{text[1:]}" for text in rest if text]
    return "\n".join([f"# {_verdict_text(verdict)}", "", *reasons, "", *shown])


def labels_line(counts: LabelCounts) -> str:
    """Return how many labels were new, corrected and so on, then a line for each fault."""
    from evertune.data.labels import new_classes_note
    from evertune.monitoring.prediction_log import LABEL_CASES

    cases = {name: getattr(counts, name) for name in LABEL_CASES}
    text = ", ".join(f"{count} {name}" for name, count in cases.items() if count)
    lines = [text or "no labels", *(f"  {fault}" for fault in counts.faults)]
    if counts.unknown_example:
        case = "unknown" if counts.unknown else "early"
        lines.insert(1, f"  {case}, for example: {counts.unknown_example}")
    if counts.new_classes:
        lines.append(f"  {new_classes_note(counts.new_classes)}")
    return "\n".join(lines)


def scoring_line(scored: ScoringResult) -> str:
    """Return the result of scoring a table, in one line."""
    return (
        f"{scored.rows} rows scored by version {scored.version}, {scored.logged} new in the log;"
        f" predictions are in {scored.output}"
    )


def status_lines(found: ProjectStatus) -> list[str]:
    """Return the champion, the data, what is out of date, and the last run."""
    champion, run = found.champion, found.last_run
    if champion is None:
        lines = [f"{found.name}: no champion yet"]
    else:
        age = _format_duration(timedelta(seconds=champion.age_seconds))
        names = sorted(champion.metrics, key=lambda name: (name != champion.metric, name))
        width = max(map(len, names), default=0)
        kind = f" ({champion.model})" if champion.model else ""
        lines = [
            f"{found.name}: version {champion.version}{kind} is the champion, {age} old",
            f"  trained on data {_short_hash(champion.data)}",
            "  its scores on the hold-out when it was registered, with their intervals:",
        ]
        for name in names:
            interval = format_interval(*champion.intervals.get(name, (None, None)))
            score = format_score(champion.metrics[name])
            shown = f"{score} ({interval})" if interval else score
            lines.append(f"    {name.ljust(width)}  {shown}")
    for alias, version in (("challenger", found.challenger), ("previous", found.previous)):
        if version is not None:
            lines.append(f"  version {version} is the {alias}")
    copied = "" if found.has_remote else ", no remote has a copy"
    stale = ", ".join(found.stale)
    return [
        *lines,
        f"data: {_short_hash(found.data)}{copied}",
        f"not up to date: {stale}" if stale else "every stage is up to date",
        f"last run: {f'{run.title}, {run.status.lower()}' if run else 'none yet'}",
    ]


def _short_hash(md5: str | None) -> str:
    return md5[:HASH_LENGTH] if md5 else "no snapshot yet"


def _verdict_text(verdict: Verdict) -> str:
    if verdict.promoted and not verdict.gates:
        return "Nothing to decide"
    if verdict.promoted:
        first = " (the first one)" if verdict.is_first else ""
        return f"Version {verdict.version} is now the champion{first}"
    if verdict.waits_for_approval:
        return f"Version {verdict.version} waits for approval"
    doubt = ", not enough evidence" if verdict.decision == "not enough evidence" else ""
    return f"Not promoted{doubt}"


def _standing_sentences(verdict: Verdict) -> Iterator[str]:
    """Yield who is champion after a verdict that promotes nothing, and what a person can do."""
    if verdict.promoted:
        return
    kept = f"is kept as version {verdict.version}"
    if verdict.champion is None:
        yield f"It {kept}; there is no champion."
    else:
        yield f"Version {verdict.champion} stays champion; the new one {kept}."
    if verdict.decision == "not enough evidence" and not verdict.waits_for_approval:
        command = f"`evertune promote {verdict.version} --reason TEXT`"
        yield f"{command} makes it champion all the same."


def _rows_needed_text(verdict: Verdict) -> str:
    if verdict.rows_needed is None:
        return ""
    return f" (about {verdict.rows_needed} hold-out rows would be enough)"


SHOWN_SIGNALS = (
    "main_metric",
    "loss",
    "estimated_loss",
    "input_drift",
    "prediction_drift",
    "joint_drift",
)
MAX_CAUSES = 5


def decision_line(found: MonitoringResult) -> str:
    """Return what was decided and why, in one line."""
    decision = found.decision
    asks = "; a person should look at it" if decision.ask_a_person else ""
    return f"{decision.title} ({decision.id}): {'; '.join(decision.reasons)}{asks}"


def signal_name(each: Finding) -> str:
    """Return a finding's signal, the main metric by its own name."""
    return f"{each.note} (main metric)" if each.signal == "main_metric" else each.signal


def decision_page(found: MonitoringResult) -> str:
    """Return what was found and decided, in Markdown."""
    decision = found.decision
    champion = f"version {found.champion}" if found.champion else "no champion"
    lines = [
        f"# {decision.title.capitalize()}",
        "",
        f"{found.model}, {champion}, {found.now:%Y-%m-%d %H:%M %Z}, {len(found.windows)} windows."
        f" Decision `{decision.id}`.",
        "",
        *(f"- {reason}" for reason in (*decision.reasons, *found.notes)),
        "",
        "| signal | latest value | interval | window | state |",
        "|---|---|---|---|---|",
        *_finding_rows(found),
    ]
    causes = [f"{each.column} ({each.drift:.2g})" for each in found.causes[:MAX_CAUSES]]
    if causes:
        lines += ["", f"Columns that drifted, the likeliest cause first: {', '.join(causes)}."]
    return "\n".join(lines)


def monitoring_lines(found: MonitoringResult) -> list[str]:
    """Return what was found and decided, for the terminal."""
    from evertune.monitoring.results import latest_finding

    shown = [latest_finding(found.findings, signal) for signal in SHOWN_SIGNALS]
    values = [f"{signal_name(each)} {_finding_value(each)}" for each in shown if each is not None]
    windows = "1 window" if len(found.windows) == 1 else f"{len(found.windows)} windows"
    return [
        f"{found.model}: {windows} until {found.now:%Y-%m-%d %H:%M %Z}",
        *([f"  {', '.join(values)}"] if values else ["  no window can be judged yet"]),
        *(f"  {note}" for note in found.notes),
        f"decision: {decision_line(found)}",
    ]


def backtest_lines(found: Backtest) -> list[str]:
    """Return what each trigger would have done, for the terminal."""
    if found.start is None or found.end is None:
        return ["No window has ended yet, so there is nothing to test triggers on."]
    change = found.change_from
    return [
        f"Windows from {found.start:%Y-%m-%d} to {found.end:%Y-%m-%d};"
        f" {f'the loss rose from {change:%Y-%m-%d} on' if change else 'the loss did not rise'}.",
        *(_trigger_line(each, found.false_alarms_a_year) for each in found.triggers),
    ]


def _trigger_line(tried: TriggerBacktest, wanted: float) -> str:
    if tried.alarms_a_year is None:
        return f"{tried.trigger}: no data to judge it by"
    delay = "" if tried.delay_days is None else f", {tried.delay_days:.0f} days after the change"
    advice = (
        "" if tried.suggested is None else f"; for {wanted:g} a year choose {tried.suggested:.4g}"
    )
    note = f" ({tried.note})" if tried.note else ""
    return (
        f"{tried.trigger}: {len(tried.alarms)} alarms in {tried.n_windows} windows,"
        f" {tried.alarms_a_year:.2g} a year{delay}{advice}{note}"
    )


def _finding_rows(found: MonitoringResult) -> Iterator[str]:
    from evertune.monitoring.results import latest_finding

    for signal in SHOWN_SIGNALS:
        each = latest_finding(found.findings, signal)
        if each is not None:
            yield _finding_row(each)
    last = found.windows[-1] if found.windows else None
    for each in found.findings:
        broken = each.signal in CONTRACT_SIGNALS and each.state == "breach"
        if broken and last is not None and each.window.start == last.start:
            yield _finding_row(each)


def _finding_row(each: Finding) -> str:
    name = signal_name(each) if each.part is None else f"{each.signal} of {each.part}"
    interval = format_interval(each.low, each.high)
    window = f"{each.window.start:%Y-%m-%d %H:%M}"
    return f"| {name} | {_finding_value(each)} | {interval} | {window} | {each.state} |"


def _finding_value(each: Finding) -> str:
    return "no data" if each.value is None else format_score(each.value)


CHAMPION_COLUMNS = ("version", "by", "for", "score", "why")
COMPARISON_COLUMNS = ("", "what", "recorded", "rebuilt", "difference", "tolerance")
DECISION_COLUMNS = ("version", "decided", "by", "id", "why")


def history_lines(found: VersionHistory, *, now: datetime) -> list[str]:
    """Return the champions as a table, the newest first."""
    rows = [
        (
            _format_minute(period.since, found.timezone),
            period.version,
            f"{period.act} ({period.by})" if period.record_id else "before there were records",
            _format_duration((period.until or now) - period.since),
            period.score,
            period.reason,
        )
        for period in reversed(found.periods)
    ]
    columns = (f"since ({found.timezone})", *CHAMPION_COLUMNS)
    return [*_current_champion_lines(found), *(table_lines(columns, rows) if rows else [])]


def decision_history_lines(found: VersionHistory) -> list[str]:
    """Return every decision as a table, the newest first."""
    rows = [
        (
            _format_minute(each.moment, found.timezone)
            + (" (simulated)" if each.is_simulated else ""),
            each.version or "",
            f"{each.kind}: {each.decision}{f', {each.outcome}' if each.outcome else ''}",
            each.by,
            each.id,
            each.reason,
        )
        for each in reversed(found.decisions)
    ]
    columns = (f"when ({found.timezone})", *DECISION_COLUMNS)
    table = table_lines(columns, rows) if rows else ["no decision is recorded yet"]
    if any(each.is_simulated for each in found.decisions):
        table.append("(simulated): not the time of day, but that of the simulation or of the log")
    return [*_current_champion_lines(found), *table]


def decision_result_line(record: DecisionRecord, name: str) -> str:
    """Return the champion after a decision, in one line."""
    champion = record.aliases_after.get("champion")
    standing = f"version {champion} is the champion" if champion else "there is no champion"
    over = record.aliases_before.get("champion")
    instead = f" in place of version {over}" if record.changes_champion and over else ""
    return f"{name}: {standing}{instead}; decision {record.id} by {record.by}"


def _current_champion_lines(found: VersionHistory) -> Iterator[str]:
    if found.champion is None:
        yield f"{found.name}: no champion yet"
        return
    yield f"{found.name}: version {found.champion} is the champion"
    if found.periods and found.periods[-1].version != found.champion:
        yield "  its alias was not set by Evertune, so no decision is recorded for it"


def _format_minute(moment: datetime, zone: str) -> str:
    return f"{in_zone(moment, zone):%Y-%m-%d %H:%M}"


def _format_duration(passed: timedelta) -> str:
    hours = passed / timedelta(hours=1)
    return f"{hours / 24:.0f} days" if hours > 48 else f"{hours:.1f} h"


def comparison_lines(found: Reproduction) -> list[str]:
    """Return a table of what was compared, and how many rows differ."""
    rows = [
        (
            "ok" if row.equal else "DIFFERS",
            row.what,
            row.recorded,
            row.rebuilt,
            "" if row.difference is None else f"{row.difference:.2g}",
            "" if row.tolerance is None else f"{row.tolerance:.2g}",
        )
        for row in found.rows
    ]
    lines = [*table_lines(COMPARISON_COLUMNS, rows), ""]
    if found.equal:
        return [*lines, f"version {found.version} was reproduced: nothing differs"]
    count = f"{sum(not row.equal for row in found.rows)} of {len(found.rows)}"
    return [*lines, f"version {found.version} was not reproduced: {count} differ"]


def model_lines(found: Sequence[VersionSummary]) -> list[str]:
    """Return versions as a table."""
    if not found:
        return ["no version is registered yet; run `evertune train`"]
    rows = [
        (
            each.number,
            ", ".join(each.aliases),
            f"{each.created:%Y-%m-%d %H:%M}",
            "" if each.score is None else f"{each.metric} {each.score:.6g}",
            each.data.get("source", "")[:HASH_LENGTH],
            each.mode or "",
        )
        for each in found
    ]
    registered = f"registered ({found[0].created:%Z})"
    return table_lines(("version", "aliases", registered, "score", "data", "mode"), rows)


def gc_lines(found: CollectionResult, did: str) -> list[str]:
    """Return what was removed and what was kept.

    Parameters
    ----------
    did : str
        `freed`, or `would free`.
    """
    removed = [f"  {_space_line(part)}" for part in found.removed]
    kept = [f"  {_space_line(part)}" for part in found.kept]
    total = sum(part.megabytes for part in found.kept)
    return [
        f"{did} {found.megabytes:.1f} MB{':' if removed else ''}",
        *removed,
        f"kept {total:.1f} MB in DVC's store:",
        *kept,
    ]


MIN_WRAPPED_WIDTH = 30  # of the last column of a table


def table_lines(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table as lines.

    In a terminal, rich draws it and wraps the last column. Elsewhere, and in a terminal too narrow
    for the other columns, each row is one line with nothing cut off, its cells apart by two blanks
    or more.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    widths = [max(map(len, cells)) + 2 for cells in zip(columns, *rows, strict=True)]
    is_narrow = sum(widths[:-1]) + min(widths[-1], MIN_WRAPPED_WIDTH) > console.width
    plain = is_narrow or not console.is_terminal
    table = Table(box=None if plain else SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False)
    for name in columns:
        table.add_column(name, no_wrap=plain or name != columns[-1], overflow="fold")
    for row in rows:
        table.add_row(*(Text(" ".join(cell.split())) for cell in row))
    if plain:
        console.width = 2 * sum(len(cell) + 2 for row in (columns, *rows) for cell in row)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines()]


def _space_line(part: SpaceUsage) -> str:
    return f"{part.megabytes:.1f} MB in {part.count}: {part.what}"


STATE_WORDS = {"run": "runs", "may run": "may run"}
STEP_WIDTH = 11  # as `print_step` has it


def plan_lines(plan: TrainPlan) -> list[str]:
    """Return what a run would do and why, a step with each of its reasons on lines of its own."""
    lines = []
    if plan.is_running:
        lines = ["A run holds the project now; this is how it stands at this moment.", ""]
    lines += _step_lines("snapshot", f"{plan.snapshot.state}: {plan.snapshot.text}")
    for stage in plan.stages:
        if stage.state == "up to date":
            lines += _step_lines(stage.name, stage.state)
            continue
        notes = [reason.text for reason in stage.reasons]
        if stage.kept_trials:
            notes.append(f"goes on from {stage.kept_trials} trials of a killed run")
        if stage.fault:
            notes.append(f"will be refused: {stage.fault}")
        lines += _step_lines(stage.name, f"{_stage_word(stage)}:", *notes)
    word = STATE_WORDS.get(plan.register.state, plan.register.state)
    lines += _step_lines("register", f"{word}: {plan.register.text}")
    return [*lines, "", _plan_time(plan)]


def _step_lines(name: str, first: str, *more: str) -> Iterator[str]:
    yield f"{name.ljust(STEP_WIDTH)}{first}"
    for text in more:
        yield f"{' ' * STEP_WIDTH}- {text}"


def _stage_word(stage: PlannedStage) -> str:
    word = STATE_WORDS[stage.state]
    if stage.seconds is None:
        return f"{word}, time unknown"
    return f"{word}, about {_format_seconds(stage.seconds)} ({stage.seconds_from})"


def _plan_time(plan: TrainPlan) -> str:
    if all(stage.state == "up to date" for stage in plan.stages):
        return "No stage runs."
    more = plan.most_seconds - plan.least_seconds
    parts = [f"about {_format_seconds(plan.least_seconds)}"] if plan.least_seconds else []
    if more:
        parts.append(f"about {_format_seconds(more)} {'more ' if parts else ''}if all run that may")
    if plan.unknown:
        parts.append(f"unknown for {', '.join(plan.unknown)}")
    return f"Time of the stages: {', '.join(parts)}."


def _format_seconds(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def finding_lines(found: Sequence[DoctorFinding]) -> list[str]:
    """Return what is wrong and what mends it, errors first."""
    lines = []
    for each in sorted(found, key=lambda finding: finding.level):
        lines.append(f"{each.level}: {each.text}")
        lines += [f"  $ {each.command}"] if each.command else []
        lines += [f"  {each.by_hand}"] if each.by_hand else []
    n_errors = sum(each.level == "error" for each in found)
    if not found:
        return ["Nothing is wrong."]
    n_warnings = len(found) - n_errors
    plural = "" if n_warnings == 1 else "s"
    return [*lines, "", f"{n_errors} to mend before work, {n_warnings} warning{plural}"]
