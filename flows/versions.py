"""The commands of versions: history, promote, rollback and approve."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from flows.telling import project, told

if TYPE_CHECKING:
    from pipelines.core.judging.records import Record
    from pipelines.sections import Params

Number = Annotated[str, typer.Argument(metavar="VERSION", help="The number of a version.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why, for those who read the record.")]
By = Annotated[
    str | None, typer.Option(metavar="NAME", help="Who decides, if not the name of the login.")
]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def history(
    *,
    decisions: Annotated[
        bool, typer.Option("--decisions", help="Every decision, not the champions alone.")
    ] = False,
) -> None:
    """Show which version was champion when, what made it champion, and its key figure."""
    with told():
        root, _ = project()
        from flows.version_lines import decision_lines, history_lines
        from pipelines.history import history as found

        seen = found(root)
        shown = decision_lines(seen) if decisions else history_lines(seen, now=datetime.now(UTC))
        typer.echo("\n".join(shown))


@app.command()
def promote(number: Number, *, reason: Reason, by: By = None) -> None:
    """Make a version champion by hand, whatever the gate said of it."""
    with told():
        root, params = project()
        from pipelines.promote import promote as promoted
        from pipelines.stores.files import project_lock

        with project_lock(params.paths.state, f"evertune promote {number}"):
            _told(promoted(root, number, reason=reason, by=by, now=datetime.now(UTC)), params)


@app.command()
def rollback(
    *,
    to: Annotated[
        str | None, typer.Option(metavar="VERSION", help="A former champion, if not the last.")
    ] = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT")] = None,
    by: By = None,
) -> None:
    """Make the champion before the champion again; it has to predict before and after."""
    from pipelines.proving import proving_beside

    with told(), proving_beside() as prove:
        root, params = project()
        from pipelines.rollback import roll_back
        from pipelines.stores.files import project_lock

        with project_lock(params.paths.state, "evertune rollback"):
            now = datetime.now(UTC)
            _told(roll_back(root, to=to, reason=reason, by=by, now=now, prove=prove), params)


@app.command()
def approve(
    number: Number,
    *,
    reason: Reason,
    reject: Annotated[
        bool, typer.Option("--reject", help="It is not to be champion; it stays challenger.")
    ] = False,
    by: By = None,
) -> None:
    """Approve a version that passed the gate and waits for a person, or reject it."""
    with told():
        root, params = project()
        from pipelines.approve import approve as approved
        from pipelines.approve import reject as rejected
        from pipelines.stores.files import project_lock

        decide = rejected if reject else approved
        with project_lock(params.paths.state, f"evertune approve {number}"):
            _told(decide(root, number, reason=reason, by=by, now=datetime.now(UTC)), params)


def _told(record: "Record", params: "Params") -> None:
    from flows.version_lines import done_line

    typer.echo(done_line(record, params.registry.name))


if __name__ == "__main__":
    app()
