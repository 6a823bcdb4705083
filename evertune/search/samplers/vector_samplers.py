"""Samplers that work family by family, in the unit cube of the family's parameters.

The family is chosen by `base.choose_family`, an upper confidence bound over families. What the
method knows is built from the study's trials at each proposal, the points that are out included
(`base.observations`), so there is no state to be restored after a resumption.
"""

import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from evertune.search.samplers.base import (
    PointSampler,
    SearchProblem,
    choose_family,
    observations,
    random_configuration,
)
from evertune.search.samplers.unit_cube import UnitCube
from evertune.search.study import Study
from evertune.trials import Configuration
from evertune.types import FloatArray

STARTUP_TRIALS = 5  # of a family, before its model is used
OUTLIER_RANGES = 3.0  # interquartile ranges below the first quartile, at which scores are cut
MIN_WINDOW = 0.2  # side of the smallest cube to which sequential domain reduction shrinks
KAPPA = 1.5  # standard deviations of the upper confidence bound
KERNEL_STEPS = 8  # of fitting a Gaussian process's kernel
N_BEST = 5  # points around which a forest's candidates are drawn
LOCAL_STEP = 0.15  # their standard deviation, in the cube
N_CANDIDATES = 1000  # random points at which an acquisition is evaluated first
MAX_GP_POINTS = 100  # of a family, that a slow model learns from: the best, and the latest


class CubeSampler(PointSampler):
    """Works in the cube of each family.

    Attributes
    ----------
    cubes : dict from family to UnitCube
    """

    def __init__(self, problem: SearchProblem) -> None:
        super().__init__(problem)
        self.cubes = {family: UnitCube(family, part) for family, part in self.space.items()}


class VectorSampler(CubeSampler):
    """First points, then what `suggest` finds in the cube of the chosen family.

    The first five points of a family are its default and random ones. A point that was tried before
    is replaced by one near it.
    """

    def propose(self, study: Study) -> Configuration:
        """Return a new point of the family that the bandit chooses."""
        rng = self.random_generator(study)
        trials, out = self.known_trials(study), self.pending.values()
        family = choose_family(self.space, trials, out, self.metric)
        cube = self.cubes[family]
        known = observations(
            [trial for trial in trials if trial.configuration.family == family],
            [point for point in out if point.family == family],
            self.metric,
        )
        if len(known) < STARTUP_TRIALS or not cube.n_dimensions:
            point = random_configuration(self.space, rng, family)
        else:
            X = np.array([cube.to_unit(each.point) for each in known])
            y = cut_outliers(np.array([each.score for each in known]))
            with library_call():
                point = cube.from_unit(self.suggest(cube, X, y, rng))
        return self.mutate_known(study, point, rng)

    @abstractmethod
    def suggest(
        self, cube: UnitCube, X: FloatArray, y: FloatArray, rng: np.random.Generator
    ) -> FloatArray:
        """Return the next point, of shape (d,).

        Parameters
        ----------
        X : array of shape (n, d)
            Points of the cube, in the order of their trials.
        y : array of shape (n,)
            Their scores; greater is better.
        """


class QmcSampler(CubeSampler):
    """Optuna's quasi-Monte Carlo sampler: a scrambled Sobol sequence in the cube of each family.

    The families take turns; the one with the fewest trials is next.
    """

    def __init__(self, problem: SearchProblem) -> None:
        super().__init__(problem)
        self._past = [
            trial.configuration.family for trial in problem.past_trials if trial.phase == "search"
        ]
        self._sequences: dict[str, Iterator[FloatArray]] = {}

    def propose(self, study: Study) -> Configuration:
        """Return the next point of the sequence of the family with the fewest trials."""
        counts = dict.fromkeys(self.space, 0)
        tried = [trial.configuration for trial in self.known_trials(study)]
        for point in (*tried, *self.pending.values()):
            counts[point.family] += 1
        family = min(self.space, key=lambda each: counts[each])
        if family not in self._sequences:
            self._sequences[family] = _sobol(
                self.cubes[family].n_dimensions, self.seed, skip=self._past.count(family)
            )
        point = self.cubes[family].from_unit(next(self._sequences[family]))
        return self.mutate_known(study, point, self.random_generator(study))


