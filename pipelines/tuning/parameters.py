"""One parameter of a space: a number in a range, or one of a few values; free of any searcher."""

from dataclasses import dataclass

from pipelines.core.trials import Value


@dataclass(frozen=True)
class When:
    """The condition under which a parameter is looked at: another one has one of these values."""

    name: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Float:
    """A number between two bounds, both included; `log` where ratios matter more than steps."""

    low: float
    high: float
    log: bool = False
    when: When | None = None


@dataclass(frozen=True)
class Integer:
    """A whole number between two bounds, both included."""

    low: int
    high: int
    log: bool = False
    when: When | None = None


@dataclass(frozen=True)
class Choice:
    """One of a few values."""

    values: tuple[Value, ...]
    when: When | None = None


Parameter = Float | Integer | Choice
Parameters = dict[str, Parameter]
Space = dict[str, Parameters]
