"""The sections of params.yaml: their keys, types, ranges and defaults, each defined once.

`Params` is the whole file. Only `data.source` and `data.target` must be given; all else has a
default. Unknown keys are refused, values are never converted, and sections are frozen. A section
checks its own values against each other (`conflicts`); `evertune.config.checks` has the rules
between sections, and those of `data`, a section that also describes other tables.

A key that was renamed is read under its former name too (`formerly`); giving both is an error.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args
from zoneinfo import available_timezones

from croniter import CroniterError, croniter
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from evertune.config.search_rules import search_conflicts
from evertune.messages import did_you_mean
from evertune.trials import (
    FORMER_FAMILIES,
    current_family,
    current_hyperparameters,
    current_names,
)
from evertune.types import ColumnKind, Task
from evertune.unicode_text import clean_text

Conflict = tuple[str, str]  # a key, with dots, and what is wrong with its value
CONFLICTS = "conflicts"  # the type of pydantic's error that lists those of one section
KEEP_CONFLICTS = "keep conflicts"  # the context in which a section with conflicts is read


def _check_cron(cron: str) -> str:
    try:
        croniter.expand(cron)
    except CroniterError as error:
        raise ValueError(
            f"'{cron}' is not a schedule ({error}); write minute, hour, day, month and weekday,"
            " such as '0 6 * * *'"
        ) from error
    return cron


def _check_timezone(name: str) -> str:
    known = available_timezones()
    if name not in known:
        raise ValueError(
            f"'{name}' is not a time zone; write an IANA name such as Europe/Berlin, or UTC."
            f"{did_you_mean(name, known)}"
        )
    return name


def is_query(source: str | None) -> bool:
    """Return whether a source is a .sql file."""
    return source is not None and Path(source).suffix.lower() == ".sql"


Auto = Literal["auto"]
Cron = Annotated[str, Field(pattern=r"^\S+( \S+){4}$"), AfterValidator(_check_cron)]
TimeZone = Annotated[str, AfterValidator(_check_timezone)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
ColumnName = Annotated[str, Field(min_length=1), AfterValidator(clean_text)]
FunctionReference = Annotated[str, Field(pattern=r"^[\w.]+:\w+$")]  # module:function
EnvironmentVariable = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")]
Port = Annotated[int, Field(ge=1, le=65535)]


class Section(BaseModel):
    """A part of params.yaml; unknown keys are refused and values are never converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def conflicts(self) -> Iterator[Conflict]:
        """Yield each conflict between values of this section."""
        return iter(())

    @model_validator(mode="after")
    def _refuse_conflicts(self, info: ValidationInfo) -> Self:
        conflicts = () if info.context == KEEP_CONFLICTS else tuple(self.conflicts())
        if conflicts:
            text = " ".join(f"{key}: {fault}." for key, fault in conflicts)
            raise PydanticCustomError(CONFLICTS, "{text}", {"text": text, "conflicts": conflicts})
        return self


def formerly(new: str, old: str) -> Any:
    """Return the marker of a key that is read under its former name too."""
    return Field(validation_alias=AliasChoices(new, old))


def former_names(section: type[BaseModel]) -> dict[str, str]:
    """Return the keys of a section that were renamed, by their former name."""
    return {
        str(old): str(new)
        for field in section.model_fields.values()
        if isinstance(field.validation_alias, AliasChoices)
        for new, *olds in [field.validation_alias.choices]
        for old in olds
    }


class DialectSection(Section):
    """How a CSV file is written; null: detected."""

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    encoding: str | None = None
    decimal: Literal[".", ","] | None = None


