"""The command `evertune`. Each subcommand calls a flow or a step; a failure is one message.

Exit codes: 0 success, 2 invalid input, 3 the champion stays (`reproduce`: the model differs), 4
a step failed and can be started again, 75 something is busy or does not answer, 78 unsafe or
unsuitable environment, 130 stopped by Ctrl-C, 143 stopped by SIGTERM.
"""

import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from evertune.cli import checks, production, searches, versions
from evertune.cli.errors import EXIT_CHAMPION_STAYS, error_boundary, load_project

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Keep a tabular model tuned: search, register, serve, monitor, and search again on drift.",
)

# What a table and its columns are: options of `init` and of `use`.
TABLE_OPTIONS = {
    "task": ("TASK", "binary, multiclass or regression; by default what the target looks like."),
    "positive": ("CLASS", "The class of interest; by default the rarer one."),
    "labels": (
        "HOW",
        "exact: labels are classes as they are written, also if they differ in case alone.",
    ),
    "identifier": ("COLUMN", "The column whose values name a row uniquely; null: none."),
    "time": ("COLUMN", "The column that orders the rows in time; null: none."),
    "group": (
        "COLUMN",
        "Rows with the same value are never split between training and hold-out; null: none.",
    ),
    "missing": ("WORD", "A word that means a missing cell; can be repeated."),
    "ignore": ("COLUMN", "A column that no model may see; can be repeated."),
    "kind": (
        "COLUMN=KIND",
        "What a column holds: number, boolean, category, text or date; can be repeated.",
    ),
    "delimiter": ("SIGN", "What separates the cells of a CSV file; tab for a tabulator."),
    "encoding": ("NAME", "The encoding of a CSV file, such as utf-8 or cp1252."),
    "decimal": ("SIGN", "The decimal sign of a CSV file, a point or a comma."),
    "address_variable": (
        "NAME",
        "For a .sql file: the environment variable that holds the database's address.",
    ),
}
REPEATED_OPTIONS = {"missing", "ignore", "kind"}


def with_table_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that takes `**options` an option for each of `TABLE_OPTIONS`."""
    signature = inspect.signature(command)
    *own, _ = signature.parameters.values()
    options = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=[] if name in REPEATED_OPTIONS else None,
            annotation=Annotated[
                list[str] if name in REPEATED_OPTIONS else str | None,
                typer.Option(metavar=metavar, help=text, show_default=False),
            ],
        )
        for name, (metavar, text) in TABLE_OPTIONS.items()
    ]
    command.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
    return command


def main() -> None:
    """Run the command, in UTF-8 whatever the locale is."""
    # Names and arguments beyond ASCII would fail. Python that ignores its variables stays as it is.
    if sys.getfilesystemencoding() == "ascii" and not sys.flags.ignore_environment:
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, sys.orig_argv)
    app()


@app.command()
@with_table_options
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the new project.")],
    *,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="A CSV, Parquet or .sql file; by default a built-in example."
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="With --data: the column to predict.")
    ] = None,
    **options: Any,
) -> None:
    """Create a project: params.yaml, flows, pipelines, git and DVC, ready for `evertune train`."""
    with error_boundary():
        from evertune.data.profiling import format_profile
        from evertune.orchestration.progress import step_progress
        from evertune.scaffold import init_project

        with step_progress("init", stderr=True) as show:
            profile = init_project(folder, data=data, target=target, show=show, **options)
        if profile is not None:
            typer.echo("\n".join(format_profile(profile)))
        typer.echo(f"{folder} is a project now. Next: cd {quote(str(folder))} && evertune train")


@app.command()
@with_table_options
def use(
    file: Annotated[str, typer.Argument(help="A CSV, Parquet or .sql file, or `example`.")],
    *,
    target: Annotated[str, typer.Option(metavar="COLUMN", help="The column to predict.")],
    **options: Any,
) -> None:
    """Inspect a table, print what was found, and write it to params.yaml."""
    with error_boundary():
        from evertune.config.loader import find_root
        from evertune.configure import configure_project
        from evertune.data.profiling import format_profile
        from evertune.orchestration.progress import step_progress

        root = find_root(Path.cwd())
        with step_progress("use", stderr=True) as show:
            profile = configure_project(root, file, target=target, show=show, **options)
        typer.echo("\n".join(format_profile(profile)))


@app.command()
def upgrade() -> None:
    """Bring a project that an earlier release made up to this release."""
    with error_boundary():
        from evertune.config.loader import find_root
        from evertune.upgrade import upgrade_project

        upgrade_project(
            find_root(Path.cwd()), lambda step, text: typer.echo(f"{step.ljust(12)}{text}")
        )


@app.command()
def snapshot() -> None:
    """Store a version of the source table, and copy it to DVC's remote if there is one."""
    with error_boundary():
        project = load_project()
        from evertune.orchestration.progress import print_step
        from evertune.stages.snapshot import take_snapshot
        from evertune.terminal import snapshot_line

        with project.lock("evertune snapshot"):
            print_step("snapshot", snapshot_line(take_snapshot(project.root)))


@app.command()
def train() -> None:
    """Bring every stage up to date and register the model; continues where a run was stopped."""
    with error_boundary():
        verdict = load_project().train(say=typer.echo)
    raise typer.Exit(0 if verdict.promoted else EXIT_CHAMPION_STAYS)


@app.command()
def ui(
    host: Annotated[str, production.HOST_OPTION] = "127.0.0.1",
    port: production.PagePort = 5000,
) -> None:
    """Show runs, versions and reports in the MLflow UI until Ctrl-C."""
    with error_boundary():
        project = load_project()
        from evertune.access import MLFLOW, is_loopback, local_url, who_may_call
        from evertune.cli.up import serve_mlflow_ui
        from evertune.messages import strip_credentials
        from evertune.registry.mlflow_connection import mlflow_login, mlflow_ui_command

        elsewhere = os.environ.get("MLFLOW_TRACKING_URI")
        if elsewhere:
            typer.echo(
                f"MLFLOW_TRACKING_URI is set; the runs are at {strip_credentials(elsewhere)}."
            )
            page = project.registry.experiment_page(elsewhere)
            typer.echo(f"Those of {project.name}: {page}")
            return
        command = mlflow_ui_command(project.state, port, host)
        page = project.registry.experiment_page(local_url(host, port))
        login, log = {}, project.state / "ui.log"
        if not is_loopback(host):
            login = mlflow_login(project.state)
            typer.echo(who_may_call(MLFLOW, host, project.state))
        serve_mlflow_ui(command, port, host=host, login=login, page=page, log=log, say=typer.echo)


@app.command()
def status() -> None:
    """Show the champion, its scores, its data, what is out of date, and the last run."""
    with error_boundary():
        project = load_project()
        from evertune.terminal import status_lines

        typer.echo("\n".join(status_lines(project.status())))


for part in (checks, searches, production, versions):
    app.add_typer(part.app)

if __name__ == "__main__":
    main()
