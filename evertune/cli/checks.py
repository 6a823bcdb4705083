"""Commands that look before a run: `plan` and `doctor`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from evertune.cli.errors import error_boundary, load_project
from evertune.errors import UnsafeError

JSON_VERSION = 1

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@app.command()
def plan(*, as_json: AsJson = False) -> None:
    """Show what `evertune train` would do now and why; nothing is changed."""
    with error_boundary():
        project = load_project()
        from evertune.orchestration.train_plan import plan_training
        from evertune.terminal import plan_lines

        found = plan_training(project.root)
        if as_json:
            typer.echo(json.dumps({"schema_version": JSON_VERSION, **asdict(found)}, indent=2))
        else:
            typer.echo("\n".join(plan_lines(found)))


@app.command()
def doctor(*, as_json: AsJson = False) -> None:
    """Show what is wrong with this machine and this project, and what mends it.

    The exit code is 78 if something has to be mended before work; warnings do not change it.
    """
    with error_boundary():
        from evertune.doctor import examine, nearest_project
        from evertune.terminal import finding_lines

        found = examine(nearest_project(Path.cwd()))
        if as_json:
            content = {"schema_version": JSON_VERSION, "findings": [asdict(each) for each in found]}
            typer.echo(json.dumps(content, indent=2))
        else:
            typer.echo("\n".join(finding_lines(found)))
    raise typer.Exit(UnsafeError.exit_code if any(f.level == "error" for f in found) else 0)
