"""Which settings of a search go together, for params.yaml and for studies.

All rules that need nothing but the settings stand here; what needs a library or the space is said
by `evertune.search.samplers.check_search`.

A scheduler compares trials at *rungs*: after so many folds, with a growing share of the rows, or
after so many boosting rounds or epochs.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from evertune.trials import ParameterValue

# families whose fits go on round by round from a saved state, see `evertune.models.stepwise`
STEPWISE_FAMILIES = ("hist_gradient_boosting", "lightgbm", "xgboost", "catboost", "mlp")
POPULATION_SCHEDULERS = ("pbt", "pb2")
RUNG_SCHEDULERS = ("asha", "hyperband", "bohb", "median")
# run by Tune on its workers; the others are the study's own
TUNE_SCHEDULERS = (*RUNG_SCHEDULERS, *POPULATION_SCHEDULERS)
PAUSING_SCHEDULERS = ("hyperband", "bohb", *POPULATION_SCHEDULERS)  # by saving and loading trials


# families whose training has a derivative by its hyperparameters, for the searcher `gradient`
GRADIENT_FAMILIES = ("linear", "mlp")
OWN_SETTINGS = {"configurations": "manual", "objectives": "nsga2"}  # of one searcher alone
OWN_SETTING_MISSING = {
    "configurations": (
        "searcher manual evaluates these, but there are none; list some, such as "
        "[{family: tree, max_depth: 4}], or take searcher grid"
    ),
    "objectives": (
        "searcher nsga2 looks for compromises between the metric and others, but there are "
        "none; list some, such as [log_loss], or take searcher genetic"
    ),
}
JOINT_ONLY = {  # why a searcher cannot search axis by axis, and what to take
    "portfolio": "has an order of its own; take genetic, tpe or another",
    "manual": "evaluates given configurations; take another",
    "nsga2": "has no single best trial to go on from; take genetic or another",
    "gradient": "follows the derivative of whole models; take genetic or another",
}

Overrides = Mapping[Any, Mapping[str, Sequence[ParameterValue]]]


def search_conflicts(
    *,
    searcher: str,
    scheduler: str,
    families: Sequence[str],
    rung: str = "folds",
    strategy: str = "joint",
    space: Overrides | None = None,
    configurations: Collection[object] = (),
    objectives: Collection[str] = (),
) -> Iterator[tuple[str, str]]:
    """Yield the key and the fault of each setting of a search that does not go with the others.

    Examples
    --------
    >>> settings = {"searcher": "tpe", "families": ["linear", "lightgbm"]}
    >>> for key, fault in search_conflicts(scheduler="pbt", **settings):
    ...     print(key, fault, sep=": ")
    families: pbt trains in steps of rounds or epochs, which linear cannot; leave it out, so that \
families are some of hist_gradient_boosting, lightgbm, xgboost, catboost, mlp
    >>> list(search_conflicts(scheduler="asha", **settings))
    []
    """
    for key, given in (("configurations", configurations), ("objectives", objectives)):
        owner = OWN_SETTINGS[key]
        if searcher == owner and not given:
            yield key, OWN_SETTING_MISSING[key]
        if given and searcher != owner:
            yield (
                key,
                f"these are for searcher {owner}, but searcher is '{searcher}'; take {owner}, or "
                "leave them out",
            )
    yield from _strategy_conflicts(strategy, searcher, space or {})
    if searcher == "gradient":
        yield from _gradient_conflicts(families, space or {})
    yield from _scheduler_conflicts(searcher, scheduler, rung, families)


def _strategy_conflicts(
    strategy: str, searcher: str, space: Overrides
) -> Iterator[tuple[str, str]]:
    if strategy != "joint" and searcher in JOINT_ONLY:
        yield (
            "strategy",
            f"'{strategy}' searches axis by axis, but searcher {searcher} "
            f"{JOINT_ONLY[searcher]} searcher, or strategy joint",
        )
    for family, ranges in space.items() if strategy == "alternating" else ():
        methods = ranges.get("feature_selection")
        if methods is not None and "recursive" not in methods:
            yield (
                f"space.{family}.feature_selection",
                "strategy alternating eliminates features with 'recursive', but it is not "
                f"among {list(methods)}; add it, or take strategy sequence",
            )


def _gradient_conflicts(families: Sequence[str], space: Overrides) -> Iterator[tuple[str, str]]:
    others = [family for family in families if family not in GRADIENT_FAMILIES]
    if others:
        yield (
            "families",
            f"the searcher gradient needs families with derivatives "
            f"({', '.join(GRADIENT_FAMILIES)}), but there are {', '.join(others)}; leave them "
            "out, or take portfolio or tpe",
        )
    penalties = space.get("linear", {}).get("penalty", ("l2",))
    if "linear" in families and "l2" not in penalties:
        yield (
            "space.linear.penalty",
            "the searcher gradient needs the penalty l2, but there is "
            f"{', '.join(map(str, penalties))}; add l2, or take the searcher tpe",
        )


def _scheduler_conflicts(
    searcher: str, scheduler: str, rung: str, families: Sequence[str]
) -> Iterator[tuple[str, str]]:
    if scheduler in TUNE_SCHEDULERS and searcher == "portfolio":
        yield (
            "scheduler",
            (
                f"{scheduler} compares trials step by step, but the searcher portfolio evaluates "
                "configurations in parts; take the searcher tpe or random, or the scheduler racing"
            ),
        )
    if rung != "folds" and scheduler not in RUNG_SCHEDULERS:
        alone = scheduler in POPULATION_SCHEDULERS
        if not (alone and rung == "rounds"):
            instead = "rounds" if alone else "folds"
            others = ", ".join(RUNG_SCHEDULERS)
            yield "rung", f"{scheduler} has no rungs of {rung}; take {instead}, or one of {others}"
    if scheduler in POPULATION_SCHEDULERS or rung == "rounds":
        unfit = [family for family in families if family not in STEPWISE_FAMILIES]
        if unfit:
            who = scheduler if scheduler in POPULATION_SCHEDULERS else "rung rounds"
            pronoun = "it" if len(unfit) == 1 else "them"
            yield (
                "families",
                (
                    f"{who} trains in steps of rounds or epochs, which {', '.join(unfit)} cannot; "
                    f"leave {pronoun} out, so that families are some of "
                    f"{', '.join(STEPWISE_FAMILIES)}"
                ),
            )
    if scheduler == "pb2" and len(families) > 1:
        yield (
            "families",
            (
                "pb2 models how a family's own parameters change its score, so it needs exactly "
                f"one family, but {len(families)} are named; keep one, or take pbt"
            ),
        )
