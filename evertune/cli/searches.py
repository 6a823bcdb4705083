"""Commands about searches: `compare` and `explain-search`."""

from pathlib import Path
from typing import Annotated

import typer

from evertune.cli.errors import error_boundary, load_project

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def compare(
    *,
    searchers: Annotated[
        str, typer.Option(metavar="NAME,NAME", help="The searchers to compare, such as tpe,random.")
    ],
    seeds: Annotated[
        int, typer.Option(metavar="N", help="How often each runs, with the seeds 0 to N - 1.")
    ] = 5,
    trials: Annotated[
        int | None, typer.Option(metavar="T", help="The budget of each run, in trials.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(metavar="S", help="The budget of each run, in seconds.")
    ] = None,
    schedulers: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME",
            help="Run each searcher with each of these; by default search.scheduler.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The folder for the report; by default state/comparison."),
    ] = None,
) -> None:
    """Run searchers with several seeds on this project's table, and report which is better.

    Started again with the same options, it goes on with the runs that are missing.
    """
    with error_boundary():
        project = load_project()
        from evertune.search.comparison import ComparisonSettings, check_settings

        settings = ComparisonSettings(
            searchers=_names(searchers),
            schedulers=_names(schedulers) if schedulers else (project.params.search.scheduler,),
            n_seeds=seeds,
            budget_trials=trials,
            budget_seconds=budget,
        )
        check_settings(settings)
        from evertune.stages.compare import compare_searchers

        with project.lock("evertune compare"):
            found = compare_searchers(
                project.root, settings, output=output and output.absolute(), say=typer.echo
            )
        typer.echo("\n".join(found.lines))


@app.command("explain-search")
def explain_search(
    *,
    trials: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A trials.jsonl; by default the project's own."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The folder for pages; by default state/explanation."),
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option(metavar="FILE.db", help="Also write the trials for optuna-dashboard."),
    ] = None,
) -> None:
    """Show which hyperparameters mattered in the search, in a table and in pictures."""
    with error_boundary():
        project = load_project()
        from evertune.stages.explain_search import explain_trials

        found = explain_trials(
            project.root,
            trials_file=trials and trials.absolute(),
            output=output and output.absolute(),
            study_file=study and study.absolute(),
        )
        typer.echo("\n".join(found.lines))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
