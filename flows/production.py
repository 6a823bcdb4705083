"""The commands of production: serve, score, label, log, monitor, retune, replay and up."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.telling import CHAMPION_STAYS, project, told

if TYPE_CHECKING:
    from pandas import DataFrame

    from pipelines.core.findings import Outcome
    from pipelines.sections import Params

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
    with told():
        root, params = project()
        from flows.serve import serve_project

        serve_project(root, port or params.scoring.port)


@app.command()
def score() -> None:
    """Score the table of scoring.source with the champion, and log every prediction."""
    with told():
        root, params = project()
        from flows.server import prefect_server

        with prefect_server(params.paths.state) as ready:
            from flows.score import score_project

            ready()
            score_project(root)


@app.command()
def label(
    file: Annotated[str, typer.Argument(help="A CSV, Parquet or .sql file.")],
) -> None:
    """Load labels that came late: `prediction_id` or the identifier, and the target."""
    with told():
        root, params = project()
        from flows.lines import labels_line
        from pipelines.label import label_table

        table = _table(file, root, params)
        typer.echo(labels_line(label_table(root, table, now=datetime.now(UTC))))


@log.command()
def export(
    path: Annotated[Path, typer.Argument(help="A Parquet file to write.")],
    start: Annotated[datetime | None, typer.Option("--from", help="In UTC.")] = None,
    end: Annotated[datetime | None, typer.Option("--to", help="In UTC; not included.")] = None,
) -> None:
    """Write the predictions, their inputs and labels to a Parquet file."""
    with told():
        root, _ = project()
        from pipelines.export import export as written

        n_rows = written(root, path.absolute(), start=_utc(start), end=_utc(end))
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
    with told():
        root, _ = project()
        from flows.acting import moment_of

        moment = moment_of(root, now)
        if backtest:
            _backtested(root, moment, a_year=a_year)
        elif act:
            from flows.acting import look_and_act
            from flows.progress import say

            _, outcome = look_and_act(root, now=moment, say=say)
            _end(outcome)
        else:
            _looked(root, moment)


@app.command()
def retune(
    decision: Annotated[str, typer.Argument(help="The id of a decision that `monitor` made.")],
    *,
    again: Annotated[bool, typer.Option(help="Take up a decision whose run failed.")] = False,
) -> None:
    """Follow a decision to refit, to retune or to roll back."""
    with told():
        root, params = project()
        from flows.server import prefect_server

        with prefect_server(params.paths.state) as ready:
            from flows.retune import follow_decision

            typer.echo(f"Prefect shows the run at {ready()}")
            outcome = follow_decision(root, decision, resume=again)
        _end(outcome)


@app.command()
def replay(  # noqa: PLR0913
    *,
    data: Annotated[Path | None, typer.Option(help="A table in the order of time.")] = None,
    time: Annotated[str | None, typer.Option(help="Its column of time.")] = None,
    target: Annotated[str | None, typer.Option(help="What to predict.")] = None,
    windows: Annotated[int | None, typer.Option(min=2, help="Stretches of time.")] = None,
    label_delay: Annotated[float, typer.Option(min=0.0, help="Days until a label comes.")] = 0.0,
    policy: Annotated[Policy, typer.Option(help="When it retrains; all: compare them.")] = "all",
) -> None:
    """Play a table through the whole loop, faster than time, in a project of its own."""
    with told():
        root, _ = project()
        from flows.replay import Script
        from flows.replay import replay as play

        file = None if data is None else data.absolute()
        play(root, Script(file, time, target, windows, label_delay, policy), say=typer.echo)


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
    with told():
        root, params = project()
        from flows.up import Start
        from flows.up import up as run

        start = Start(
            prefect_port=prefect_port,
            mlflow_port=mlflow_port,
            scoring_port=port or params.scoring.port,
            days_a_minute=speed if simulate else None,
        )
        run(root, start, say=typer.echo)


def _end(outcome: "Outcome | None") -> None:
    if outcome is not None and outcome.kind in ("refused", "outdated"):
        raise typer.Exit(CHAMPION_STAYS)


def _looked(root: Path, moment: datetime) -> None:
    if os.environ.get("PREFECT_API_URL"):
        from flows.server import prefect_server

        with prefect_server(root) as ready:
            from flows.monitor import monitor_project

            ready()
            monitor_project(root, now=moment)
        return
    from flows.acting import look
    from flows.progress import say

    look(root, now=moment, say=say)


def _backtested(root: Path, moment: datetime, *, a_year: float) -> None:
    from flows.monitor_lines import backtest_lines
    from pipelines.monitor import backtest

    found = backtest(root, now=moment, false_alarms_a_year=a_year)
    typer.echo("\n".join(backtest_lines(found)))


def _table(file: str, root: Path, params: "Params") -> "DataFrame":
    from pipelines.sections import Data
    from pipelines.stores.sources import look_at_source

    source, variable = str(Path(file).absolute()), params.scoring.address_variable
    data = Data(source=source, target=params.data.target, address_variable=variable)
    return look_at_source(data, root).table


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)