class DataSection(Section):
    """The source table and what its columns are."""

    source: Annotated[str, Field(min_length=1)]  # `example`, or a CSV, Parquet or .sql file
    target: ColumnName
    identifier: ColumnName | None = None  # names a row uniquely
    time: ColumnName | None = None  # orders the rows; the latest part becomes the hold-out
    group: ColumnName | None = None  # rows of one group are never split apart
    weight: ColumnName | None = None  # how much a row counts in fits
    task: Task | Auto = "auto"
    positive: str | int | float | bool = "auto"
    labels: Literal["exact"] | Auto = "auto"  # exact: such as `hid` and `hId` are two classes
    ignore: tuple[str, ...] = ()
    columns: dict[str, ColumnKind] = Field(default_factory=dict)  # null kinds are inferred
    monotone: dict[str, Literal["up", "down"]] = Field(default_factory=dict)  # of numbers
    missing_values: tuple[str, ...] = ()  # beside an empty cell
    dialect: DialectSection = DialectSection()
    address_variable: EnvironmentVariable | None = None  # of a .sql file: the database address
    human_column: ColumnName | None = None  # predictions by people
    existing_column: ColumnName | None = None  # predictions by the system in use
    existing_model: Annotated[str, Field(pattern=r"^models:/[^/@]+[/@][^/@]+$")] | None = None


class SplitSection(Section):
    """The hold-out and the folds."""

    holdout_fraction: Fraction = 0.2
    folds: Literal["kfold", "stratified", "group", "time", "leave_one_out", "auto"] = "auto"
    n_folds: Annotated[int, Field(ge=2, le=50)] = 5
    n_repeats: Annotated[int, Field(ge=1, le=20)] = 1
    gap_days: Annotated[float, Field(ge=0)] = 0  # time folds: left out before the validation part
    seed: NonNegativeInt = 0


class CustomMetric(Section):
    """A metric of the user's own, called with y_true and predictions."""

    function: FunctionReference
    greater_is_better: bool


class MetricSection(Section):
    """The metric that is optimised, and bounds that other metrics must keep."""

    primary: Annotated[str, formerly("primary", "optimise")] = "auto"
    guards: dict[str, float] = Field(default_factory=dict)  # metric: bound, by its direction
    custom: dict[str, CustomMetric] = Field(default_factory=dict)


class BaselineSection(Section):
    """What a model must beat, beside what the table itself gives."""

    heuristic: str = "auto"  # the best rule on one column, or an expression such as `tenure < 3`
    human_figure: float | None = None  # what people achieve in the primary metric
    seed: NonNegativeInt = 0


Family = Literal[
    "linear",
    "naive_bayes",
    "knn",
    "svm",
    "tree",
    "random_forest",
    "extra_trees",
    "hist_gradient_boosting",
    "lightgbm",
    "xgboost",
    "catboost",
    "mlp",
    "embedding_mlp",
]
EXTRA_FAMILIES = ("embedding_mlp",)  # need the extra `neural`, and are searched only if named
DEFAULT_FAMILIES: tuple[Family, ...] = tuple(
    name for name in get_args(Family) if name not in EXTRA_FAMILIES
)
ParameterChoices = Annotated[tuple[bool | int | float | str | None, ...], Field(min_length=1)]


def _current_family(name: object) -> object:
    return current_family(name) if isinstance(name, str) else name


def _current_space(space: object) -> object:
    """Return overrides of the search space in today's names; what is no such thing as it is."""
    if not isinstance(space, dict):
        return space
    return {
        family: current_hyperparameters(values) if isinstance(values, dict) else values
        for family, values in current_names(space, FORMER_FAMILIES).items()
    }


Searcher = Literal[  # each is a row of evertune.search.samplers.SEARCHERS
    "portfolio",
    "manual",
    "grid",
    "random",
    "qmc",
    "gp",
    "bayesian_optimization",
    "skopt_gp",
    "skopt_forest",
    "tpe",
    "hyperopt_tpe",
    "hyperopt_atpe",
    "cmaes",
    "genetic",
    "nsga2",
    "bohb",
    "mixture",
    "gradient",
    "evolution",
    "reinforce",
]
GivenConfiguration = dict[str, bool | int | float | str | None]  # a family with its parameters


def _current_configurations(given: object) -> object:
    """Return configurations in today's names; what is no such thing as it is."""
    if not isinstance(given, list | tuple):
        return given
    return tuple(
        current_hyperparameters(each) | {"family": current_family(each["family"])}
        if isinstance(each, dict) and isinstance(each.get("family"), str)
        else each
        for each in given
    )


