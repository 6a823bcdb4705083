"""Trials of a search in which it is known what matters."""

import numpy as np

from evertune.search.configurations import build_space, draw_values
from evertune.search.space import Choice, Integer
from evertune.trials import Configuration, FoldResult, Trial

SPACE = build_space(["tree", "knn"])


def known_trials(n=60, *, seed=0, metric="roc_auc"):
    """Return random trials of trees and neighbours; only a tree's depth changes the score."""
    rng = np.random.default_rng(seed)

    def draw(_, parameter):
        if isinstance(parameter, Choice):
            return parameter.values[int(rng.integers(len(parameter.values)))]
        low, high = parameter.low, parameter.high
        value = (
            np.exp(rng.uniform(np.log(low), np.log(high)))
            if parameter.log
            else rng.uniform(low, high)
        )
        return round(value) if isinstance(parameter, Integer) else float(value)

    trials = []
    for number in range(n):
        family = "tree" if number % 3 else "knn"
        values = draw_values(SPACE[family], draw)
        score = 0.6 + 0.01 * float(rng.normal())
        if family == "tree":
            score += 0.2 - 0.1 * abs(np.log(values["max_depth"] / 6))
        status = "failed" if number % 20 == 19 else "stopped" if number % 10 == 9 else "complete"
        n_folds = {"failed": 0, "stopped": 1, "complete": 3}[status]
        folds = tuple(FoldResult(fold, {metric: score}, 0.5, 0.1) for fold in range(n_folds))
        known = None if status == "failed" else float(score)
        reason = None if status == "complete" else "no luck"
        configuration = Configuration(family, values)
        trials.append(Trial(number, configuration, status, folds, known, reason, number + 1.0))
    return trials
