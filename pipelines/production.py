"""The sections of params.yaml about production: scoring and monitoring."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from pipelines.section import ColumnName, Fraction, Function, Section, Variable

Cron = Annotated[str, Field(pattern=r"^\S+( \S+){4}$")]
Port = Annotated[int, Field(ge=1, le=65535)]
TriggerAction = Literal["alert", "refit", "retune", "block"]


class Scoring(Section):
    """What is scored on a schedule, how requests are served, and what is kept of both."""

    source: str | None = None
    labels: str | None = None
    address_variable: Variable | None = None
    output: str = "state/scores"
    cron: Cron | None = None
    batch_rows: PositiveInt = 5000
    host: str = "127.0.0.1"
    port: Port = 8000
    token_variable: Variable | None = None
    most_rows: PositiveInt = 10_000
    most_bytes: PositiveInt = 1_000_000
    gather_milliseconds: NonNegativeFloat = 2.0
    shadow: bool = True
    log_variable: Variable | None = None
    retention_days: PositiveFloat | None = 730


class ThresholdRule(Section):
    """Judges the latest window that can be judged; null: not judged."""

    kind: Literal["threshold"]
    above: float | None = None
    below: float | None = None


class WindowsRule(Section):
    """Judges k of the latest n windows that can be judged."""

    kind: Literal["k_of_n"]
    above: float | None = None
    below: float | None = None
    k: PositiveInt
    n: PositiveInt


class SequentialRule(Section):
    """A sequential test on matured loss with a stated budget of false alarms."""

    kind: Literal["e_process"]
    tolerance: PositiveFloat = 0.005
    false_alarm_days: PositiveFloat = 3650


Rule = Annotated[ThresholdRule | WindowsRule | SequentialRule, Field(discriminator="kind")]


class Trigger(Section):
    """A figure of production, when it counts as crossed, and what is done then."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    signal: Annotated[str, Field(min_length=1)]
    rule: Rule
    action: TriggerAction


TRIGGERS = (
    Trigger(
        name="loss-rises",
        signal="loss",
        rule=SequentialRule(kind="e_process"),
        action="retune",
    ),
    Trigger(
        name="floor", signal="main_metric", rule=ThresholdRule(kind="threshold"), action="retune"
    ),
    Trigger(
        name="inputs-drift",
        signal="input_drift",
        rule=WindowsRule(kind="k_of_n", above=1.0, k=2, n=3),
        action="alert",
    ),
    Trigger(
        name="broken-data",
        signal="contract",
        rule=ThresholdRule(kind="threshold", above=0),
        action="block",
    ),
    Trigger(
        name="stale-feed",
        signal="freshness",
        rule=ThresholdRule(kind="threshold", above=3),
        action="alert",
    ),
)


class Contract(Section):
    """What incoming rows must keep beside the schema; rises are in shares of rows."""

    p_value: Fraction = 1e-4
    missing_rise: Fraction = 0.01
    unseen_rise: Fraction = 0.01
    range_rise: Fraction = 0.01
    duplicate_rise: Fraction = 0.01
    volume_low: NonNegativeFloat = 0.2
    volume_high: PositiveFloat = 5.0
    stale_days: PositiveFloat = 3.0


class Policy(Section):
    """When a trigger leads to a retune, and when it does not."""

    cooldown_days: NonNegativeFloat = 7
    longest_cooldown_days: PositiveFloat = 56
    longest_wait_days: NonNegativeFloat = 28
    retunes_a_month: PositiveInt = 4
    failed_gates: PositiveInt = 2
    follow_up_days: tuple[PositiveFloat, ...] = (7, 21, 45)
    check_days: PositiveFloat | None = None
    least_rows: PositiveInt = 200
    shadow_days: NonNegativeFloat = 14
    horizon_days: PositiveFloat = 90
    gain_per_row: NonNegativeFloat | None = None
    cost: NonNegativeFloat = 0


class Retune(Section):
    """How a retune differs from a first search."""

    budget_seconds: PositiveFloat | None = 60
    budget_trials: PositiveInt | None = None
    judge_fraction: Fraction = 0.5
    judge_days: PositiveFloat | None = None
    windows: Annotated[
        tuple[Literal["since_change", "latest", "all", "decayed"], ...], Field(min_length=1)
    ] = ("since_change", "latest", "all", "decayed")
    latest_days: PositiveFloat = 90
    half_life_days: PositiveFloat = 60
    warm_starts: PositiveInt = 5


class BusinessFigure(Section):
    """A figure of the user's own, `module:function`, called with the rows of a window."""

    function: Function


class Monitoring(Section):
    """What is watched in production, what counts as crossed, and what is done then."""

    cron: Cron | None = "0 6 * * *"
    clock: Literal["real", "newest"] = "real"
    window_days: PositiveFloat = 1
    window_rows: PositiveInt | None = None
    least_rows: PositiveInt = 30
    mature_coverage: Fraction = 0.9
    horizon_days: PositiveFloat = 365
    labels_come: bool = True
    slices: tuple[ColumnName, ...] = ()
    business: dict[str, BusinessFigure] = Field(default_factory=dict)
    triggers: tuple[Trigger, ...] = TRIGGERS
    contract: Contract = Contract()
    policy: Policy = Policy()
    retune: Retune = Retune()
    notify: tuple[Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")], ...] = ()
