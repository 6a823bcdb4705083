"""The command `evertune`. Each command calls a flow or a step; a failure is one message.

Exit codes: 0 success, 2 invalid input, 3 the champion stays (`reproduce`: the model differs), 4
a step failed and can be started again, 75 something is busy or does not answer, 78 unsafe or
unsuitable environment, 130 stopped by Ctrl-C, 143 stopped by SIGTERM.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evertune.cli import production, versions
from evertune.cli import versions as assessing
from evertune.cli import versions as keeping
from evertune.cli.errors import EXIT_CHAMPION_STAYS, error_boundary, load_project

if TYPE_CHECKING:
    from evertune.config.schema import Params
    from evertune.registry.gates import Verdict


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
def use(
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
    with error_boundary():
        from evertune.config.loader import find_root
        from evertune.data.profiling import format_profile
        from evertune.scaffold import configure_project as look

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
        typer.echo("\n".join(format_profile(found)))


@app.command()
def upgrade() -> None:
    """Bring a project that an earlier release wrote to the form of this one."""
    with error_boundary():
        from evertune.config.loader import find_root
        from evertune.upgrade import upgrade_project

        upgrade_project(
            find_root(Path.cwd()), lambda step, text: typer.echo(f"{step.ljust(12)}{text}")
        )


@app.command()
def snapshot() -> None:
    """Take a version of the source table, and copy it to DVC's remote if there is one."""
    with error_boundary():
        root, params = load_project()
        from evertune.files import project_lock
        from evertune.orchestration.progress import print_step
        from evertune.stages.snapshot import take_snapshot
        from evertune.terminal import snapshot_line

        with project_lock(params.paths.state, "evertune snapshot"):
            print_step("snapshot", snapshot_line(take_snapshot(root)))


@app.command()
def train() -> None:
    """Bring everything up to date and register the model; a run that was stopped goes on."""
    with error_boundary():
        root, params = load_project()
        from evertune.files import project_lock

        with project_lock(params.paths.state, "evertune train"):
            verdict = _run_train_flow(root, params)
    raise typer.Exit(0 if verdict.promoted else EXIT_CHAMPION_STAYS)


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="On this machine.")] = 5000,
) -> None:
    """Show runs, versions and reports in the MLflow UI until Ctrl-C."""
    with error_boundary():
        _, params = load_project()
        from evertune.cli.up import serve_mlflow_ui
        from evertune.messages import strip_credentials
        from evertune.registry.mlflow_client import mlflow_ui_command

        elsewhere = os.environ.get("MLFLOW_TRACKING_URI")
        if elsewhere:
            typer.echo(f"MLFLOW_TRACKING_URI is set: {strip_credentials(elsewhere)} has the runs.")
            return
        state = params.paths.state
        serve_mlflow_ui(mlflow_ui_command(state, port), port, log=state / "ui.log", say=typer.echo)


@app.command()
def status() -> None:
    """Say which model is the champion, its figures, and the version of its data."""
    with error_boundary():
        root, _ = load_project()
        from evertune.registry.overview import read_status as standing
        from evertune.terminal import status_lines

        typer.echo("\n".join(status_lines(standing(root))))


def _run_train_flow(root: Path, params: "Params") -> "Verdict":
    from evertune.orchestration.progress import step_progress
    from evertune.orchestration.server import prefect_server

    state = params.paths.state
    with prefect_server(state) as ready:
        # Imports and the tracking store's first use take as long as the server needs to come up.
        with step_progress("start"):
            from evertune.stages.snapshot import check_source

            check_source(root)
            from evertune.orchestration.train import train_project
            from evertune.registry.mlflow_client import open_tracking_store

            open_tracking_store(state, params.registry.name)
            address = ready()
        typer.echo(f"Prefect shows the run at {address}")
        return train_project(root)


if __name__ == "__main__":
    main()
