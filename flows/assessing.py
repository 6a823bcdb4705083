"""The command that judges a registered version by any labelled table."""

from pathlib import Path
from typing import Annotated

import typer

from flows.telling import project, told

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def evaluate(
    *,
    model: Annotated[str, typer.Option(metavar="VERSION", help="A version's number or alias.")],
    data: Annotated[str, typer.Option(metavar="FILE", help="A CSV, Parquet or .sql file.")],
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where the pages go.")] = None,
    log: Annotated[bool, typer.Option("--log", help="Show it in MLflow, too.")] = False,
) -> None:
    """Judge a version by any labelled table: figures, intervals, slices and a page."""
    with told():
        root, _ = project()
        from pipelines.assess import assess

        found = assess(root, model, source=_seen(data), out=out and out.absolute(), logged=log)
        typer.echo("\n".join(found.lines))


def _seen(data: str) -> str:
    return str(Path(data).absolute())
