"""The command `evertune`. Each command calls a flow or a step; a failure is one message.

Exit codes: 0 well, 2 the input is at fault, 3 the champion stays, 4 a step failed and can be
started again, 75 something is busy or does not answer, 78 the place is unfit, 130 stopped by
Ctrl-C, 143 stopped by a signal.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows import assessing, keeping, production, versions
from flows.telling import CHAMPION_STAYS, project, told

if TYPE_CHECKING:
    from pipelines.core.judging.verdicts import Verdict
    from pipelines.sections import Params

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Keep a tabular model tuned: search, register, serve, watch, and search again on drift.",
)


def main() -> None:
    """Run the command."""
    production.app.add_typer(production.log, name="log")
    for part in (production, versions, keeping, assessing):
        app.add_typer(part.app)
    app()


@app.command()
def use(  # noqa: PLR0913
    file: Annotated[str, typer.Argument(help="A CSV, Parquet or .sql file, or `example`.")],
    *,
    target: Annotated[str, typer.Option(metavar="COLUMN", help="What to predict.")],
    positive: Annotated[str | None, typer.Option(help="The class of interest.")] = None,
    identifier: Annotated[str | None, typer.Option(help="The column that names a row.")] = None,
    time: Annotated[str | None, typer.Option(help="The column that orders the rows.")] = None,
    group: Annotated[str | None, typer.Option(help="Rows of one group stay together.")] = None,
    address_variable: Annotated[
        str | None, typer.Option(help="The environment variable with a database's address.")
    ] = None,
) -> None:
    """Look at a table, say what was found, and write it to params.yaml."""
    with told():
        from pipelines.core.profiles import profile_lines
        from pipelines.params import find_root
        from pipelines.use import use as look

        found = look(
            find_root(Path.cwd()),
            file,
            target=target,
            positive=positive,
            identifier=identifier,
            time=time,
            group=group,
            address_variable=address_variable,
        )
        typer.echo("\n".join(profile_lines(found)))


@app.command()
def snapshot() -> None:
    """Take a version of the source table, and copy it to DVC's remote if there is one."""
    with told():
        root, params = project()
        from flows.lines import snapshot_line
        from flows.progress import say
        from pipelines.snapshot import take_snapshot
        from pipelines.stores.files import project_lock

        with project_lock(params.paths.state, "evertune snapshot"):
            say("snapshot", snapshot_line(take_snapshot(root)))


@app.command()
def train() -> None:
    """Bring everything up to date and register the model; a run that was stopped goes on."""
    with told():
        root, params = project()
        from pipelines.stores.files import project_lock

        with project_lock(params.paths.state, "evertune train"):
            verdict = _trained(root, params)
    raise typer.Exit(0 if verdict.promoted else CHAMPION_STAYS)


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="On this machine.")] = 5000,
) -> None:
    """Show runs, versions and reports in the MLflow UI until Ctrl-C."""
    with told():
        _, params = project()
        from flows.browse import browse
        from pipelines.stores.addresses import ui_command, without_secrets

        elsewhere = os.environ.get("MLFLOW_TRACKING_URI")
        if elsewhere:
            typer.echo(f"MLFLOW_TRACKING_URI is set: {without_secrets(elsewhere)} has the runs.")
            return
        state = params.paths.state
        browse(ui_command(state, port), port, log=state / "ui.log", say=typer.echo)


@app.command()
def status() -> None:
    """Say which model is the champion, its figures, and the version of its data."""
    with told():
        root, _ = project()
        from flows.lines import status_lines
        from pipelines.status import status as standing

        typer.echo("\n".join(status_lines(standing(root))))


def _trained(root: Path, params: "Params") -> "Verdict":
    from flows.progress import step_shown
    from flows.server import prefect_server

    state = params.paths.state
    with prefect_server(state) as ready:
        # Imports and the tracking store's first use take as long as the server needs to come up.
        with step_shown("start"):
            from pipelines.snapshot import check_source

            check_source(root)
            from flows.train import train_project
            from pipelines.stores.tracking import open_store

            open_store(state, params.registry.name)
            address = ready()
        typer.echo(f"Prefect shows the run at {address}")
        return train_project(root)


if __name__ == "__main__":
    main()