class SearchSection(Section):
    """How the search proposes configurations and when it ends."""

    budget_seconds: PositiveFloat | None = 60
    budget_trials: PositiveInt | None = None
    searcher: Searcher = "portfolio"
    strategy: Literal["joint", "sequence", "alternating"] = "joint"
    configurations: Annotated[
        tuple[GivenConfiguration, ...], BeforeValidator(_current_configurations)
    ] = ()  # of the searcher `manual`
    objectives: tuple[str, ...] = ()  # further metrics, of the searcher `nsga2`
    scheduler: Literal["racing", "asha", "median", "hyperband", "bohb", "pbt", "pb2", "none"] = (
        "racing"
    )
    rung: Literal["folds", "rows", "rounds"] = "folds"  # where a scheduler compares trials
    families: Annotated[
        tuple[Annotated[Family, BeforeValidator(_current_family)], ...], Field(min_length=1)
    ] = DEFAULT_FAMILIES
    space: Annotated[dict[Family, dict[str, ParameterChoices]], BeforeValidator(_current_space)] = (
        Field(default_factory=dict)
    )
    transfer: bool = False  # begin with what was best on similar tables, of all runs in MLflow
    pool_megabytes: PositiveInt = 1000  # of fitted fold models, stored for the ensemble
    workers: PositiveInt | Auto = "auto"
    gpus_per_trial: NonNegativeFloat = 0  # that Ray reserves for each trial; a part is allowed
    storage: Annotated[str, Field(min_length=1)] | None = None  # of checkpoints; null: temporary
    seed: NonNegativeInt = 0

    def conflicts(self) -> Iterator[Conflict]:
        """Yield each conflict: no budget, a name twice, settings that do not go together."""
        if self.budget_seconds is None and self.budget_trials is None:
            yield "budget_seconds", "this or budget_trials must be given, but both are null"
        for name, count in Counter(self.families).items():
            if count > 1:
                yield "families", f"'{name}' is listed {count} times"
        for metric, count in Counter(self.objectives).items():
            if count > 1:
                yield "objectives", f"'{metric}' is listed {count} times"
        for number, given in enumerate(self.configurations):
            family = given.get("family")
            if family not in get_args(Family):
                known = ", ".join(get_args(Family))
                found = "it is missing" if family is None else f"got '{family}'"
                yield (
                    f"configurations.{number}",
                    f"expected a family, one of {known}, but {found}",
                )
        yield from search_conflicts(
            searcher=self.searcher,
            strategy=self.strategy,
            scheduler=self.scheduler,
            rung=self.rung,
            families=self.families,
            space=self.space,
            configurations=self.configurations,
            objectives=self.objectives,
        )


class FitSection(Section):
    """How the final model is made."""

    mode: Literal["auto", "bag", "refit", "single"] = "auto"
    budget_seconds: PositiveFloat | None = 60  # for refitting
    prefer: Literal["best", "simplest"] = "best"
    seed: NonNegativeInt = 0


class EvaluationSection(Section):
    """How metrics and their intervals are computed, and what the report is about."""

    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    bootstrap_draws: Annotated[int, Field(ge=100, le=100_000)] = 1000
    importance_rows: PositiveInt = 2000
    importance_repeats: PositiveInt = 3
    nested: bool = False  # nested cross-validation: the search runs again in every fold
    slices: tuple[ColumnName, ...] = ()
    sensitive: tuple[ColumnName, ...] = ()
    slice_rows: PositiveInt = 50  # a smaller slice is not judged
    worst_slices: NonNegativeInt = 3
    costs: dict[str, dict[str, float]] | None = None  # {true class: {predicted class: cost}}
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
    slices: NonNegativeFloat | None = 0.05  # share of the champion's score that a slice may lose
    calibration: NonNegativeFloat | None = 0.02  # rise of the expected calibration error
    rate_gap: Annotated[float, Field(ge=0, le=1)] | None = None
    milliseconds_a_row: PositiveFloat | None = None
    megabytes: PositiveFloat | None = None


