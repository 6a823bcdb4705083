"""The searcher `gradient`: continuous hyperparameters follow the derivative of the validation loss.

For families whose training is differentiable (`evertune.search.hypergradients`): `linear`, with an
L2 penalty, and `mlp`, whose learning rate and weight decay are followed. Choices, whole numbers
and all other values are drawn or mutated.

The derivative is that of the log loss or squared error, on the validation rows of the first folds,
whatever the optimised metric is; whether a step was good is decided by the score of its trial.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
from scipy.optimize import brentq
from threadpoolctl import threadpool_limits

from evertune.data.schema import fit_weights
from evertune.models.families import (
    COMMON_DEFAULTS,
    FAMILIES,
    balanced_weights,
    configuration_encoding,
    make_fit_context,
)
from evertune.models.feature_selection import restrict_to_columns, select_features
from evertune.models.fit_context import FitContext, Hyperparameters, float_param
from evertune.models.neural_network import NetworkRows, make_network_rows
from evertune.preprocessing.encoders import Encoding, feature_frame, make_encoder
from evertune.search.configurations import nearest_configuration
from evertune.search.hypergradients import PenalizedLinearModel, network_hypergradient
from evertune.search.objective import Job, maximized_score
from evertune.search.samplers.base import (
    MAX_DRAWS,
    SearchProblem,
    SpaceSampler,
    mutate_configuration,
    random_configuration,
)
from evertune.search.space import Choice, Float, Space
from evertune.search.study import Study
from evertune.trials import Configuration, Trial
from evertune.types import FloatArray

FOLLOWED = {"linear": ("alpha",), "mlp": ("learning_rate", "alpha")}  # by family
GRADIENT_FOLDS = {"linear": 3, "mlp": 1}  # on whose validation rows the loss is taken, at most
MAX_ROWS = {"linear": 10_000, "mlp": 1_000}  # of a fold, to train and to validate on
MAX_CELLS = 1_000_000  # of one encoded fold
LINEAR_TOLERANCE = 1e-4
FIRST_STRIDE = 1.0  # in log alpha; each is twice as long as the one before
STRIDE_TOLERANCE = 0.05  # in log alpha, of the optimum
RUN_EPOCHS = 4  # of the training run that is differentiated
FIRST_STEP = 0.2  # as a share of the range of a followed value
LAST_STEP = 0.02  # below, a descent has ended


@dataclass(frozen=True, eq=False)
class _EncodedFold:
    """Some rows of a fold: X of shape (n, width) and y, to train and to validate on."""

    X: FloatArray
    y: FloatArray
    X_val: FloatArray
    y_val: FloatArray
    context: FitContext


@dataclass(eq=False)
class _Descent:
    """A network whose continuous values go downhill.

    Attributes
    ----------
    best, score
        The configuration with the best score so far.
    direction : dict, optional
        Downhill from there, by name, in shares of the ranges; None: not known yet.
    """

    best: Configuration
    score: float
    direction: dict[str, float] | None = None
    step: float = FIRST_STEP


class GradientSampler(SpaceSampler):
    """Warm starts and defaults, then configurations whose continuous values went downhill.

    A penalty of a linear model is proposed at the optimum that the derivative leads to, from a
    drawn start. A network takes one step downhill a trial: it goes on from there if the score has
    improved, else it tries half the step. Every second proposal is such a step, of the best
    network that is not being evaluated; the others start anew, by turns from random values and
    from a mutation of the family's best configuration.
    """

    def __init__(self, problem: SearchProblem) -> None:
        super().__init__(replace(problem, part=_gradient_space(problem.space)))
        self._objective = problem.objective
        self._rng = np.random.default_rng(problem.run_seed)
        self._descents: list[_Descent] = []  # of networks that are not being evaluated
        self._steps: dict[int, _Descent] = {}  # of those that are, by trial number
        self._best: dict[str, tuple[float, Configuration]] = {}
        self._n_starts = 0
        self._folds: dict[tuple[str, Encoding, int], _EncodedFold] = {}
        for trial in problem.past_trials:
            self._learn(trial)

    def ask(self, study: Study, *, killable: bool) -> Job | None:  # noqa: ARG002
        """Return a job on all folds."""
        first = self.next_first_point()
        if first is not None:
            return self.new_job(study, first, "portfolio")
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of encoders; a fit of the trial gives them again
            descent = self._idle_descent() if study.next_number % 2 else None
            point = None if descent is None else self._step(study, descent)
            if descent is None or point is None:
                return self.new_job(study, self._start(study), "search")
        job = self.new_job(study, point, "search")
        self._steps[job.number] = descent
        return job

    def tell(self, study: Study, number: int, trial: Trial | None) -> None:
        """Go on from a better score, halve the step after a worse one."""
        super().tell(study, number, trial)
        descent = self._steps.pop(number, None)
        if descent is None:
            if trial is not None:
                self._learn(trial)
            return
        score = self._learn(trial, starts=False) if trial is not None else None
        if trial is not None and score is not None and score > descent.score:
            descent = _Descent(trial.configuration, score, step=descent.step)
        else:
            descent.step /= 2
        if descent.step >= LAST_STEP:
            self._descents.append(descent)

    def _learn(self, trial: Trial, *, starts: bool = True) -> float | None:
        """Note a trial, from which a network may go downhill; return its score if it has one."""
        point = nearest_configuration(trial.configuration, self.space)
        if trial.status != "complete" or trial.score is None or point is None:
            return None
        score = maximized_score(trial.score, self.metric)
        if point.family not in self._best or score > self._best[point.family][0]:
            self._best[point.family] = score, point
        if starts and point.family == "mlp":
            self._descents.append(_Descent(point, score))
        return score

    def _idle_descent(self) -> _Descent | None:
        return max(self._descents, key=lambda each: each.score, default=None)

    def _start(self, study: Study) -> Configuration:
        """Return a new configuration: that of a linear model is at the optimum of its penalty."""
        self._n_starts += 1
        families = list(self.space)
        family = families[self._n_starts % len(families)]
        if self._best and self._n_starts % 3:  # two thirds to the better one
            family = max(self._best, key=lambda each: self._best[each][0])
        draws = count(1)

        def draw() -> Configuration:
            # what is at the optimum already moves away from it: the metric is another measure
            downhill = next(draws) <= MAX_DRAWS // 2
            if family in self._best and (not downhill or self._n_starts % 2 == 0):
                point = mutate_configuration(self._best[family][1], self.space, self._rng)
            else:
                point = random_configuration(self.space, self._rng, family)
            return self._optimal_penalty(point) if family == "linear" and downhill else point

        return self.draw_new(study, draw(), lambda _: draw())

    def _followed(self, family: str) -> dict[str, Float]:
        """Return the ranges of the values that the derivative moves."""
        ranges = self.space[family]
        return {
            name: part
            for name in FOLLOWED[family]
            if isinstance(part := ranges.get(name), Float) and part.log
        }

    def _optimal_penalty(self, point: Configuration) -> Configuration:
        """Return a linear model whose penalty has the least validation loss nearby."""
        span = self._followed("linear").get("alpha")
        models = self._linear_models(point) if span is not None else []
        if span is None or not models:
            return point

        def slope(log_alpha: float) -> float:
            return sum(float(model.validation_loss([log_alpha])[1][0]) for model in models)

        bounds = math.log(span.low), math.log(span.high)
        start = math.log(float_param(point.hyperparameters, "alpha"))
        found = _walk_downhill(slope, start, bounds)
        alpha = float(f"{math.exp(found):.3g}")  # nearer values are the same model
        alpha = min(max(alpha, span.low), span.high)
        return replace(point, hyperparameters={**point.hyperparameters, "alpha": alpha})

    def _step(self, study: Study, descent: _Descent) -> Configuration | None:
        """Return the next point downhill, or None if it is known: then the descent has ended."""
        self._descents.remove(descent)
        if descent.direction is None:
            descent.direction = self._downhill(descent.best)
        values = dict(descent.best.hyperparameters)
        followed = self._followed("mlp")
        for name, share in descent.direction.items():
            start = _place_of(followed[name], float_param(values, name))
            values[name] = _value_at(followed[name], start + descent.step * share)
        point = replace(descent.best, hyperparameters=values)
        return None if self.is_known(study, point) else point

    def _downhill(self, point: Configuration) -> dict[str, float]:
        """Return the direction downhill in shares of the ranges, the greatest part being 1."""
        followed, rows = self._followed("mlp"), self._encoded(point, 0)
        if not followed or rows is None:
            return {}
        params = _all_params(point) | {"epochs": RUN_EPOCHS}
        training = make_network_rows(rows.X, rows.y, rows.context)
        validation = _scaled_like(training, rows)
        with np.errstate(all="ignore"):
            _, slopes = network_hypergradient(
                training, validation, params, rows.context, names=list(followed)
            )
        by_share = {
            name: -slopes[name] * math.log(part.high / part.low) for name, part in followed.items()
        }
        greatest = max(map(abs, by_share.values()))
        if not math.isfinite(greatest) or greatest == 0:
            return {}
        return {name: slope / greatest for name, slope in by_share.items()}

    def _linear_models(self, point: Configuration) -> list[PenalizedLinearModel]:
        n_folds = min(GRADIENT_FOLDS["linear"], len(self._objective.folds))
        parts = [self._encoded(point, fold) for fold in range(n_folds)]
        return [
            PenalizedLinearModel(
                (part.X, part.y),
                (part.X_val, part.y_val),
                task=self._objective.schema.task,
                n_classes=len(self._objective.schema.classes),
                weights=part.context.weights,
                tolerance=LINEAR_TOLERANCE,
            )
            for part in parts
            if part is not None
        ]

    def _encoded(self, point: Configuration, fold: int) -> _EncodedFold | None:
        """Return some rows of a fold as the point's model takes them; None if it takes none."""
        params = _all_params(point)
        try:
            rows = self._encode(point, fold)
            columns = select_features(rows.X, rows.y, params, rows.context)
        except ValueError:  # its trial says why it cannot be fitted
            return None
        X, context = restrict_to_columns(columns, rows.X, rows.context)
        X_val = rows.X_val if columns is None else rows.X_val[:, list(columns)]
        context = replace(context, weights=balanced_weights(rows.y, params, context))
        return _EncodedFold(X, rows.y, X_val, rows.y_val, context)

    def _encode(self, point: Configuration, fold: int) -> _EncodedFold:
        """Return some rows of a fold, in random order; the last few encodings are kept."""
        objective, key = self._objective, (point.family, configuration_encoding(point), fold)
        if key not in self._folds:
            schema, rng = objective.schema, np.random.default_rng(objective.seed)
            parts, most = objective.folds[fold], MAX_ROWS[point.family]
            training = rng.permutation(parts.training)[:most]
            validation = rng.permutation(parts.validation)[:most]
            encoder = make_encoder(key[1], schema)
            y = objective.y[training]
            X = encoder.fit_transform(feature_frame(objective.table.iloc[training], schema), y)
            X_val = encoder.transform(feature_frame(objective.table.iloc[validation], schema))
            n_rows = max(1, MAX_CELLS // max(1, X.shape[1]))
            weights = fit_weights(objective.table.iloc[training[:n_rows]], schema)
            while len(self._folds) >= sum(GRADIENT_FOLDS.values()):
                del self._folds[next(iter(self._folds))]
            self._folds[key] = _EncodedFold(
                X[:n_rows],
                y[:n_rows],
                X_val[:n_rows],
                objective.y[validation][:n_rows],
                make_fit_context(point, schema, seed=objective.seed, n_jobs=1, weights=weights),
            )
        return self._folds[key]


def _gradient_space(space: Space) -> Space:
    """Return a space with the penalties that have a derivative alone."""
    penalty = space.get("linear", {}).get("penalty")
    if isinstance(penalty, Choice):
        linear = space["linear"] | {"penalty": replace(penalty, values=("l2",))}
        space = space | {"linear": linear}
    return space


def _walk_downhill(
    slope: Callable[[float], float], start: float, bounds: tuple[float, float]
) -> float:
    """Return where a slope becomes zero downhill of a start, or the bound on the way."""
    here, before = start, slope(start)
    step = -FIRST_STRIDE if before > 0 else FIRST_STRIDE
    while True:
        there = min(max(here + step, bounds[0]), bounds[1])
        if there == here:
            return here
        after = slope(there)
        if after == 0 or not math.isfinite(after):
            return there if after == 0 else here
        if (after > 0) != (before > 0):
            return float(brentq(slope, here, there, xtol=STRIDE_TOLERANCE, disp=False))
        here, before, step = there, after, 2 * step


def _all_params(point: Configuration) -> Hyperparameters:
    return COMMON_DEFAULTS | FAMILIES[point.family].defaults | point.hyperparameters


def _scaled_like(training: NetworkRows, rows: _EncodedFold) -> NetworkRows:
    """Return the validation rows, the target of a regression scaled like that of the training."""
    validation = make_network_rows(rows.X_val, rows.y_val, replace(rows.context, weights=None))
    if rows.context.task != "regression":
        return validation
    targets = ((rows.y_val - training.centre) / training.spread)[:, None].astype(np.float32)
    return replace(validation, targets=targets)


def _place_of(part: Float, value: float) -> float:
    """Return where a value lies in its logarithmic range, from 0 to 1."""
    return math.log(value / part.low) / math.log(part.high / part.low)


def _value_at(part: Float, place: float) -> float:
    """Return the value at a place of a logarithmic range; outside of it, the nearest bound."""
    value = part.low * math.exp(place * math.log(part.high / part.low))
    return min(max(value, part.low), part.high)
