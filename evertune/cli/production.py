"""Commands for production: serve, score, label, log, monitor, retune, replay and up."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from evertune.cli.errors import EXIT_CHAMPION_STAYS, error_boundary, load_project

if TYPE_CHECKING:
    from pandas import DataFrame

    from evertune.config.schema import Params
    from evertune.decisions import DecisionOutcome


Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Of the scoring service.")]
PagePort = Annotated[int, typer.Option(min=1, max=65535, help="On this machine.")]
Now = Annotated[
    str | None, typer.Option(metavar="MOMENT", help="What counts as now: ISO, in UTC, or `newest`.")
]
Policy = Literal["loop", "never", "scheduled", "oracle", "all"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
log = typer.Typer(no_args_is_help=True, help="The prediction log.")


@app.command()
def serve(port: Port = None) -> None:
    """Answer POST /predict and POST /label with the champion, until Ctrl-C."""
    with error_boundary():
        root, params = load_project()
        from evertune.project import Project
        from evertune.serving.server import serve_projects

        serve_projects([Project(root)], port or params.scoring.port)


@app.command()
def score() -> None:
    """Score the table of scoring.source with the champion, and log every prediction."""
    with error_boundary():
        root, params = load_project()
        from evertune.orchestration.server import prefect_server

        with prefect_server(params.paths.state) as ready:
            from evertune.orchestration.score import score_project

            ready()
            score_project(root)


@app.command()
def label(
    file: Annotated[str, typer.Argument(help="A CSV, Parquet or .sql file.")],
) -> None:
    """Load labels that came late: `prediction_id` or the identifier, and the target."""
    with error_boundary():
        root, params = load_project()
        from evertune.monitoring.labels import load_label_table
        from evertune.terminal import labels_line

        table = _read_table(file, root, params)
        typer.echo(labels_line(load_label_table(root, table, now=datetime.now(UTC))))


@log.command()
def export(
    path: Annotated[Path, typer.Argument(help="A Parquet file to write.")],
    start: Annotated[datetime | None, typer.Option("--from", help="In UTC.")] = None,
    end: Annotated[datetime | None, typer.Option("--to", help="In UTC; not included.")] = None,
) -> None:
    """Write the predictions, their inputs and labels to a Parquet file."""
    with error_boundary():
        root, _ = load_project()
        from evertune.monitoring.prediction_log import export_prediction_log as written

        n_rows = written(root, path.absolute(), start=_as_utc(start), end=_as_utc(end))
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
        root, _ = load_project()
        from evertune.orchestration.follow import resolve_now

        moment = resolve_now(root, now)
        if backtest:
            _print_backtest(root, moment, a_year=a_year)
        elif act:
            from evertune.orchestration.follow import monitor_and_act
            from evertune.orchestration.progress import print_step

            _, outcome = monitor_and_act(root, now=moment, say=print_step)
            _exit_by_outcome(outcome)
        else:
            _run_monitor(root, moment)


@app.command()
def retune(
    decision: Annotated[str, typer.Argument(help="The id of a decision that `monitor` made.")],
    *,
    again: Annotated[bool, typer.Option(help="Take up a decision whose run failed.")] = False,
) -> None:
    """Follow a decision to refit, to retune or to roll back."""
    with error_boundary():
        root, params = load_project()
        from evertune.orchestration.server import prefect_server

        with prefect_server(params.paths.state) as ready:
            from evertune.orchestration.retune import follow_decision

            typer.echo(f"Prefect shows the run at {ready()}")
            outcome = follow_decision(root, decision, resume=again)
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
        root, _ = load_project()
        from evertune.simulation.replay import ReplayRequest
        from evertune.simulation.replay import replay as play

        file = None if data is None else data.absolute()
        play(root, ReplayRequest(file, time, target, windows, label_delay, policy), say=typer.echo)


@app.command()
def up(
    *,
    simulate: Annotated[
        bool, typer.Option(help="Play the simulated customers of production, labels included.")
    ] = False,
    speed: Annotated[float, typer.Option(min=0.1, help="Simulated days a minute.")] = 15.0,
    port: Port = None,
    prefect_port: PagePort = 4200,
    mlflow_port: PagePort = 5000,
) -> None:
    """Start everything on this machine: schedules, automation, pages, scoring; until Ctrl-C."""
    with error_boundary():
        root, params = load_project()
        from evertune.cli.up import UpOptions
        from evertune.cli.up import up as run

        start = UpOptions(
            prefect_port=prefect_port,
            mlflow_port=mlflow_port,
            scoring_port=port or params.scoring.port,
            days_a_minute=speed if simulate else None,
        )
        run(root, start, say=typer.echo)


def _exit_by_outcome(outcome: "DecisionOutcome | None") -> None:
    if outcome is not None and outcome.kind in ("refused", "outdated"):
        raise typer.Exit(EXIT_CHAMPION_STAYS)


def _run_monitor(root: Path, moment: datetime) -> None:
    if os.environ.get("PREFECT_API_URL"):
        from evertune.orchestration.server import prefect_server

        with prefect_server(root) as ready:
            from evertune.orchestration.monitor import monitor_project

            ready()
            monitor_project(root, now=moment)
        return
    from evertune.orchestration.follow import run_monitoring
    from evertune.orchestration.progress import print_step

    run_monitoring(root, now=moment, say=print_step)


def _print_backtest(root: Path, moment: datetime, *, a_year: float) -> None:
    from evertune.monitoring.monitor import backtest
    from evertune.terminal import backtest_lines

    found = backtest(root, now=moment, false_alarms_a_year=a_year)
    typer.echo("\n".join(backtest_lines(found)))


def _read_table(file: str, root: Path, params: "Params") -> "DataFrame":
    from evertune.config.schema import DataSection
    from evertune.data.readers import inspect_source

    source, variable = str(Path(file).absolute()), params.scoring.address_variable
    data = DataSection(source=source, target=params.data.target, address_variable=variable)
    return inspect_source(data, root).table


def _as_utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)
