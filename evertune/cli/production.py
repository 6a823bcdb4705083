"""Commands for production: serve, score, label, log, monitor, retune, replay, up and deploy."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from evertune.cli.errors import EXIT_CHAMPION_STAYS, error_boundary, load_project
from evertune.orchestration.environment import set_defaults
from evertune.project import Project

if TYPE_CHECKING:
    from evertune.decisions import DecisionOutcome


Folders = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[DIR]...", help="Folders of projects; by default the project of this folder."
    ),
]
Port = Annotated[
    int | None, typer.Option(min=1, max=65535, help="The port of the scoring service.")
]
HOST_OPTION = typer.Option(
    metavar="ADDRESS",
    help="What to listen on, such as 0.0.0.0. Beyond this machine, callers must show a secret.",
)
Host = Annotated[str | None, HOST_OPTION]
PagePort = Annotated[int, typer.Option(min=1, max=65535, help="A port of this machine.")]
Now = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="The time that counts as now: ISO format in UTC, or `newest`."
    ),
]
Policy = Literal["loop", "never", "scheduled", "oracle", "all"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
log = typer.Typer(no_args_is_help=True, help="Work with the prediction log.")
app.add_typer(log, name="log")


@app.command()
def serve(folders: Folders = None, *, host: Host = None, port: Port = None) -> None:
    """Serve the champion at POST /predict, and take labels at POST /label, until Ctrl-C.

    With several projects, each answers under its name: POST /churn/predict.
    """
    with error_boundary():
        projects = _projects(folders)
        from evertune.serving.server import serve_projects

        serve_projects(projects, port, host=host)


@app.command()
def score() -> None:
    """Score the table `scoring.source` with the champion, and log every prediction."""
    with error_boundary():
        project = load_project()
        from evertune.orchestration.server import prefect_server

        with prefect_server(project.state) as ready:
            from evertune.orchestration.tasks import run_flow

            ready()
            run_flow(project.root, "score")


@app.command()
def label(
    file: Annotated[str, typer.Argument(help="A CSV, Parquet or .sql file.")],
) -> None:
    """Add labels to logged predictions.

    The file has `prediction_id` or the identifier, and the target.
    """
    with error_boundary():
        project = load_project()
        from evertune.config.schema import DataSection
        from evertune.data.readers import inspect_source
        from evertune.monitoring.load_labels import load_label_table
        from evertune.terminal import labels_line

        data = DataSection(
            source=str(Path(file).resolve()),
            target=project.params.data.target,
            address_variable=project.params.scoring.address_variable,
        )
        table = inspect_source(data, project.root).table
        typer.echo(labels_line(load_label_table(project.root, table, now=datetime.now(UTC))))


@log.command()
def export(
    path: Annotated[Path, typer.Argument(help="The Parquet file to write.")],
    start: Annotated[
        datetime | None, typer.Option("--from", help="The first time, in UTC.")
    ] = None,
    end: Annotated[
        datetime | None, typer.Option("--to", help="The time to stop before, in UTC.")
    ] = None,
) -> None:
    """Write predictions with their inputs and labels to a Parquet file."""
    with error_boundary():
        root = load_project().root
        from evertune.monitoring.prediction_log import export_prediction_log

        n_rows = export_prediction_log(
            root,
            path.absolute(),
            start=start and start.replace(tzinfo=UTC),
            end=end and end.replace(tzinfo=UTC),
        )
        typer.echo(f"{n_rows} predictions written to {path}")


@app.command()
def monitor(
    *,
    act: Annotated[bool, typer.Option(help="Carry the decision out in this process.")] = False,
    backtest: Annotated[
        bool, typer.Option(help="Only show when each trigger would have fired in the past.")
    ] = False,
    a_year: Annotated[
        float,
        typer.Option(min=0.001, help="With --backtest: the false alarms a year that you accept."),
    ] = 0.1,
    now: Now = None,
) -> None:
    """Check production and decide: nothing, wait, block, refit, retune or rollback."""
    with error_boundary():
        project = load_project()
        from evertune.orchestration.carry_out_decision import resolve_now

        moment = resolve_now(project.root, now)
        if backtest:
            from evertune.monitoring.monitor import backtest as try_triggers
            from evertune.terminal import backtest_lines

            found = try_triggers(project.root, now=moment, false_alarms_a_year=a_year)
            typer.echo("\n".join(backtest_lines(found)))
        elif not act and os.environ.get("PREFECT_API_URL"):
            from evertune.orchestration.server import prefect_server

            with prefect_server(project.state) as ready:
                from evertune.orchestration.tasks import run_flow

                ready()
                run_flow(project.root, "monitor", now=moment.isoformat())
        else:
            _, outcome = project.monitor(act=act, now=moment)
            _exit_by_outcome(outcome)


@app.command()
def retune(
    decision: Annotated[str, typer.Argument(help="The id of a decision of `evertune monitor`.")],
    *,
    again: Annotated[bool, typer.Option(help="Repeat a decision whose run failed.")] = False,
) -> None:
    """Carry out a decision to refit, retune or roll back."""
    with error_boundary():
        project = load_project()
        from evertune.orchestration.server import prefect_server

        with prefect_server(project.state) as ready:
            from evertune.orchestration.tasks import run_flow

            typer.echo(f"Prefect shows the run at {ready()}")
            outcome = run_flow(
                project.root, "retune", about=decision, decision_id=decision, resume=again
            )
        _exit_by_outcome(outcome)


@app.command()
def replay(
    *,
    data: Annotated[Path | None, typer.Option(help="A table with a time column.")] = None,
    time: Annotated[str | None, typer.Option(help="The time column of the table.")] = None,
    target: Annotated[str | None, typer.Option(help="The column to predict.")] = None,
    windows: Annotated[
        int | None, typer.Option(min=2, help="The number of time windows to replay.")
    ] = None,
    label_delay: Annotated[
        float, typer.Option(min=0.0, help="Days until the label of a row is known.")
    ] = 0.0,
    policy: Annotated[
        Policy, typer.Option(help="When the model is retrained; `all` compares the policies.")
    ] = "all",
) -> None:
    """Replay a table through the whole loop, faster than real time, in a project of its own."""
    with error_boundary():
        root = load_project().root
        from evertune.simulation.replay import replay as play

        file = None if data is None else data.absolute()
        play(
            root,
            file=file,
            time=time,
            target=target,
            n_windows=windows,
            label_delay_days=label_delay,
            policy=policy,
            say=typer.echo,
        )


@app.command()
def up(
    folders: Folders = None,
    *,
    simulate: Annotated[
        bool, typer.Option(help="Simulate customers of the example: requests and labels.")
    ] = False,
    speed: Annotated[float, typer.Option(min=0.1, help="With --simulate: days per minute.")] = 15.0,
    host: Host = None,
    port: Port = None,
    prefect_port: PagePort = 4200,
    mlflow_port: PagePort = 5000,
) -> None:
    """Run projects on this machine until Ctrl-C: schedules, triggers, web pages and scoring."""
    with error_boundary():
        projects = _projects(folders)
        from evertune.cli.up import LocalStack

        LocalStack(
            projects,
            prefect_port=prefect_port,
            mlflow_port=mlflow_port,
            scoring_port=port or projects[0].params.scoring.port,
            host=host,
            days_a_minute=speed if simulate else None,
            say=typer.echo,
        ).run()


@app.command()
def deploy(
    *,
    work_pool: Annotated[
        str, typer.Option(metavar="NAME", help="The work pool whose workers run the flows.")
    ],
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The project's folder on the workers' machine, if it differs."
        ),
    ] = None,
) -> None:
    """Deploy the flows to the Prefect server of PREFECT_API_URL, for workers to run.

    Names and schedules come from params.yaml. Deploying again updates the deployments.
    """
    with error_boundary():
        project = load_project()
        from evertune.errors import InputError
        from evertune.orchestration.server import prefect_server

        if not os.environ.get("PREFECT_API_URL"):
            raise InputError(
                "PREFECT_API_URL is not set; it must be the address of the Prefect server that the"
                " workers use. Start one with `prefect server start` and set the variable, for"
                " example to http://127.0.0.1:4200/api."
            )
        with prefect_server(project.state) as ready:
            from evertune.orchestration.deployments import deploy as deploy_flows

            ready()
            for _, each in deploy_flows(project.root, work_pool=work_pool, folder=folder):
                typer.echo(f"{each.flow_name}/{each.name}")
        typer.echo(f"Start a worker to run them: prefect worker start --pool {work_pool}")


def _projects(folders: list[Path] | None) -> list[Project]:
    projects = [Project(folder) for folder in folders or []]
    if not projects:
        return [load_project()]
    set_defaults(projects[0].state)
    return projects


def _exit_by_outcome(outcome: "DecisionOutcome | None") -> None:
    if outcome is not None and outcome.kind in ("refused", "outdated"):
        raise typer.Exit(EXIT_CHAMPION_STAYS)