class GpSampler(VectorSampler):
    """Optuna's Gaussian process, with the logarithm of the expected improvement.

    Categories are categories to it. Needs torch, which the extra `neural` installs.
    """

    def suggest(
        self, cube: UnitCube, X: FloatArray, y: FloatArray, rng: np.random.Generator
    ) -> FloatArray:
        """Return the point with the greatest expected improvement."""
        import optuna
        from optuna.distributions import CategoricalDistribution, FloatDistribution

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        X, y = best_and_newest(X, y)
        distributions: dict[str, Any] = {
            name: FloatDistribution(0.0, 1.0) if n is None else CategoricalDistribution(range(n))
            for name, n in zip(cube.names, cube.n_choices, strict=True)
        }
        sampler = optuna.samplers.GPSampler(seed=int(rng.integers(2**31)), n_startup_trials=1)
        study = optuna.create_study(sampler=sampler, direction="maximize")
        study.add_trials(
            optuna.trial.create_trial(
                params=dict(zip(cube.names, cube.to_mixed(x), strict=True)),
                distributions=distributions,
                value=score,
            )
            for x, score in zip(X, y, strict=True)
        )
        params = study.ask(distributions).params
        return cube.from_mixed([params[name] for name in cube.names])


class BayesianOptimizationSampler(VectorSampler):
    """bayesian-optimization's Gaussian process, in a window that shrinks around the best point.

    The upper confidence bound is maximized within the bounds of the library's
    `SequentialDomainReductionTransformer` (Stander and Craig 2002), whose window keeps at least a
    fifth of each side. Categories are steps.
    """

    def suggest(
        self, cube: UnitCube, X: FloatArray, y: FloatArray, rng: np.random.Generator
    ) -> FloatArray:
        """Return the point with the greatest upper confidence bound within the window."""
        from bayes_opt import BayesianOptimization, SequentialDomainReductionTransformer
        from bayes_opt.acquisition import UpperConfidenceBound

        class QuickUpperConfidenceBound(UpperConfidenceBound):  # type: ignore[misc]
            """The library's, maximized from fewer points: by default that takes seconds."""

            def suggest(self, gp: Any, target_space: Any, **given: Any) -> FloatArray:
                """Return the point of the space with the greatest bound."""
                quick = given | {"n_random": N_CANDIDATES, "n_smart": 0}
                return np.asarray(super().suggest(gp, target_space, **quick))

        X, y = best_and_newest(X, y)
        window = SequentialDomainReductionTransformer(minimum_window=MIN_WINDOW)
        optimizer = BayesianOptimization(
            f=None,
            pbounds=dict.fromkeys(cube.names, (0.0, 1.0)),
            acquisition_function=QuickUpperConfidenceBound(kappa=KAPPA),
            bounds_transformer=window,
            random_state=int(rng.integers(2**31)),
            verbose=0,
            allow_duplicate_points=True,
        )
        optimizer.set_gp_params(n_restarts_optimizer=0, alpha=1e-4)
        bounds: dict[str, FloatArray] | None = None
        for n, (x, score) in enumerate(zip(X, y, strict=True)):
            optimizer.register(dict(zip(cube.names, x.tolist(), strict=True)), float(score))
            if n >= STARTUP_TRIALS:
                bounds = window.transform(optimizer.space)
        if bounds is not None:
            optimizer.set_bounds(bounds)
        point = optimizer.suggest()
        return np.array([float(point[name]) for name in cube.names])


class SkoptGpSampler(VectorSampler):
    """scikit-optimize's Gaussian process, its kernel fitted in a few steps.

    The expected improvement is maximized over random points; categories are one-hot.
    """

    def suggest(
        self, cube: UnitCube, X: FloatArray, y: FloatArray, rng: np.random.Generator
    ) -> FloatArray:
        """Return the point with the greatest expected improvement."""
        from skopt import Optimizer
        from skopt.utils import cook_estimator

        dimensions = _skopt_space(cube)
        model = cook_estimator(
            "GP",
            space=dimensions,
            random_state=int(rng.integers(2**31)),
            n_restarts_optimizer=0,
            optimizer=_fit_kernel_quickly,
        )
        optimizer = Optimizer(
            dimensions,
            base_estimator=model,
            n_initial_points=1,
            acq_func="EI",
            acq_optimizer="sampling",
            acq_optimizer_kwargs={"n_points": N_CANDIDATES},
            random_state=int(rng.integers(2**31)),
        )
        X, y = best_and_newest(X, y)
        optimizer.tell([cube.to_mixed(x) for x in X], [-float(score) for score in y])
        return cube.from_mixed(optimizer.ask())


