"""What monitoring found and decided, in lines for a person."""

from collections.abc import Iterator

from pipelines.core.backtesting import Backtest, Tried
from pipelines.core.findings import Finding
from pipelines.core.monitored import Monitored, latest
from pipelines.core.triggers import CONTRACT_SIGNALS

SHOWN = ("main_metric", "loss", "estimated_loss", "input_drift", "prediction_drift", "joint_drift")
MOST_CAUSES = 5


def decision_line(found: Monitored) -> str:
    """Return what was decided and why, in one line."""
    decision = found.decision
    asks = "; a person is asked" if decision.ask_a_person else ""
    return f"{decision.action} ({decision.id}): {'; '.join(decision.reasons)}{asks}"


def decision_page(found: Monitored) -> str:
    """Return what was found and decided, in Markdown."""
    decision = found.decision
    champion = f"version {found.champion}" if found.champion else "no champion"
    lines = [
        f"# {decision.action.capitalize()}",
        "",
        f"{found.model}, {champion}, {found.now:%Y-%m-%d %H:%M} UTC, {len(found.windows)} windows."
        f" Decision `{decision.id}`.",
        "",
        *(f"- {reason}" for reason in (*decision.reasons, *found.notes)),
        "",
        "| figure | latest | interval | window | state |",
        "|---|---|---|---|---|",
        *_rows(found),
    ]
    causes = [f"{each.column} ({each.drift:.2g})" for each in found.causes[:MOST_CAUSES]]
    if causes:
        lines += ["", f"Columns that drifted, the likeliest cause first: {', '.join(causes)}."]
    return "\n".join(lines)


def monitored_lines(found: Monitored) -> list[str]:
    """Return what was found and decided, for the terminal."""
    shown = [latest(found.findings, signal) for signal in SHOWN]
    figures = [f"{each.signal} {_figure(each)}" for each in shown if each is not None]
    return [
        f"{found.model}: {len(found.windows)} windows until {found.now:%Y-%m-%d %H:%M} UTC",
        *([f"  {', '.join(figures)}"] if figures else ["  no window can be judged yet"]),
        *(f"  {note}" for note in found.notes),
        f"decision: {decision_line(found)}",
    ]


def backtest_lines(found: Backtest) -> list[str]:
    """Return what each trigger would have done, for the terminal."""
    if found.start is None or found.end is None:
        return ["No window is over yet, so there is nothing to try triggers on."]
    change = found.change_from
    return [
        f"Windows from {found.start:%Y-%m-%d} to {found.end:%Y-%m-%d};"
        f" {f'the loss rose from {change:%Y-%m-%d} on' if change else 'the loss did not rise'}.",
        *(_tried_line(each, found.false_alarms_a_year) for each in found.tried),
    ]


def _tried_line(tried: Tried, wanted: float) -> str:
    if tried.alarms_a_year is None:
        return f"{tried.trigger}: nothing to judge"
    delay = "" if tried.delay_days is None else f", {tried.delay_days:.0f} days after the change"
    advice = (
        "" if tried.suggested is None else f"; for {wanted:g} a year choose {tried.suggested:.4g}"
    )
    note = f" ({tried.note})" if tried.note else ""
    return (
        f"{tried.trigger}: {len(tried.alarms)} alarms in {tried.n_windows} windows,"
        f" {tried.alarms_a_year:.2g} a year{delay}{advice}{note}"
    )


def _rows(found: Monitored) -> Iterator[str]:
    for signal in SHOWN:
        each = latest(found.findings, signal)
        if each is not None:
            yield _row(each)
    last = found.windows[-1] if found.windows else None
    for each in found.findings:
        broken = each.signal in CONTRACT_SIGNALS and each.state == "breach"
        if broken and last is not None and each.window.start == last.start:
            yield _row(each)


def _row(each: Finding) -> str:
    name = each.signal if each.part is None else f"{each.signal} of {each.part}"
    interval = "" if each.low is None or each.high is None else f"{each.low:.4g} to {each.high:.4g}"
    window = f"{each.window.start:%Y-%m-%d %H:%M}"
    return f"| {name} | {_figure(each)} | {interval} | {window} | {each.state} |"


def _figure(each: Finding) -> str:
    return "no data" if each.value is None else f"{each.value:.4g}"
