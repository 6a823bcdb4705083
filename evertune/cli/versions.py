"""Commands for versions: history, promote, rollback, approve, reproduce, models, gc, evaluate."""

from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evertune.cli.errors import error_boundary, load_project

if TYPE_CHECKING:
    from evertune.config.schema import Params
    from evertune.registry.records import DecisionRecord


VersionNumber = Annotated[str, typer.Argument(metavar="VERSION", help="The number of a version.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why, for those who read the record.")]
DecidedBy = Annotated[
    str | None, typer.Option(metavar="NAME", help="Who decides, if not the name of the login.")
]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def history(
    *,
    decisions: Annotated[
        bool, typer.Option("--decisions", help="Every decision, not the champions alone.")
    ] = False,
) -> None:
    """Show which version was champion when, what made it champion, and its key figure."""
    with error_boundary():
        root, _ = load_project()
        from evertune.registry.overview import read_history as found
        from evertune.terminal import decision_history_lines, history_lines

        seen = found(root)
        shown = (
            decision_history_lines(seen)
            if decisions
            else history_lines(seen, now=datetime.now(UTC))
        )
        typer.echo("\n".join(shown))


@app.command()
def promote(number: VersionNumber, *, reason: Reason, by: DecidedBy = None) -> None:
    """Make a version champion by hand, whatever the gate said of it."""
    with error_boundary():
        root, params = load_project()
        from evertune.files import project_lock
        from evertune.registry.promotion import promote as promoted

        with project_lock(params.paths.state, f"evertune promote {number}"):
            _print_decision(
                promoted(root, number, reason=reason, by=by, now=datetime.now(UTC)), params
            )


@app.command()
def rollback(
    *,
    to: Annotated[
        str | None, typer.Option(metavar="VERSION", help="A former champion, if not the last.")
    ] = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT")] = None,
    by: DecidedBy = None,
) -> None:
    """Make the champion before the champion again; it has to predict before and after."""
    from evertune.registry.smoke_test import smoke_test_in_subprocess

    with error_boundary(), smoke_test_in_subprocess() as prove:
        root, params = load_project()
        from evertune.files import project_lock
        from evertune.registry.promotion import roll_back

        with project_lock(params.paths.state, "evertune rollback"):
            now = datetime.now(UTC)
            _print_decision(
                roll_back(root, to=to, reason=reason, by=by, now=now, prove=prove), params
            )


@app.command()
def approve(
    number: VersionNumber,
    *,
    reason: Reason,
    reject: Annotated[
        bool, typer.Option("--reject", help="It is not to be champion; it stays challenger.")
    ] = False,
    by: DecidedBy = None,
) -> None:
    """Approve a version that passed the gate and waits for a person, or reject it."""
    with error_boundary():
        root, params = load_project()
        from evertune.files import project_lock
        from evertune.registry.promotion import approve as approved
        from evertune.registry.promotion import reject as rejected

        decide = rejected if reject else approved
        with project_lock(params.paths.state, f"evertune approve {number}"):
            _print_decision(
                decide(root, number, reason=reason, by=by, now=datetime.now(UTC)), params
            )


def _print_decision(record: "DecisionRecord", params: "Params") -> None:
    from evertune.terminal import decision_result_line

    typer.echo(decision_result_line(record, params.registry.name))


EXIT_DIFFERS = 3


@app.command()
def reproduce(
    version: Annotated[str, typer.Argument(help="The number of a registered version.")],
    *,
    into: Annotated[
        Path | None, typer.Option(help="An empty folder; else state/reproduced/VERSION.")
    ] = None,
) -> None:
    """Make a version again from its record, and say whether it is the same."""
    with error_boundary():
        root, _ = load_project()
        from evertune.files import project_lock
        from evertune.orchestration.progress import print_step
        from evertune.orchestration.reproduce import rerun_stages_in_subprocess
        from evertune.registry.reproduce import compare_with_registered, restore_project
        from evertune.terminal import comparison_lines

        laid_out = restore_project(root, version, into=into)
        print_step("restore", f"version {version} is in {laid_out.folder}")
        for note in laid_out.notes:
            print_step("note", note)
        with project_lock(laid_out.folder / "state", f"evertune reproduce {version}"):
            rerun_stages_in_subprocess(laid_out.folder)
            found = compare_with_registered(root, laid_out)
        typer.echo("\n".join(comparison_lines(found)))
    raise typer.Exit(0 if found.equal else EXIT_DIFFERS)


@app.command()
def models(
    *,
    used: Annotated[
        str | None, typer.Option(metavar="HASH", help="Only those that learned from this data.")
    ] = None,
) -> None:
    """List the registered versions, the newest first."""
    with error_boundary():
        root, _ = load_project()
        from evertune.registry.overview import list_models as listed
        from evertune.terminal import model_lines

        typer.echo("\n".join(model_lines(listed(root, used=used))))


@app.command()
def gc(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say it and remove nothing.")] = False,
    keep_days: Annotated[float, typer.Option(min=0, help="Keep what is younger.")] = 0,
    projects: Annotated[
        list[Path] | None,
        typer.Option(
            "--load_project", help="Another load_project that shares DVC's store; again for each."
        ),
    ] = None,
) -> None:
    """Free space on this machine, and never what a registered version needs."""
    with error_boundary(), ExitStack() as held:
        root, params = load_project()
        from evertune.config.loader import load_params
        from evertune.files import project_lock
        from evertune.registry.gc import collect_garbage, preview_garbage
        from evertune.terminal import gc_lines

        others = [folder.absolute() for folder in projects or []]
        states = [params.paths.state, *(load_params(other).paths.state for other in others)]
        for state in dict.fromkeys(states):
            held.enter_context(project_lock(state, "evertune gc"))
        act = preview_garbage if dry_run else collect_garbage
        found = act(root, keep_days=keep_days, others=others)
        typer.echo("\n".join(gc_lines(found, "would free" if dry_run else "freed")))


@app.command()
def evaluate(
    *,
    model: Annotated[str, typer.Option(metavar="VERSION", help="A version's number or alias.")],
    data: Annotated[str, typer.Option(metavar="FILE", help="A CSV, Parquet or .sql file.")],
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where the pages go.")] = None,
    log: Annotated[bool, typer.Option("--log", help="Show it in MLflow, too.")] = False,
) -> None:
    """Judge a version by any labelled table: figures, intervals, slices and a page."""
    with error_boundary():
        root, _ = load_project()
        from evertune.registry.assess import assess_version

        found = assess_version(
            root, model, source=_absolute_path(data), out=out and out.absolute(), logged=log
        )
        typer.echo("\n".join(found.lines))


def _absolute_path(data: str) -> str:
    return str(Path(data).absolute())


if __name__ == "__main__":
    app()
