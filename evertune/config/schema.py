"""The sections of params.yaml: their keys, types, ranges and defaults.

`Params` is the whole file. Every section derives from `Section`: unknown keys are refused,
values are never converted, and sections are frozen. Rules between several values are in
`evertune.config.checks`.
"""

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from evertune.types import ColumnKind, Task

Auto = Literal["auto"]
Fraction = Annotated[float, Field(gt=0, lt=1)]
ColumnName = Annotated[str, Field(min_length=1)]
FunctionReference = Annotated[str, Field(pattern=r"^[\w.]+:\w+$")]
EnvironmentVariable = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")]


class Section(BaseModel):
    """A part of params.yaml; unknown keys are refused and values are never converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


Cron = Annotated[str, Field(pattern=r"^\S+( \S+){4}$")]
Port = Annotated[int, Field(ge=1, le=65535)]
TriggerAction = Literal["alert", "refit", "retune", "block"]


class ScoringSection(Section):
    """What is scored on a schedule, how requests are served, and what is kept of both."""

    source: str | None = None
    labels: str | None = None
    address_variable: EnvironmentVariable | None = None
    output: str = "state/scores"
    cron: Cron | None = None
    batch_rows: PositiveInt = 5000
    host: str = "127.0.0.1"
    port: Port = 8000
    token_variable: EnvironmentVariable | None = None
    most_rows: PositiveInt = 10_000
    most_bytes: PositiveInt = 1_000_000
    gather_milliseconds: NonNegativeFloat = 2.0
    shadow: bool = True
    log_variable: EnvironmentVariable | None = None
    retention_days: PositiveFloat | None = 730


class ThresholdRule(Section):
    """Judges the latest window that can be judged; null: not judged."""

    kind: Literal["threshold"]
    above: float | None = None
    below: float | None = None


class KOfNRule(Section):
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


Rule = Annotated[ThresholdRule | KOfNRule | SequentialRule, Field(discriminator="kind")]


class Trigger(Section):
    """A figure of production, when it counts as crossed, and what is done then."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    signal: Annotated[str, Field(min_length=1)]
    rule: Rule
    action: TriggerAction


