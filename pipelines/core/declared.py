"""What a user says about a raw table."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipelines.core.schema import Kind

MOMENT = "moment"  # when a row of production happened; the clean table has it beside the source's
RESERVED = ("row_key", "prediction", "existing_system", "run_id", "index", MOMENT)


@dataclass(frozen=True)
class Declared:
    """Roles and kinds of columns as far as the user knows them; a look at the table tells the rest.

    Attributes
    ----------
    target, identifier, time, group, human, existing : str
        Names of columns.
    task, positive : str
        `auto` where a look at the target tells.
    ignore : tuple of str
        Columns that are no features.
    columns : mapping from name to kind
    missing_values : tuple of str
        What means "missing" beside a blank cell.
    decimal : str
        `.` or `,`.
    """

    target: str
    task: str = "auto"
    positive: str | float | bool = "auto"
    identifier: str | None = None
    time: str | None = None
    group: str | None = None
    human: str | None = None
    existing: str | None = None
    ignore: tuple[str, ...] = ()
    columns: Mapping[str, Kind] = field(default_factory=dict)
    missing_values: tuple[str, ...] = ()
    decimal: str = "."

    @property
    def roles(self) -> dict[str, str]:
        """Names of the columns with a role, by the key of params.yaml."""
        named = {
            "target": self.target,
            "identifier": self.identifier,
            "time": self.time,
            "group": self.group,
            "human_column": self.human,
            "existing_column": self.existing,
        }
        return {role: name for role, name in named.items() if name is not None}
