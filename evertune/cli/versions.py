"""Commands for versions and for what is stored.

history, promote, rollback, approve, reproduce, models, evaluate; gc, backup, restore.
"""

from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from evertune.cli.errors import error_boundary, load_project
from evertune.project import Project

if TYPE_CHECKING:
    from evertune.registry.promotion_records import DecisionRecord


VersionNumber = Annotated[str, typer.Argument(metavar="VERSION", help="The version's number.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="The reason, for the record.")]
EXIT_DIFFERS = 3
DecidedBy = Annotated[
    str | None, typer.Option(metavar="NAME", help="Who decides; by default the login name.")
]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def history(
    *,
    decisions: Annotated[
        bool, typer.Option("--decisions", help="List every decision, not only the champions.")
    ] = False,
) -> None:
    """Show which version was champion when, why, and its score."""
    with error_boundary():
        project = load_project()
        from evertune.terminal import decision_history_lines, history_lines

        found = project.history()
        now = datetime.now(UTC)
        lines = decision_history_lines(found) if decisions else history_lines(found, now=now)
        typer.echo("\n".join(lines))


@app.command()
def promote(number: VersionNumber, *, reason: Reason, by: DecidedBy = None) -> None:
    """Make a version champion by hand, whatever the gate decided."""
    with error_boundary():
        project = load_project()
        from evertune.registry.promotion import promote as promote_version

        with project.lock(f"evertune promote {number}"):
            now = datetime.now(UTC)
            record = promote_version(project.root, number, reason=reason, by=by, now=now)
        _print_decision(record, project)


@app.command()
def rollback(
    *,
    to: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="A former champion; by default the last one."),
    ] = None,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The reason, for the record.")
    ] = None,
    by: DecidedBy = None,
) -> None:
    """Make the previous champion the champion again, after a test that it still predicts."""
    with error_boundary():
        project = load_project()
        from evertune.registry.promotion import roll_back

        with project.lock("evertune rollback"):
            now = datetime.now(UTC)
            record = roll_back(project.root, to=to, reason=reason, by=by, now=now)
        _print_decision(record, project)


@app.command()
def approve(
    number: VersionNumber,
    *,
    reason: Reason,
    reject: Annotated[
        bool, typer.Option("--reject", help="Do not make it champion; it stays challenger.")
    ] = False,
    by: DecidedBy = None,
) -> None:
    """Approve or reject a version that passed the gate and waits for a person."""
    with error_boundary():
        project = load_project()
        from evertune.registry import promotion

        decide = promotion.reject if reject else promotion.approve
        with project.lock(f"evertune approve {number}"):
            record = decide(project.root, number, reason=reason, by=by, now=datetime.now(UTC))
        _print_decision(record, project)


@app.command()
def reproduce(
    version: Annotated[str, typer.Argument(help="The version's number.")],
    *,
    into: Annotated[
        Path | None, typer.Option(help="An empty folder; by default state/reproduced/VERSION.")
    ] = None,
) -> None:
    """Rebuild a version from its record, and report whether it is the same."""
    with error_boundary():
        project = load_project()
        from evertune.files import project_lock
        from evertune.orchestration.progress import print_step
        from evertune.orchestration.rerun_stages import rerun_stages_in_subprocess
        from evertune.registry.reproduce import compare_with_registered, restore_project
        from evertune.terminal import comparison_lines

        laid_out = restore_project(project.root, version, into=into)
        print_step("restore", f"version {version} is restored in {laid_out.folder}")
        for note in laid_out.notes:
            print_step("note", note)
        with project_lock(laid_out.folder / "state", f"evertune reproduce {version}"):
            rerun_stages_in_subprocess(laid_out.folder)
            found = compare_with_registered(project.root, laid_out)
        typer.echo("\n".join(comparison_lines(found)))
    raise typer.Exit(0 if found.equal else EXIT_DIFFERS)


@app.command()
def models(
    *,
    used: Annotated[
        str | None, typer.Option(metavar="HASH", help="Only versions trained on this data.")
    ] = None,
) -> None:
    """List the registered versions, the newest first."""
    with error_boundary():
        project = load_project()
        from evertune.terminal import model_lines

        typer.echo("\n".join(model_lines(project.models(used=used))))


@app.command()
def gc(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be freed, and remove nothing.")
    ] = False,
    keep_days: Annotated[
        float, typer.Option(min=0, help="Keep files younger than this many days.")
    ] = 0,
    projects: Annotated[
        list[Path] | None,
        typer.Option(
            "--project",
            metavar="DIR",
            help="Another project that shares the DVC cache; repeat for each.",
        ),
    ] = None,
) -> None:
    """Free disk space on this machine; what a registered version needs is kept."""
    with error_boundary(), ExitStack() as held:
        project = load_project()
        from evertune.registry.gc import collect_garbage, preview_garbage
        from evertune.terminal import gc_lines

        others = [Project(folder) for folder in projects or []]
        for each in {each.state: each for each in (project, *others)}.values():
            held.enter_context(each.lock("evertune gc"))
        act = preview_garbage if dry_run else collect_garbage
        found = act(project.root, keep_days=keep_days, others=[each.root for each in others])
        typer.echo("\n".join(gc_lines(found, "would free" if dry_run else "freed")))


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Where the copy goes, outside the project.")],
) -> None:
    """Copy the project with its data, models, decisions and log into one file."""
    with error_boundary():
        project = load_project()
        from evertune.backup import back_up

        with project.lock("evertune backup"):
            notes = back_up(project.root, file)
        typer.echo(f"{file}: {file.stat().st_size / 1e6:,.1f} MB; keep it as secret as the project")
        for note in notes:
            typer.echo(f"not in it: {note}")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What `evertune backup` wrote.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An empty or a new folder.")],
) -> None:
    """Lay a project out again from the file that `evertune backup` wrote."""
    with error_boundary():
        from evertune.backup import restore as restore_copy

        restore_copy(file, folder)
        next_command = f"cd {quote(str(folder))} && evertune doctor"
        typer.echo(f"{folder} is the project as it was. Next: {next_command}")


@app.command()
def evaluate(
    *,
    model: Annotated[str, typer.Option(metavar="VERSION", help="The version's number or alias.")],
    data: Annotated[str, typer.Option(metavar="FILE", help="A CSV, Parquet or .sql file.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The folder for the pages.")
    ] = None,
    log: Annotated[bool, typer.Option("--log", help="Also log the result to MLflow.")] = False,
) -> None:
    """Evaluate a version on any labelled table: metrics, intervals, slices and a page."""
    with error_boundary():
        project = load_project()
        from evertune.registry.evaluate_version import assess_version

        found = assess_version(
            project.root,
            model,
            source=str(Path(data).absolute()),
            out=out and out.absolute(),
            logged=log,
        )
        typer.echo("\n".join(found.lines))


def _print_decision(record: "DecisionRecord", project: Project) -> None:
    from evertune.terminal import decision_result_line

    typer.echo(decision_result_line(record, project.name))