DEFAULT_TRIGGERS = (
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
        rule=KOfNRule(kind="k_of_n", above=1.0, k=2, n=3),
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


class ContractSection(Section):
    """What incoming rows must keep beside the schema; rises are in shares of rows."""

    p_value: Fraction = 1e-4
    missing_rise: Fraction = 0.01
    unseen_rise: Fraction = 0.01
    range_rise: Fraction = 0.01
    duplicate_rise: Fraction = 0.01
    volume_low: NonNegativeFloat = 0.2
    volume_high: PositiveFloat = 5.0
    stale_days: PositiveFloat = 3.0


class PolicySection(Section):
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


class RetuneSection(Section):
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


class BusinessMetric(Section):
    """A figure of the user's own, `module:function`, called with the rows of a window."""

    function: FunctionReference


class MonitoringSection(Section):
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
    business: dict[str, BusinessMetric] = Field(default_factory=dict)
    triggers: tuple[Trigger, ...] = DEFAULT_TRIGGERS
    contract: ContractSection = ContractSection()
    policy: PolicySection = PolicySection()
    retune: RetuneSection = RetuneSection()
    notify: tuple[Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")], ...] = ()


Family = Literal[
    "linear",
    "naive_bayes",
    "neighbours",
    "svm",
    "tree",
    "random_forest",
    "extra_trees",
    "hist_boosting",
    "lightgbm",
    "xgboost",
    "catboost",
    "neural_network",
    "embedding_network",
]
NEURAL_FAMILIES = ("embedding_network",)  # needs the extra `neural`
DEFAULT_FAMILIES: tuple[Family, ...] = tuple(
    each for each in get_args(Family) if each not in NEURAL_FAMILIES
)
ParameterChoices = Annotated[tuple[bool | int | float | str | None, ...], Field(min_length=1)]


class DialectSection(Section):
    """How a CSV file is written; None is found out by a look."""

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    encoding: str | None = None
    decimal: Literal[".", ","] | None = None


class DataSection(Section):
    """The source table and what its columns are."""

    source: Annotated[str, Field(min_length=1)]
    target: ColumnName
    identifier: ColumnName | None = None
    time: ColumnName | None = None
    group: ColumnName | None = None
    task: Task | Auto = "auto"
    positive: str | int | float | bool = "auto"
    ignore: tuple[str, ...] = ()
    columns: dict[str, ColumnKind] = Field(default_factory=dict)
    missing_values: tuple[str, ...] = ()
    dialect: DialectSection = DialectSection()
    address_variable: EnvironmentVariable | None = None
    human_column: ColumnName | None = None
    existing_column: ColumnName | None = None
    existing_model: Annotated[str, Field(pattern=r"^models:/[^/@]+[/@][^/@]+$")] | None = None


class SplitSection(Section):
    """How rows are kept back for the hold-out and for validation."""

    holdout_fraction: Fraction = 0.2
    folds: Literal["kfold", "stratified", "group", "time", "leave_one_out", "auto"] = "auto"
    n_folds: Annotated[int, Field(ge=2, le=50)] = 5
    n_repeats: Annotated[int, Field(ge=1, le=20)] = 1
    gap_days: Annotated[float, Field(ge=0)] = 0
    seed: NonNegativeInt = 0


class CustomMetric(Section):
    """A metric of the user's own, `module:function`, called with truth and predictions."""

    function: FunctionReference
    greater_is_better: bool


class MetricSection(Section):
    """What is optimised and what must not get worse than a bound."""

    optimise: str = "auto"
    guards: dict[str, float] = Field(default_factory=dict)
    custom: dict[str, CustomMetric] = Field(default_factory=dict)


class BaselineSection(Section):
    """What a model must beat, beside what the table itself gives."""

    heuristic: str = "auto"
    human_figure: float | None = None
    seed: NonNegativeInt = 0


class SearchSection(Section):
    """How the search looks for configurations and when it ends."""

    budget_seconds: PositiveFloat | None = 60
    budget_trials: PositiveInt | None = None
    searcher: Literal["portfolio", "tpe", "random", "grid"] = "portfolio"
    scheduler: Literal["racing", "asha", "none"] = "racing"
    families: Annotated[tuple[Family, ...], Field(min_length=1)] = DEFAULT_FAMILIES
    space: dict[Family, dict[str, ParameterChoices]] = Field(default_factory=dict)
    pool_megabytes: PositiveInt = 1000
    workers: PositiveInt | Auto = "auto"
    seed: NonNegativeInt = 0


class FitSection(Section):
    """How the final model is made."""

    mode: Literal["auto", "bag", "refit", "single"] = "auto"
    budget_seconds: PositiveFloat | None = 60
    prefer: Literal["best", "simplest"] = "best"
    seed: NonNegativeInt = 0


class EvaluationSection(Section):
    """How figures and their intervals are taken, and what the report is about."""

    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    bootstrap_draws: Annotated[int, Field(ge=100, le=100_000)] = 1000
    importance_rows: PositiveInt = 2000
    importance_repeats: PositiveInt = 3
    nested: bool = False
    slices: tuple[ColumnName, ...] = ()
    sensitive: tuple[ColumnName, ...] = ()
    slice_rows: PositiveInt = 50
    worst_slices: NonNegativeInt = 3
    costs: dict[str, dict[str, float]] | None = None
    purpose: str | None = None
    not_for: tuple[str, ...] = ()
    seed: NonNegativeInt = 0


class GatesSection(Section):
    """What a version must pass to become champion; false or null switches a gate off."""

    baselines: bool = True
    existing: bool = True
    champion: bool = True
    guards: bool = True
    data: bool = True
    slices: NonNegativeFloat | None = 0.05
    calibration: NonNegativeFloat | None = 0.02
    rate_gap: Annotated[float, Field(ge=0, le=1)] | None = None
    milliseconds_a_row: PositiveFloat | None = None
    megabytes: PositiveFloat | None = None


class RegistrySection(Section):
    """Where versions are kept, what they must pass, and how much of a search is shown."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    nested_trials: NonNegativeInt = 50
    false_promotions: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    approval: bool = False
    gates: GatesSection = GatesSection()


class PathsSection(Section):
    """Where everything lies; relative in params.yaml, absolute once loaded."""

    source: Path
    plan: Path
    clean: Path
    table_schema: Annotated[Path, Field(alias="schema")]
    training: Path
    holdout: Path
    folds: Path
    baselines: Path
    trials: Path
    pool: Path
    model: Path
    figures: Path
    plots: Path
    report: Path
    reference: Path
    absorbed: Path
    choosing: Path
    state: Path


class Params(Section):
    """All of params.yaml."""

    paths: PathsSection
    data: DataSection
    split: SplitSection = SplitSection()
    metric: MetricSection = MetricSection()
    baseline: BaselineSection = BaselineSection()
    search: SearchSection = SearchSection()
    fit: FitSection = FitSection()
    evaluation: EvaluationSection = EvaluationSection()
    registry: RegistrySection
    scoring: ScoringSection = ScoringSection()
    monitoring: MonitoringSection = MonitoringSection()


CONTRACT_SIGNAL: Literal["contract"] = "contract"
CONTRACT_SIGNALS = (
    "schema", "missing", "unseen", "range", "type", "duplicates", "volume", "freshness",
)  # fmt: skip
DRIFT_SIGNALS = ("input_drift", "prediction_drift", "joint_drift", "column_drift")
LOSS_SIGNALS = ("loss", "main_metric")
ESTIMATED_PREFIX = "estimated_"
BUSINESS_PREFIX = "business."