class RegistrySection(Section):
    """The registered model's name, the gates, and how much of a search is logged."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=200)] = "model"
    logged_trials: Annotated[NonNegativeInt, formerly("logged_trials", "nested_trials")] = 50
    # chance that luck promotes at one hold-out, over all uses of it
    alpha: Annotated[float, Field(gt=0, le=0.5), formerly("alpha", "false_promotions")] = 0.05
    approval: bool = False  # true: a version that passes waits for `evertune approve`
    gates: GatesSection = GatesSection()


class ScoringSection(Section):
    """Batch scoring on a schedule, the scoring service, and what is kept of both."""

    source: str | None = None
    labels: str | None = None
    address_variable: EnvironmentVariable | None = None
    output: str = "state/scores"
    cron: Cron | None = None
    batch_rows: PositiveInt = 5000
    host: str = "127.0.0.1"
    port: Port = 8000
    token_variable: EnvironmentVariable | None = None
    max_rows: Annotated[PositiveInt, formerly("max_rows", "most_rows")] = 10_000
    max_request_bytes: Annotated[PositiveInt, formerly("max_request_bytes", "most_bytes")] = (
        1_000_000
    )
    max_requests_a_second: PositiveInt | None = 1000  # of one caller
    batch_wait_ms: Annotated[NonNegativeFloat, formerly("batch_wait_ms", "gather_milliseconds")] = (
        2.0
    )
    shadow: bool = True  # the previous champion or a challenger predicts beside the champion
    log_variable: EnvironmentVariable | None = None
    retention_days: PositiveFloat | None = 730

    def conflicts(self) -> Iterator[Conflict]:
        """Yield each conflict: a schedule without a table, or a query without a database."""
        if self.cron is not None and self.source is None:
            yield "cron", "it needs source, which is null"
        queries = [name for name in ("source", "labels") if is_query(getattr(self, name))]
        if queries and self.address_variable is None:
            fault = f"{queries[0]} is a query; name the environment variable with the database"
            yield "address_variable", f"{fault} address"


TriggerAction = Literal["alert", "refit", "retune", "block"]


class ThresholdRule(Section):
    """Judges the latest window that can be judged; without a bound it never triggers."""

    kind: Literal["threshold"]
    above: float | None = None
    below: float | None = None

    def conflicts(self) -> Iterator[Conflict]:
        """Yield the conflict of two bounds."""
        if self.above is not None and self.below is not None:
            yield "above", "keep one of above and below, but both are given"


class KOfNRule(Section):
    """Judges k of the latest n windows that can be judged."""

    kind: Literal["k_of_n"]
    above: float | None = None
    below: float | None = None
    k: PositiveInt
    n: PositiveInt

    def conflicts(self) -> Iterator[Conflict]:
        """Yield each conflict: not exactly one bound, or more windows than are judged."""
        if self.above is not None and self.below is not None:
            yield "above", "keep one of above and below, but both are given"
        if self.above is None and self.below is None:
            yield "above", "this or below must be given, but both are null"
        if self.k > self.n:
            yield "k", f"{self.k} must not be above n {self.n}"


class SequentialRule(Section):
    """A sequential test (e-process) on matured loss with a stated budget of false alarms."""

    kind: Literal["e_process"]
    tolerance: PositiveFloat = 0.005
    false_alarm_days: PositiveFloat = 3650


class Trigger(Section):
    """A signal of production, the rule that it is judged by, and what is done if it triggers."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    signal: Annotated[str, Field(min_length=1)]
    rule: Annotated[ThresholdRule | KOfNRule | SequentialRule, Field(discriminator="kind")]
    action: TriggerAction

    def conflicts(self) -> Iterator[Conflict]:
        """Yield the conflict of the sequential test with another signal than the loss."""
        if isinstance(self.rule, SequentialRule) and self.signal != "loss":
            fault = f"e_process tests the signal 'loss', not '{self.signal}'"
            yield "rule", f"{fault}; use threshold or k_of_n"