class SkoptForestSampler(VectorSampler):
    """scikit-optimize's random forest as the model, as SMAC has it (Hutter et al. 2011).

    A forest is flat between the points that it knows: the expected improvement is evaluated at
    random points, and at points near the best ones. Categories are one-hot.
    """

    def suggest(
        self, cube: UnitCube, X: FloatArray, y: FloatArray, rng: np.random.Generator
    ) -> FloatArray:
        """Return the point with the greatest expected improvement."""
        from skopt.acquisition import gaussian_ei
        from skopt.learning import RandomForestRegressor

        space = _skopt_space(cube)
        model = RandomForestRegressor(
            n_estimators=40, min_samples_leaf=2, random_state=int(rng.integers(2**31))
        )
        model.fit(space.transform([cube.to_mixed(x) for x in X]), -y)
        best = X[np.argsort(-y, kind="stable")[:N_BEST]]
        near = best[rng.integers(len(best), size=N_CANDIDATES // 2)]
        moved = rng.random(near.shape) < max(0.3, 1 / cube.n_dimensions)
        near = np.clip(near + moved * rng.normal(scale=LOCAL_STEP, size=near.shape), 0, 1)
        points = np.vstack([rng.random((N_CANDIDATES // 2, cube.n_dimensions)), near])
        gains = gaussian_ei(
            space.transform([cube.to_mixed(x) for x in points]), model, y_opt=float(-y.max())
        )
        return np.asarray(points[int(np.argmax(gains))])


class CmaesSampler(VectorSampler):
    """CMA-ES by the library cmaes, started at the family's default, categories as steps.

    The trials of the family are told generation by generation in the order of their numbers. Once
    it has converged, it starts again at a random point with twice the population (IPOP).
    """

    def suggest(
        self, cube: UnitCube, X: FloatArray, y: FloatArray, rng: np.random.Generator
    ) -> FloatArray:
        """Return a draw from the distribution that the trials so far lead to."""
        from cmaes import CMA

        bounds = np.tile([0.0, 1.0], (cube.n_dimensions, 1))
        start, size = X[0], None
        while True:
            seed = int(rng.integers(2**31))
            strategy = CMA(mean=start, sigma=0.3, bounds=bounds, seed=seed, population_size=size)
            size = strategy.population_size
            while len(X) >= size and not strategy.should_stop():
                generation = zip(X[:size], -y[:size], strict=True)
                strategy.tell([(x, float(loss)) for x, loss in generation])
                X, y = X[size:], y[size:]
            if not strategy.should_stop():
                return np.asarray(strategy.ask())
            start, size = rng.random(cube.n_dimensions), 2 * size


def cut_outliers(y: FloatArray) -> FloatArray:
    """Return scores, with those far below all others raised: a model is to tell the good apart.

    Examples
    --------
    >>> cut_outliers(np.array([1.0, 2.0, 3.0, 4.0, -1e9])).tolist()
    [1.0, 2.0, 3.0, 4.0, -5.0]
    """
    first, third = np.quantile(y, [0.25, 0.75])
    return y if first == third else np.maximum(y, first - OUTLIER_RANGES * (third - first))


def best_and_newest(X: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return at most 100 points: those with the best scores, and the latest ones.

    The time of a Gaussian process grows with the cube of their number.
    """
    if len(X) <= MAX_GP_POINTS:
        return X, y
    half = MAX_GP_POINTS // 2
    kept = np.union1d(np.argsort(-y, kind="stable")[:half], np.arange(len(y) - half, len(y)))
    return X[kept], y[kept]


@contextmanager
def library_call() -> Iterator[None]:
    """Let a library compute with one thread, and keep its numeric warnings off the terminal.

    A Gaussian process warns if a length scale ends at its bound or its fit stops early; a proposal
    is checked by fits anyway. Matrices are small: more threads would only disturb the workers.
    """
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def _skopt_space(cube: UnitCube) -> Any:
    """Return a cube as scikit-optimize's space, for points from `UnitCube.to_mixed`."""
    from skopt.space import Categorical, Real, Space

    return Space(
        [
            Real(0.0, 1.0, name=name) if n is None else Categorical(range(n), name=name)
            for name, n in zip(cube.names, cube.n_choices, strict=True)
        ]
    )


def _fit_kernel_quickly(
    loss: Callable[[FloatArray], tuple[float, FloatArray]], start: FloatArray, bounds: FloatArray
) -> tuple[FloatArray, float]:
    """Return the parameters of a kernel after a few steps of L-BFGS, and their loss.

    To convergence it takes seconds, for a model that the next trial replaces.
    """
    from scipy.optimize import minimize

    found = minimize(
        loss, start, method="L-BFGS-B", jac=True, bounds=bounds, options={"maxiter": KERNEL_STEPS}
    )
    return found.x, float(found.fun)


def _sobol(n_dimensions: int, seed: int, *, skip: int) -> Iterator[FloatArray]:
    """Yield the points of Optuna's Sobol sequence, without the first `skip`."""
    import optuna

    if n_dimensions == 0:
        while True:
            yield np.array([])
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.QMCSampler(scramble=True, seed=seed)
    study = optuna.create_study(sampler=sampler)
    axes: dict[str, Any] = {
        f"x{n:03}": optuna.distributions.FloatDistribution(0.0, 1.0) for n in range(n_dimensions)
    }
    # the first is drawn at random: it tells the sampler which parameters there are
    for number in range(-1 - skip, 2**20):
        trial = study.ask(axes)
        study.tell(trial, 0.0)
        if number >= 0:
            yield np.array([trial.params[name] for name in axes])
