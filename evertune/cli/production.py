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
    typer.Argument(metavar="[DIR]...", help="Projects; without: the one of this folder."),
]
Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Of the scoring service.")]
PagePort = Annotated[int, typer.Option(min=1, max=65535, help="On this machine.")]
Now = Annotated[
    str | None, typer.Option(metavar="MOMENT", help="What counts as now: ISO, in UTC, or `newest`.")
]
Policy = Literal["loop", "never", "scheduled", "oracle", "all"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
log = typer.Typer(no_args_is_help=True, help="The prediction log.")
app.add_typer(log, name="log")


@app.command()
def serve(folders: Folders = None, *, port: Port = None) -> None:
    """Answer POST /predict and POST /label with the champion, until Ctrl-C.

    With several projects, each answers under its name: POST /churn/predict.
    """
    with error_boundary():
        projects = _projects(folders)
        from evertune.serving.server import serve_projects

        serve_projects(projects, port or projects[0].params.scoring.port)


@app.command()
def score() -> None:
    """Score the table of scoring.source with the champion, and log every prediction."""
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
    """Load labels that came late: `prediction_id` or the identifier, and the target."""
    with error_boundary():
        project = load_project()
        from evertune.config.schema import DataSection
        from evertune.data.readers import inspect_source
        from evertune.monitoring.load_labels import load_label_table
        from evertune.terminal import labels_line

        data = DataSection(
            source=str(Path(file).absolute()),
            target=project.params.data.target,
            address_variable=project.params.scoring.address_variable,
        )
        table = inspect_source(data, project.root).table
        typer.echo(labels_line(load_label_table(project.root, table, now=datetime.now(UTC))))


@log.command()
def export(
    path: Annotated[Path, typer.Argument(help="A Parquet file to write.")],
    start: Annotated[datetime | None, typer.Option("--from", help="In UTC.")] = None,
    end: Annotated[datetime | None, typer.Option("--to", help="In UTC; not included.")] = None,
) -> None:
    """Write the predictions, their inputs and labels to a Parquet file."""
    with error_boundary():
        root = load_project().root
        from evertune.monitoring.prediction_log import export_prediction_log

        n_rows = export_prediction_log(
            root,
            path.absolute(),
            start=start and start.replace(tzinfo=UTC),
            end=end and end.replace(tzinfo=UTC),
        )
        typer.echo(f"{n_rows} predictions are in {path}")


@app.command()
def monitor(
    *,
    act: Annotated[bool, typer.Option(help="Do what is decided, in this process.")] = False,
    backtest: Annotated[
        bool, typer.Option(help="Show what each trigger would have done, and decide nothing.")
    ] = False,
    a_year: Annotated[
        float, typer.Option(min=0.001, help="With --backtest: the wanted rate of false alarms.")
    ] = 0.1,
    now: Now = None,
) -> None:
    """Look at production by window, and decide: nothing, wait, block, refit, retune or rollback."""
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
    decision: Annotated[str, typer.Argument(help="The id of a decision that `monitor` made.")],
    *,
    again: Annotated[bool, typer.Option(help="Take up a decision whose run failed.")] = False,
) -> None:
    """Carry out a decision to refit, to retune or to roll back."""
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
    data: Annotated[Path | None, typer.Option(help="A table in the order of time.")] = None,
    time: Annotated[str | None, typer.Option(help="Its column of time.")] = None,
    target: Annotated[str | None, typer.Option(help="What to predict.")] = None,
    windows: Annotated[int | None, typer.Option(min=2, help="Stretches of time.")] = None,
    label_delay: Annotated[float, typer.Option(min=0.0, help="Days until a label comes.")] = 0.0,
    policy: Annotated[Policy, typer.Option(help="When it retrains; all: compare them.")] = "all",
) -> None:
    """Play a table through the whole loop, faster than time, in a project of its own."""
    with error_boundary():
        root = load_project().root
        from evertune.simulation.replay import ReplayRequest
        from evertune.simulation.replay import replay as play

        file = None if data is None else data.absolute()
        play(root, ReplayRequest(file, time, target, windows, label_delay, policy), say=typer.echo)


@app.command()
def up(
    folders: Folders = None,
    *,
    simulate: Annotated[
        bool, typer.Option(help="Play the simulated customers of production, labels included.")
    ] = False,
    speed: Annotated[float, typer.Option(min=0.1, help="Simulated days a minute.")] = 15.0,
    port: Port = None,
    prefect_port: PagePort = 4200,
    mlflow_port: PagePort = 5000,
) -> None:
    """Keep projects running on this machine: schedules, triggers, pages, scoring; until Ctrl-C."""
    with error_boundary():
        projects = _projects(folders)
        from evertune.cli.up import LocalStack

        LocalStack(
            projects,
            prefect_port=prefect_port,
            mlflow_port=mlflow_port,
            scoring_port=port or projects[0].params.scoring.port,
            days_a_minute=speed if simulate else None,
            say=typer.echo,
        ).run()


@app.command()
def deploy(
    *,
    work_pool: Annotated[
        str, typer.Option(metavar="NAME", help="The pool whose workers run what is due.")
    ],
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The project's folder on the workers' machine."),
    ] = None,
) -> None:
    """Deploy the flows to the Prefect server of PREFECT_API_URL, for workers to run.

    Names and times are those of params.yaml. Deploying again changes nothing twice.
    """
    with error_boundary():
        project = load_project()
        from evertune.errors import InputError
        from evertune.orchestration.server import prefect_server

        if not os.environ.get("PREFECT_API_URL"):
            raise InputError(
                "expected PREFECT_API_URL to name the server that the workers ask; start one with"
                " `prefect server start` and set the variable to its address, such as"
                " http://127.0.0.1:4200/api"
            )
        with prefect_server(project.state) as ready:
            from evertune.orchestration.deployments import deploy as deploy_flows

            ready()
            for _, each in deploy_flows(project.root, work_pool=work_pool, folder=folder):
                typer.echo(f"{each.flow_name}/{each.name}")
        typer.echo(f"A worker runs them: prefect worker start --pool {work_pool}")


def _projects(folders: list[Path] | None) -> list[Project]:
    projects = [Project(folder) for folder in folders or []]
    if not projects:
        return [load_project()]
    set_defaults(projects[0].state)
    return projects


def _exit_by_outcome(outcome: "DecisionOutcome | None") -> None:
    if outcome is not None and outcome.kind in ("refused", "outdated"):
        raise typer.Exit(EXIT_CHAMPION_STAYS)
