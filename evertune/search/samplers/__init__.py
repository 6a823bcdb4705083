"""Samplers: what proposes the next configuration of a study.

`SEARCHERS` is the table of all that `search.searcher` of params.yaml can name: what each is, which
library it stands on, what of a space it handles, when to use it and when not. `make_sampler`
returns the one that the settings ask for, inside a strategy over the axes if they ask for one;
`check_search` says before a search starts what a searcher cannot do. `GivenSampler` evaluates given
configurations and no others, for a refit. Their contract is `evertune.search.study.Sampler`.

| module | samplers |
|---|---|
| `base` | `SpaceSampler` and `PointSampler`, which most are; manual, grid, given |
| `portfolio` | portfolio |
| `optuna_samplers` | tpe, random, bohb, nsga2: define-by-run |
| `vector_samplers` | qmc, gp, bayesian_optimization, skopt_gp and _forest, cmaes: in `unit_cube` |
| `hyperopt_samplers` | hyperopt_tpe (nested choices), hyperopt_atpe |
| `genetic`, `mixture` | genetic, mixture |
| `gradient` | gradient: along hypergradients |
| `architecture` | evolution, reinforce |
| `strategies` | axis by axis, with any of them |

A new one is a class that takes a `SearchProblem`, a row in `SEARCHERS` and its name in
`config.schema.SearchSection`; the contract suite runs it. Libraries are imported when their sampler
is made.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from evertune.search.configurations import configuration_fault
from evertune.search.objective import Objective
from evertune.search.samplers.architecture import (
    EvolutionSampler,
    ReinforceSampler,
)
from evertune.search.samplers.base import (
    GivenSampler,
    GridSampler,
    ManualSampler,
    SearchProblem,
    mutate_configuration,
    search_space,
)
from evertune.search.samplers.genetic import (
    GeneticSampler,
)
from evertune.search.samplers.gradient import (
    GradientSampler,
)
from evertune.search.samplers.hyperopt_samplers import (
    HyperoptAtpeSampler,
    HyperoptTpeSampler,
)
from evertune.search.samplers.mixture import (
    MixtureSampler,
)
from evertune.search.samplers.optuna_samplers import (
    BohbSampler,
    Nsga2Sampler,
    TpeSampler,
    UniformSampler,
)
from evertune.search.samplers.portfolio import (
    PortfolioSampler,
)
from evertune.search.samplers.strategies import (
    make_strategy,
)
from evertune.search.samplers.vector_samplers import (
    BayesianOptimizationSampler,
    CmaesSampler,
    GpSampler,
    QmcSampler,
    SkoptForestSampler,
    SkoptGpSampler,
)
from evertune.search.study import Sampler, SearchConfig
from evertune.trials import Trial

__all__ = [
    "SEARCHERS",
    "GivenSampler",
    "Searcher",
    "check_search",
    "make_sampler",
    "mutate_configuration",
    "search_space",
    "searchers_table",
]


@dataclass(frozen=True)
class Searcher:
    """One row of the table of searchers.

    Attributes
    ----------
    title : str
        What it is.
    library : str
        The library that it stands on, by its name on PyPI; `Evertune` where it is our own.
    space : str
        What of the space it handles, and how.
    use, avoid : str
        When to take it, and when not.
    milliseconds : int
        The median time of a proposal with 200 trials known, measured on two processors by
        tests/benchmarks/suggest_seconds.py.
    sampler : callable
        The class, of a `SearchProblem`.
    needs : str, optional
        The module of a library that is not always installed.
    extra : str, optional
        The extra of Evertune that installs it.
    """

    title: str
    library: str
    space: str
    use: str
    avoid: str
    milliseconds: int
    sampler: Callable[[SearchProblem], Sampler]
    needs: str | None = None
    extra: str | None = None


CONDITIONAL = "all of it, conditions included"
CUBE = "family by family, in a cube; categories as steps"
CATEGORIES = "family by family, in a cube; categories as such"

SEARCHERS: dict[str, Searcher] = {
    "portfolio": Searcher(
        "Strong defaults, then mutations and TPE for the families that the ensemble gains from",
        "Evertune, optuna",
        CONDITIONAL,
        "Always, unless there is a reason for another: an ensemble needs different families",
        "To compare searchers, or with a strategy",
        17,
        PortfolioSampler,
    ),
    "manual": Searcher(
        "The configurations that `search.configurations` lists",
        "Evertune",
        "any configuration, also outside the space",
        "You know what you want compared",
        "To find something new",
        0,
        ManualSampler,
    ),
    "grid": Searcher(
        "All combinations of three values of each parameter, in a random order",
        "Evertune",
        CONDITIONAL + "; numbers by three values",
        "Few parameters, the others pinned",
        "More than three parameters: most of the budget goes to those that do not matter",
        0,
        GridSampler,
    ),
    "random": Searcher(
        "Every family alike, every parameter uniform on its scale",
        "optuna",
        CONDITIONAL,
        "A baseline that others must beat; many workers at once",
        "Fits that take long: it learns nothing",
        2,
        UniformSampler,
    ),
    "qmc": Searcher(
        "A scrambled Sobol sequence for each family",
        "optuna",
        CUBE,
        "To cover a space evenly, such as for the importance of parameters",
        "To get the best score: it learns nothing",
        3,
        QmcSampler,
    ),
    "gp": Searcher(
        "A Gaussian process with log expected improvement",
        "optuna, torch",
        CATEGORIES,
        "Few, slow trials of few parameters",
        "Quick fits, more than some hundred trials, or many families",
        540,
        GpSampler,
        needs="torch",
        extra="neural",
    ),
    "bayesian_optimization": Searcher(
        "A Gaussian process with an upper confidence bound, in a window that shrinks",
        "bayesian-optimization",
        CUBE,
        "Numbers only, one good region",
        "Choices that matter, or several good regions: the window leaves them out",
        84,
        BayesianOptimizationSampler,
    ),
    "skopt_gp": Searcher(
        "A Gaussian process with expected improvement",
        "scikit-optimize",
        CATEGORIES + ", one-hot",
        "Few, slow trials; as `gp`, without torch",
        "More than some hundred trials",
        110,
        SkoptGpSampler,
    ),
    "skopt_forest": Searcher(
        "A random forest as the model, as SMAC has it, with expected improvement",
        "scikit-optimize",
        CATEGORIES + ", one-hot",
        "Many choices, scores that jump",
        "Few smooth numbers, where a Gaussian process is better",
        190,
        SkoptForestSampler,
    ),
    "tpe": Searcher(
        "The tree-structured Parzen estimator, parameters jointly",
        "optuna",
        CONDITIONAL,
        "One best configuration of a large, conditional space; some hundred trials",
        "Fewer than some twenty trials, of which the first ten are random",
        11,
        TpeSampler,
    ),
    "hyperopt_tpe": Searcher(
        "The tree-structured Parzen estimator, each parameter by itself",
        "hyperopt",
        CONDITIONAL + ", as nested choices",
        "To repeat work that was done with Hyperopt",
        "Parameters that depend on each other: `tpe` models them jointly",
        150,
        HyperoptTpeSampler,
    ),
    "hyperopt_atpe": Searcher(
        "Adaptive TPE: models that were trained on other searches choose TPE's settings",
        "hyperopt, lightgbm",
        CATEGORIES,
        "To repeat work that was done with it",
        "Quick fits: a proposal takes part of a second",
        180,
        HyperoptAtpeSampler,
    ),
    "cmaes": Searcher(
        "CMA-ES: a normal distribution that moves, turns and shrinks",
        "cmaes",
        CUBE,
        "Many trials of one family whose numbers depend on each other, such as a network",
        "Choices that matter, or fewer than some hundred trials",
        11,
        CmaesSampler,
    ),
    "genetic": Searcher(
        "A genetic algorithm: tournament, crossover within a family, mutation",
        "Evertune",
        CONDITIONAL,
        "Many quick trials, many choices; many workers",
        "Few trials",
        2,
        GeneticSampler,
    ),
    "nsga2": Searcher(
        "NSGA-II: a front of compromises between several metrics, guards as constraints",
        "optuna",
        CONDITIONAL,
        "Several metrics count (`search.objectives`)",
        "One metric counts, or fewer than some hundred trials",
        9,
        Nsga2Sampler,
    ),
    "bohb": Searcher(
        "TPE on the highest number of folds for which enough trials are known",
        "optuna",
        CONDITIONAL,
        "With `racing` or `asha`, where most trials are stopped after few folds",
        "With `scheduler: none`: it is `tpe` with a third of the trials drawn at random",
        12,
        BohbSampler,
    ),
    "mixture": Searcher(
        "tpe, genetic, cmaes and skopt_forest share the budget; who improves the score gets more",
        "optuna, cmaes, scikit-optimize",
        "as its members do",
        "You do not know which suits; some hundred trials",
        "Few trials: each member takes some before it is known what it is worth",
        10,
        MixtureSampler,
    ),
    "gradient": Searcher(
        "Penalties, learning rates and weight decay follow the derivative of the validation loss",
        "Evertune",
        "`linear` with an L2 penalty, and `mlp`; their other values are drawn",
        "A linear model or a network with few trials: the penalty is found without trials of it",
        "Other families; a metric that log loss or squared error say little of",
        114,
        GradientSampler,
    ),
    "evolution": Searcher(
        "Regularized evolution: the best of five recent trials, with one value changed",
        "Evertune",
        CONDITIONAL,
        "Architectures of networks: many choices, noisy scores, some hundred trials",
        "Few trials, or numbers that need fine steps",
        2,
        EvolutionSampler,
    ),
    "reinforce": Searcher(
        "A controller that learns by policy gradient which values give good scores",
        "Evertune",
        CONDITIONAL + "; numbers by six parts of their range",
        "To compare with the literature on architecture search",
        "Parameters that depend on each other, or few trials: `evolution` and `tpe` need fewer",
        65,
        ReinforceSampler,
    ),
}


def make_sampler(
    objective: Objective, config: SearchConfig, past_trials: Sequence[Trial] = ()
) -> Sampler:
    """Return the sampler of a search, which goes on from the trials of its earlier runs.

    Raises
    ------
    ValueError
        If the searcher cannot do what the settings ask for.
    """
    config.check()
    faults = [f"search.{key}: {fault}" for key, fault in check_search(config)]
    if faults:
        raise ValueError("\n".join(faults))
    problem = SearchProblem(objective, config, tuple(past_trials))
    if config.strategy != "joint":
        return make_strategy(problem)
    return SEARCHERS[config.searcher].sampler(problem)


def check_search(config: SearchConfig) -> Iterator[tuple[str, str]]:
    """Yield the key of each setting that needs what is not there, and what to do instead.

    That is a library, or a hyperparameter that a given configuration names. Rules of the settings
    alone are those of `evertune.config.search_rules`.
    """
    searcher = SEARCHERS.get(config.searcher)
    if searcher is None:
        known = ", ".join(SEARCHERS)
        yield "searcher", f"expected one of {known}, but got '{config.searcher}'."
        return
    if searcher.needs is not None and find_spec(searcher.needs) is None:
        yield (
            "searcher",
            f"'{config.searcher}' needs {searcher.needs}, which is not installed; run `pip install "
            f"'evertune[{searcher.extra}]'`, or take skopt_gp.",
        )
    for number, configuration in enumerate(config.configurations):
        fault = configuration_fault(configuration)
        if fault is not None:
            yield f"configurations.{number}", fault


def searchers_table() -> str:
    """Return the table of searchers as docs/searchers.md shows it."""
    head = ["searcher", "what it does", "library", "of the space", "use it for", "not for", "ms"]
    rows = [head, ["---"] * len(head)]
    for name, each in SEARCHERS.items():
        rows.append(
            [
                *(f"`{name}`", each.title, each.library, each.space, each.use, each.avoid),
                str(each.milliseconds or "below 1"),
            ]
        )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