DEFAULT_TRIGGERS = (
    Trigger(
        name="loss-rises", signal="loss", rule=SequentialRule(kind="e_process"), action="retune"
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
CONTRACT_SIGNAL: Literal["contract"] = "contract"
CONTRACT_SIGNALS = (
    "schema", "missing", "unseen", "range", "type", "duplicates", "volume", "freshness",
)  # fmt: skip
DRIFT_SIGNALS = ("input_drift", "prediction_drift", "joint_drift", "column_drift")
LOSS_SIGNALS = ("loss", "main_metric")
ESTIMATED_PREFIX = "estimated_"
BUSINESS_PREFIX = "business."


class ContractSection(Section):
    """The data contract of a window beside the schema; rises are in shares of rows."""

    p_value: Fraction = 1e-4
    missing_rise: Fraction = 0.01
    unseen_rise: Fraction = 0.01
    range_rise: Fraction = 0.01
    duplicate_rise: Fraction = 0.01
    volume_low: NonNegativeFloat = 0.2  # times the usual number of rows
    volume_high: PositiveFloat = 5.0
    stale_days: PositiveFloat = 3.0

    def conflicts(self) -> Iterator[Conflict]:
        """Yield the conflict of an empty range of volumes."""
        if self.volume_high <= self.volume_low:
            fault = f"{self.volume_high:g} must be above volume_low {self.volume_low:g}"
            yield "volume_high", fault


class PolicySection(Section):
    """When a trigger leads to a refit or retune, and when it does not."""

    cooldown_days: NonNegativeFloat = 7  # after any attempt; a failed gate doubles it
    longest_cooldown_days: PositiveFloat = 56
    longest_wait_days: NonNegativeFloat = 28  # for the rows that an inconclusive gate lacked
    retunes_a_month: PositiveInt = 4
    # this many in a row: not learnable, ask a person
    max_failed_gates: Annotated[PositiveInt, formerly("max_failed_gates", "failed_gates")] = 2
    follow_up_days: tuple[PositiveFloat, ...] = (7, 21, 45)  # refits after a change
    refit_interval_days: Annotated[
        PositiveFloat | None, formerly("refit_interval_days", "check_days")
    ] = None
    least_rows: PositiveInt = 200  # labelled rows since the change
    shadow_days: NonNegativeFloat = 14
    horizon_days: PositiveFloat = 90  # over which a gain counts
    gain_per_row: NonNegativeFloat | None = None  # of one unit of loss, in the unit of `cost`
    cost: NonNegativeFloat = 0  # of one retune

    def conflicts(self) -> Iterator[Conflict]:
        """Yield each conflict between numbers of days."""
        longest, cooldown = self.longest_cooldown_days, self.cooldown_days
        if longest < cooldown:
            fault = f"{longest:g} must not be below cooldown_days {cooldown:g}"
            yield "longest_cooldown_days", fault
        if list(self.follow_up_days) != sorted(set(self.follow_up_days)):
            fault = f"each number must be above the one before, but got {[*self.follow_up_days]}"
            yield "follow_up_days", fault


class RetuneSection(Section):
    """How a retune differs from a first search."""

    budget_seconds: PositiveFloat | None = 60
    budget_trials: PositiveInt | None = None
    # the newest rows, which select the training window and judge, and never train
    holdout_fraction: Annotated[Fraction, formerly("holdout_fraction", "judge_fraction")] = 0.5
    holdout_days: Annotated[PositiveFloat | None, formerly("holdout_days", "judge_days")] = None
    windows: Annotated[
        tuple[Literal["since_change", "latest", "all", "decayed"], ...], Field(min_length=1)
    ] = ("since_change", "latest", "all", "decayed")
    latest_days: PositiveFloat = 90
    half_life_days: PositiveFloat = 60
    warm_starts: PositiveInt = 5

    def conflicts(self) -> Iterator[Conflict]:
        """Yield the conflict of having no budget."""
        if self.budget_seconds is None and self.budget_trials is None:
            yield "budget_seconds", "this or budget_trials must be given, but both are null"


class BusinessMetric(Section):
    """A figure of the user's own, called with the rows of a window."""

    function: FunctionReference


def _current_name(value: object) -> object:
    return "latest_event" if value == "newest" else value  # its former name


class MonitoringSection(Section):
    """What is monitored in production, what triggers, and what is done then."""

    cron: Cron | None = "0 6 * * *"
    timezone: TimeZone = "UTC"  # of the days of windows, of both crons, and of times that are shown
    now: Annotated[
        Literal["real", "latest_event"], BeforeValidator(_current_name), formerly("now", "clock")
    ] = "real"
    window_days: PositiveFloat = 1
    window_rows: PositiveInt | None = None  # instead of days
    least_rows: PositiveInt = 30  # a smaller window is not judged on its own
    # a window is judged once this share of its expected labels has arrived
    label_coverage: Annotated[Fraction, formerly("label_coverage", "mature_coverage")] = 0.9
    horizon_days: PositiveFloat = 365  # how far back windows are computed
    # false: no label ever arrives, and drift may retune
    labels_available: Annotated[bool, formerly("labels_available", "labels_come")] = True
    slices: tuple[ColumnName, ...] = ()
    business: dict[str, BusinessMetric] = Field(default_factory=dict)
    triggers: tuple[Trigger, ...] = DEFAULT_TRIGGERS
    contract: ContractSection = ContractSection()
    policy: PolicySection = PolicySection()
    retune: RetuneSection = RetuneSection()
    notify: tuple[Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")], ...] = ()

    def conflicts(self) -> Iterator[Conflict]:
        """Yield each conflict between windows, and each trigger's name that is used twice."""
        if self.window_rows is not None and self.window_rows < self.least_rows:
            fault = f"{self.window_rows} must not be below least_rows {self.least_rows}"
            yield "window_rows", f"{fault}, or no window is judged"
        if self.horizon_days < self.window_days:
            fault = f"{self.horizon_days:g} must not be below window_days {self.window_days:g}"
            yield "horizon_days", fault
        counts = Counter(trigger.name for trigger in self.triggers)
        for number, trigger in enumerate(self.triggers):
            if counts[trigger.name] > 1:  # a record could not tell which one triggered
                fault = f"'{trigger.name}' is used {counts[trigger.name]} times"
                yield f"triggers.{number}.name", fault


class PathsSection(Section):
    """Where everything lies; relative in params.yaml, absolute once loaded."""

    source: Path = Path("data/raw/source.parquet")
    plan: Path = Path("data/plan.json")
    clean: Path = Path("data/clean.parquet")
    table_schema: Annotated[Path, Field(alias="schema")] = Path("data/schema.json")
    training: Path = Path("data/training.parquet")
    holdout: Path = Path("data/holdout.parquet")
    folds: Path = Path("data/folds.parquet")
    baselines: Path = Path("data/baselines")
    trials: Path = Path("data/trials.jsonl")
    pool: Path = Path("data/pool")
    model: Path = Path("data/model")
    figures: Path = Path("data/figures.json")
    plots: Path = Path("data/plots")
    report: Path = Path("data/report")
    reference: Path = Path("data/reference")
    # labelled rows of production
    production_labels: Annotated[Path, formerly("production_labels", "absorbed")] = Path(
        "data/raw/production_labels.parquet"
    )
    # rows that select the training window of a retune
    selection: Annotated[Path, formerly("selection", "choosing")] = Path("data/selection.parquet")
    state: Path = Path("state")


class Params(Section):
    """All of params.yaml."""

    paths: PathsSection = PathsSection()
    data: DataSection
    split: SplitSection = SplitSection()
    metric: MetricSection = MetricSection()
    baseline: BaselineSection = BaselineSection()
    search: SearchSection = SearchSection()
    fit: FitSection = FitSection()
    evaluation: EvaluationSection = EvaluationSection()
    registry: RegistrySection = RegistrySection()
    scoring: ScoringSection = ScoringSection()
    monitoring: MonitoringSection = MonitoringSection()
