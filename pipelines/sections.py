"""The sections of params.yaml: what may stand in each, of which type and in which range."""

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from pipelines.core.predictions import Task
from pipelines.core.schema import Kind
from pipelines.production import Monitoring, Scoring
from pipelines.section import Auto, ColumnName, Fraction, Function, Section, Variable

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
NEURAL = ("embedding_network",)  # needs the extra `neural`
FAMILIES: tuple[Family, ...] = tuple(each for each in get_args(Family) if each not in NEURAL)
Values = Annotated[tuple[bool | int | float | str | None, ...], Field(min_length=1)]


class Dialect(Section):
    """How a CSV file is written; None is found out by a look."""

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    encoding: str | None = None
    decimal: Literal[".", ","] | None = None


class Data(Section):
    """The source table and what its columns are."""

    source: Annotated[str, Field(min_length=1)]
    target: ColumnName
    identifier: ColumnName | None = None
    time: ColumnName | None = None
    group: ColumnName | None = None
    task: Task | Auto = "auto"
    positive: str | int | float | bool = "auto"
    ignore: tuple[str, ...] = ()
    columns: dict[str, Kind] = Field(default_factory=dict)
    missing_values: tuple[str, ...] = ()
    dialect: Dialect = Dialect()
    address_variable: Variable | None = None
    human_column: ColumnName | None = None
    existing_column: ColumnName | None = None
    existing_model: Annotated[str, Field(pattern=r"^models:/[^/@]+[/@][^/@]+$")] | None = None


class Split(Section):
    """How rows are kept back for the hold-out and for validation."""

    holdout_fraction: Fraction = 0.2
    folds: Literal["kfold", "stratified", "group", "time", "leave_one_out", "auto"] = "auto"
    n_folds: Annotated[int, Field(ge=2, le=50)] = 5
    n_repeats: Annotated[int, Field(ge=1, le=20)] = 1
    gap_days: Annotated[float, Field(ge=0)] = 0
    seed: NonNegativeInt = 0


class CustomMetric(Section):
    """A metric of the user's own, `module:function`, called with truth and predictions."""

    function: Function
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
    families: Annotated[tuple[Family, ...], Field(min_length=1)] = FAMILIES
    space: dict[Family, dict[str, Values]] = Field(default_factory=dict)
    pool_megabytes: PositiveInt = 1000
    workers: PositiveInt | Auto = "auto"
    seed: NonNegativeInt = 0


class FitSection(Section):
    """How the final model is made."""

    mode: Literal["auto", "bag", "refit", "single"] = "auto"
    budget_seconds: PositiveFloat | None = 60
    prefer: Literal["best", "simplest"] = "best"
    seed: NonNegativeInt = 0


class Evaluation(Section):
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


class Gates(Section):
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


class Registry(Section):
    """Where versions are kept, what they must pass, and how much of a search is shown."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    nested_trials: NonNegativeInt = 50
    false_promotions: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    approval: bool = False
    gates: Gates = Gates()


class Paths(Section):
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

    paths: Paths
    data: Data
    split: Split = Split()
    metric: MetricSection = MetricSection()
    baseline: BaselineSection = BaselineSection()
    search: SearchSection = SearchSection()
    fit: FitSection = FitSection()
    evaluation: Evaluation = Evaluation()
    registry: Registry
    scoring: Scoring = Scoring()
    monitoring: Monitoring = Monitoring()
