"""The commands that keep versions: reproduce, models and gc."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from flows.telling import project, told

DIFFERS = 3

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def reproduce(
    version: Annotated[str, typer.Argument(help="The number of a registered version.")],
    *,
    into: Annotated[
        Path | None, typer.Option(help="An empty folder; else state/reproduced/VERSION.")
    ] = None,
) -> None:
    """Make a version again from its record, and say whether it is the same."""
    with told():
        root, _ = project()
        from flows.keeping_lines import comparison_lines
        from flows.progress import say
        from flows.rebuilding import remake_apart
        from pipelines.reproduce import compare, lay_out
        from pipelines.stores.files import project_lock

        laid_out = lay_out(root, version, into=into)
        say("restore", f"version {version} is in {laid_out.folder}")
        for note in laid_out.notes:
            say("note", note)
        with project_lock(laid_out.folder / "state", f"evertune reproduce {version}"):
            remake_apart(laid_out.folder)
            found = compare(root, laid_out)
        typer.echo("\n".join(comparison_lines(found)))
    raise typer.Exit(0 if found.equal else DIFFERS)


@app.command()
def models(
    *,
    used: Annotated[
        str | None, typer.Option(metavar="HASH", help="Only those that learned from this data.")
    ] = None,
) -> None:
    """List the registered versions, the newest first."""
    with told():
        root, _ = project()
        from flows.keeping_lines import model_lines
        from pipelines.models import models as listed

        typer.echo("\n".join(model_lines(listed(root, used=used))))


@app.command()
def gc(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say it and remove nothing.")] = False,
    keep_days: Annotated[float, typer.Option(min=0, help="Keep what is younger.")] = 0,
    projects: Annotated[
        list[Path] | None,
        typer.Option("--project", help="Another project that shares DVC's store; again for each."),
    ] = None,
) -> None:
    """Free space on this machine, and never what a registered version needs."""
    with told(), ExitStack() as held:
        root, params = project()
        from flows.keeping_lines import collected_lines
        from pipelines.collect import collect, would_collect
        from pipelines.params import load_params
        from pipelines.stores.files import project_lock

        others = [folder.absolute() for folder in projects or []]
        states = [params.paths.state, *(load_params(other).paths.state for other in others)]
        for state in dict.fromkeys(states):
            held.enter_context(project_lock(state, "evertune gc"))
        act = would_collect if dry_run else collect
        found = act(root, keep_days=keep_days, others=others)
        typer.echo("\n".join(collected_lines(found, "would free" if dry_run else "freed")))
