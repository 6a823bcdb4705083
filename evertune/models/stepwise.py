"""Fits that go on step by step from a saved state, with other hyperparameters if need be.

`start_stepwise_fit` starts or continues the fit of a configuration on encoded rows. A step grows
it to a number of rounds (boosters) or epochs (networks); early stopping and the deadline are those
of a whole fit. The state holds the model, not the rows, and can be pickled.

A fit in several steps is not the same, number by number, as one in a single step: libraries draw
their random rows and columns anew in each step.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from threadpoolctl import threadpool_limits

from evertune.models.boosting import (
    Growth,
    catboost_refuses,
    split_params,
    train_catboost,
    train_lightgbm,
    train_xgboost,
)
from evertune.models.early_stopping import EarlyStopping
from evertune.models.families import ignore_fit_warnings, prepare_fit
from evertune.models.feature_selection import select_features
from evertune.models.fit_context import FitContext, FitResult, Hyperparameters, int_param
from evertune.models.neural_network import (
    EPOCHS_WITHOUT_VALIDATION,
    Perceptron,
    make_network_rows,
    make_validation_loss,
)
from evertune.models.sklearn_models import (
    cut_to_best_round,
    filled_columns,
    fit_zero_rule,
    grow_hist_boosting,
    hist_boosting_rounds,
    make_hist_boosting,
)
from evertune.trials import Configuration
from evertune.types import FloatArray


class StepwiseFit(ABC):
    """A fit of one configuration on some rows, which grows step by step.

    Parameters
    ----------
    X : array of shape (n, width)
        Encoded rows, only the columns that the predictor takes.
    params : dict
        The family's own hyperparameters.

    Attributes
    ----------
    total : int
        Rounds or epochs of the whole fit.
    rounds : int
        Those done.
    stopped : bool
        Whether early stopping ended the fit.
    expired : bool
        Whether the deadline did.
    """

    columns: tuple[int, ...] | None = None

    def __init__(
        self, X: FloatArray, y: FloatArray, params: Hyperparameters, context: FitContext
    ) -> None:
        self.X, self.y, self.params, self.context = X, y, params, context
        self.total = self._count_rounds()
        self.rounds, self.stopped = 0, False
        self.model: Any = None
        self.stopping = EarlyStopping(context.deadline)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to grow."""
        return self.stopped or self.rounds >= self.total

    @property
    def expired(self) -> bool:
        """Whether the deadline ended the last step."""
        return self.stopping.expired

    def grow_to(self, n_rounds: int) -> None:
        """Grow to a number of rounds; early stopping may end the fit before."""
        n_rounds = min(n_rounds, self.total)
        if not self.finished and n_rounds > self.rounds:
            with ignore_fit_warnings(), threadpool_limits(max(self.context.n_jobs, 1)):
                self._grow_to(n_rounds)

    def result(self) -> FitResult:
        """Return the model of the best round so far."""
        with ignore_fit_warnings():
            predictor, iterations = self._best()
        return FitResult(predictor, iterations, whole=not self.expired, columns=self._columns())

    def state(self) -> dict[str, Any]:
        """Return what `restore` takes; it can be pickled."""
        return {
            "columns": self.columns,
            "rounds": self.rounds,
            "stopped": self.stopped,
            "best": (self.stopping.best, self.stopping.best_loss),
            "model": self.model,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state, with the hyperparameters of this fit."""
        self.rounds, self.stopped, self.model = state["rounds"], state["stopped"], state["model"]
        self.stopping.best, self.stopping.best_loss = state["best"]

    def _count_rounds(self) -> int:
        return split_params(self.params, self.context)[0]

    def _columns(self) -> tuple[int, ...] | None:
        return self.columns

    @abstractmethod
    def _grow_to(self, n_rounds: int) -> None:
        """Grow `model` from `rounds` to more rounds, and tell `stopping` of each."""

    @abstractmethod
    def _best(self) -> tuple[Any, int | None]:
        """Return the model of the best round, and the number of the round."""

    def _is_over(self, round_: int, loss: float | None) -> bool:
        self.rounds = round_
        over = self.stopping.is_over(round_, loss)
        self.stopped = over and not self.stopping.expired
        return over


class BoosterFit(StepwiseFit):
    """A booster, continued from the model so far by `train`."""

    train: Callable[..., Any]

    def _grow_to(self, n_rounds: int) -> None:
        before, own_params = self.rounds, split_params(self.params, self.context)[1]
        # with the same seed, each step would draw the same rows
        context = replace(self.context, seed=self.context.seed + before)

        def is_over(round_: int, loss: float | None) -> bool:
            return self._is_over(before + round_, loss)

        growth = Growth(n_rounds - before, is_over, self.model)
        self.model = self.train(self.X, self.y, own_params, context, growth=growth)


class LightGBMFit(BoosterFit):
    """LightGBM."""

    train = staticmethod(train_lightgbm)

    def _best(self) -> tuple[Any, int | None]:
        self.model.best_iteration = self.stopping.best or self.rounds
        return self.model, self.model.best_iteration


class XGBoostFit(BoosterFit):
    """XGBoost."""

    train = staticmethod(train_xgboost)

    def _best(self) -> tuple[Any, int | None]:
        kept = self.stopping.best or self.rounds
        return self.model[:kept], kept


class CatBoostFit(BoosterFit):
    """CatBoost; the zero rule where CatBoost refuses the rows."""

    train = staticmethod(train_catboost)

    def _grow_to(self, n_rounds: int) -> None:
        if catboost_refuses(self.X, self.y):
            zero_rule = fit_zero_rule(self.X, self.y, {"statistic": "mean"}, self.context)
            self.model, self.stopped = zero_rule.predictor, True
        else:
            super()._grow_to(n_rounds)

    def _best(self) -> tuple[Any, int | None]:
        if not hasattr(self.model, "tree_count_"):  # the zero rule
            return self.model, None
        model, kept = self.model, self.stopping.best
        if kept and kept < model.tree_count_:
            model = model.copy()
            model.shrink(ntree_end=kept)
        return model, model.tree_count_


class HistGradientBoostingFit(StepwiseFit):
    """scikit-learn's histogram boosting, continued by `warm_start`; empty columns are left out."""

    def __init__(
        self, X: FloatArray, y: FloatArray, params: Hyperparameters, context: FitContext
    ) -> None:
        super().__init__(X, y, params, context)
        self.filled = filled_columns(X)

    def _columns(self) -> tuple[int, ...] | None:
        if len(self.filled) == self.X.shape[1]:
            return self.columns
        outer = self.columns or range(self.X.shape[1])
        return tuple(outer[index] for index in self.filled)

    def _count_rounds(self) -> int:
        return hist_boosting_rounds(self.params, self.context)

    def _grow_to(self, n_rounds: int) -> None:
        if self.model is None:
            self.model = make_hist_boosting(self.context, self.filled, total=self.total)
        model = self.model.set_params(**self.params, warm_start=True)
        asked = n_rounds - self.rounds
        reached = grow_hist_boosting(
            model,
            self.X,
            self.y,
            self.context,
            filled=self.filled,
            total=asked,
            n_done=self.rounds,
        )
        self.rounds = int(model.n_iter_)
        self.stopping.expired = reached < asked
        self.stopped = self.rounds < n_rounds and reached == asked

    def _best(self) -> tuple[Any, int | None]:
        model = copy.copy(self.model)
        model.set_params(warm_start=False)
        cut_to_best_round(model, self.context)
        return model, int(model.n_iter_)


class PerceptronFit(StepwiseFit):
    """The own network, by epochs; its state has layers, moments and random numbers."""

    def __init__(
        self, X: FloatArray, y: FloatArray, params: Hyperparameters, context: FitContext
    ) -> None:
        super().__init__(X, y, params, context)
        self.network = Perceptron(make_network_rows(X, y, context), params, context)
        self.best_layers = self.network.copy_layers()

    def _count_rounds(self) -> int:
        epochs = int_param(self.params, "epochs")
        return self.context.max_rounds(epochs, EPOCHS_WITHOUT_VALIDATION)

    def _grow_to(self, n_rounds: int) -> None:
        loss = make_validation_loss(self.context)
        for epoch in range(self.rounds + 1, n_rounds + 1):
            if not self.network.train_epoch(epoch):
                self.stopping.expired = True
                return
            layers = self.network.copy_layers()
            over = self._is_over(epoch, loss(partial(self.network.predict, layers)))
            if self.stopping.best in (0, epoch):
                self.best_layers = layers
            if over:
                return

    def _best(self) -> tuple[Any, int | None]:
        return self.network.to_sklearn(self.best_layers), self.stopping.best or self.rounds

    def state(self) -> dict[str, Any]:
        """Return the state of the training."""
        network = self.network
        parts = ("layers", "first_moments", "second_moments", "n_steps", "rng")
        trained = {name: getattr(network, name) for name in parts}
        return super().state() | {"network": trained, "best_layers": self.best_layers}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        super().restore(state)
        self.best_layers = state["best_layers"]
        for name, value in copy.deepcopy(state["network"]).items():
            setattr(self.network, name, value)


STEPWISE_FITS: dict[str, type[StepwiseFit]] = {
    "hist_gradient_boosting": HistGradientBoostingFit,
    "lightgbm": LightGBMFit,
    "xgboost": XGBoostFit,
    "catboost": CatBoostFit,
    "mlp": PerceptronFit,
}
# Hyperparameters that may change between two steps of a fit: all others shape the model.
CHANGEABLE_PARAMETERS: dict[str, tuple[str, ...]] = {
    "hist_gradient_boosting": ("learning_rate", "l2_regularization", "max_features"),
    "lightgbm": (
        *("learning_rate", "feature_fraction", "bagging_fraction", "lambda_l1", "lambda_l2"),
    ),
    "xgboost": (
        *("learning_rate", "subsample", "colsample_bylevel", "reg_alpha", "reg_lambda"),
        "min_child_weight",
    ),
    "catboost": ("learning_rate", "l2_leaf_reg", "random_strength", "subsample"),
    "mlp": ("learning_rate", "alpha", "dropout"),
}


def start_stepwise_fit(
    configuration: Configuration,
    X: FloatArray,
    y: FloatArray,
    context: FitContext,
    *,
    state: dict[str, Any] | None = None,
) -> StepwiseFit:
    """Return a fit of a configuration that has not grown yet, or goes on from a state.

    Parameters
    ----------
    X : array of shape (n, width)
        Rows encoded as `configuration_encoding` says.
    y : array of shape (n,)
        Codes of classes, or values.
    state : dict, optional
        From `StepwiseFit.state`, of a fit on the same rows; its `CHANGEABLE_PARAMETERS` may differ.

    Raises
    ------
    ValueError
        If the family does not train in steps.
    """
    if configuration.family not in STEPWISE_FITS:
        raise ValueError(
            f"family must be one of {', '.join(STEPWISE_FITS)} to train in steps, but got "
            f"{configuration.family!r}."
        )
    select = select_features if state is None else lambda *_: state["columns"]
    with ignore_fit_warnings():
        own, columns, X, context = prepare_fit(configuration, X, y, context, select=select)
    fit = STEPWISE_FITS[configuration.family](X, y, own, context)
    fit.columns = columns
    if state is not None:
        fit.restore(state)
    return fit
