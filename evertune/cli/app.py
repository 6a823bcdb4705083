"""The command `evertune`. Each command calls a flow or a step; a failure is one message.

Exit codes: 0 success, 2 invalid input, 3 the champion stays (`reproduce`: the model differs), 4
a step failed and can be started again, 75 something is busy or does not answer, 78 unsafe or
unsuitable environment, 130 stopped by Ctrl-C, 143 stopped by SIGTERM.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from evertune.cli import production, versions
from evertune.cli.errors import EXIT_CHAMPION_STAYS, error_boundary, load_project

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Keep a tabular model tuned: search, register, serve, watch, and search again on drift.",
)

Positive = Annotated[str | None, typer.Option(metavar="CLASS", help="The class of interest.")]
Identifier = Annotated[str | None, typer.Option(metavar="COLUMN", help="It names a row for good.")]
Time = Annotated[str | None, typer.Option(metavar="COLUMN", help="It orders the rows.")]
Group = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Rows of one group stay on one side.")
]
AddressVariable = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Of a .sql file: the environment variable with the database's address."
    ),
]


def main() -> None:
    """Run the command."""
    app()


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The project's folder.")],
    *,
    data: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A CSV, Parquet or .sql file; without: an example."),
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="With --data: what to predict.")
    ] = None,
    positive: Positive = None,
    identifier: Identifier = None,
    time: Time = None,
    group: Group = None,
    address_variable: AddressVariable = None,
) -> None:
    """Make a project: params.yaml, flows, pipelines, git and DVC, ready for `evertune train`."""
    with error_boundary():
        from evertune.data.profiling import format_profile
        from evertune.scaffold import init_project

        found = init_project(
            folder,
            data=data,
            target=target,
            positive=positive,
            identifier=identifier,
            time=time,
            group=group,
            address_variable=address_variable,
        )
        if found is not None:
            typer.echo("\n".join(format_profile(found)))
        typer.echo(f"{folder} is a project now. Next: cd {folder} && evertune train")


@app.command()
def use(
    file: Annotated[str, typer.Argument(help="A CSV, Parquet or .sql file, or `example`.")],
    *,
    target: Annotated[str, typer.Option(metavar="COLUMN", help="What to predict.")],
    positive: Positive = None,
    identifier: Identifier = None,
    time: Time = None,
    group: Group = None,
    address_variable: AddressVariable = None,
) -> None:
    """Look at a table, say what was found, and write it to params.yaml."""
    with error_boundary():
        from evertune.config.loader import find_root
        from evertune.data.profiling import format_profile
        from evertune.scaffold import configure_project

        found = configure_project(
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
        project = load_project()
        from evertune.orchestration.progress import print_step
        from evertune.stages.snapshot import take_snapshot
        from evertune.terminal import snapshot_line

        with project.lock("evertune snapshot"):
            print_step("snapshot", snapshot_line(take_snapshot(project.root)))


@app.command()
def train() -> None:
    """Bring everything up to date and register the model; a run that was stopped goes on."""
    with error_boundary():
        verdict = load_project().train(say=typer.echo)
    raise typer.Exit(0 if verdict.promoted else EXIT_CHAMPION_STAYS)


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="On this machine.")] = 5000,
) -> None:
    """Show runs, versions and reports in the MLflow UI until Ctrl-C."""
    with error_boundary():
        project = load_project()
        from evertune.cli.up import serve_mlflow_ui
        from evertune.messages import strip_credentials
        from evertune.registry.mlflow_store import mlflow_ui_command

        elsewhere = os.environ.get("MLFLOW_TRACKING_URI")
        if elsewhere:
            typer.echo(f"MLFLOW_TRACKING_URI is set: {strip_credentials(elsewhere)} has the runs.")
            return
        command = mlflow_ui_command(project.state, port)
        serve_mlflow_ui(command, port, log=project.state / "ui.log", say=typer.echo)


@app.command()
def status() -> None:
    """Say which model is the champion, its scores, and the version of its data."""
    with error_boundary():
        project = load_project()
        from evertune.terminal import status_lines

        typer.echo("\n".join(status_lines(project.status())))


for part in (production, versions):
    app.add_typer(part.app)

if __name__ == "__main__":
    main()
