"""Which schedulers, rungs, searchers and families go together, for params.yaml and for studies.

A scheduler compares trials at *rungs*: after so many folds, with a growing share of the rows, or
after so many boosting rounds or epochs.
"""

from collections.abc import Iterator, Sequence

# families whose fits go on round by round from a saved state, see `evertune.models.stepwise`
STEPWISE_FAMILIES = ("hist_gradient_boosting", "lightgbm", "xgboost", "catboost", "mlp")
POPULATION_SCHEDULERS = ("pbt", "pb2")
RUNG_SCHEDULERS = ("asha", "hyperband", "bohb", "median")
# run by Tune on its workers; the others are the study's own
TUNE_SCHEDULERS = (*RUNG_SCHEDULERS, *POPULATION_SCHEDULERS)
PAUSING_SCHEDULERS = ("hyperband", "bohb", *POPULATION_SCHEDULERS)  # by saving and loading trials


def search_conflicts(
    *, searcher: str, scheduler: str, rung: str, families: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield the key and the fault of each setting of a search that does not go with the others.

    Examples
    --------
    >>> settings = {"searcher": "tpe", "rung": "folds", "families": ["linear", "lightgbm"]}
    >>> for key, fault in search_conflicts(scheduler="pbt", **settings):
    ...     print(key, fault, sep=": ")
    families: pbt trains in steps of rounds or epochs, which linear cannot; leave it out, so that \
families are some of hist_gradient_boosting, lightgbm, xgboost, catboost, mlp
    >>> list(search_conflicts(scheduler="asha", **settings))
    []
    """
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
