"""Ray Tune's schedulers by name, for the rungs of a search.

| name | class of Tune | what it does to a trial that falls behind |
|---|---|---|
| `racing`, `none` | `FIFOScheduler` | nothing: the study itself prunes by racing |
| `median` | `MedianStoppingRule` | stops it: its best is worse than the median of others' means |
| `asha` | `ASHAScheduler` | stops it unless it is in the best third of those before it |
| `hyperband` | `HyperBandScheduler` | pauses it; of a full bracket, a third goes on |
| `bohb` | `HyperBandForBOHB` | the same, the largest brackets first |
| `pbt` | `PopulationBasedTraining` | goes on from a copy of a better one, with other parameters |
| `pb2` | `PB2` | the same; a Gaussian process chooses the parameters |

The subclasses here mend what stops searches with failed trials: Tune's median rule reads the score
of a result that has none, its Hyperband waits for ever for a trial that ended in a bracket that was
halved before, and few workers never get it beyond its first bracket.
"""

import math
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    HyperBandForBOHB,
    HyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)
from ray.tune.schedulers.hyperband import _Bracket
from ray.tune.schedulers.pb2 import PB2
from sklearn.exceptions import ConvergenceWarning

from evertune.config.search_rules import POPULATION_SCHEDULERS, TUNE_SCHEDULERS
from evertune.metrics.metrics import Metric
from evertune.models.families import family_and_params
from evertune.models.stepwise import CHANGEABLE_PARAMETERS
from evertune.search.objective import maximized_score
from evertune.search.rungs import REDUCTION_FACTOR, Rungs, replay_points
from evertune.search.space import Float, Space
from evertune.trials import Configuration, ParameterValue, Trial

OBJECTIVE = "objective"  # mean over the folds so far; greater is better
RESOURCE = "resource"  # folds, or parts of the rows or rounds, see `rungs`
SCHEDULERS = ("racing", *TUNE_SCHEDULERS, "none")
MIN_RIVALS = 3  # that the median rule needs
RESAMPLE_PROBABILITY = 0.25  # that population based training draws a parameter anew
PERTURBATION_FACTORS = (0.8, 1.25)
_COMMON: dict[str, Any] = {"time_attr": RESOURCE, "metric": OBJECTIVE, "mode": "max"}


@dataclass(frozen=True)
class PastTrial:
    """A trial of an earlier run, as Tune's schedulers look at one."""

    trial_id: str


class RungASHAScheduler(AsyncHyperBandScheduler):  # type: ignore[misc]
    """Ray's ASHA, which lets the first trials at each rung pass.

    The best third is not defined for fewer than three trials: without this, the second trial of a
    search would be stopped whenever its first step is the worse one.
    """

    def __init__(self, max_resource: int) -> None:
        super().__init__(
            **_COMMON, max_t=max_resource, grace_period=1, reduction_factor=REDUCTION_FACTOR
        )
        self._max_resource = max_resource
        self._n_results: Counter[int] = Counter()

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return whether the trial goes on."""
        action: str = super().on_trial_result(tune_controller, trial, result)
        resource = result[RESOURCE]
        self._n_results[resource] += 1
        if resource < self._max_resource and self._n_results[resource] <= REDUCTION_FACTOR:
            return str(TrialScheduler.CONTINUE)
        return action

    def replay(self, past: Any, points: Sequence[dict[str, Any]]) -> None:
        """Learn what a trial of an earlier run reported."""
        self.on_trial_add(None, past)
        for result in points:
            self.on_trial_result(None, past, result)
        self.on_trial_remove(None, past)


class RungMedianRule(MedianStoppingRule):  # type: ignore[misc]
    """Tune's median rule, which ignores results of trials that failed."""

    def __init__(self) -> None:
        super().__init__(
            **_COMMON,
            grace_period=1,
            min_samples_required=MIN_RIVALS,
            min_time_slice=math.inf,  # never pause a trial for lack of rivals
        )

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Keep the last result, if it has a score."""
        if OBJECTIVE in result:
            super().on_trial_complete(tune_controller, trial, result)

    def replay(self, past: Any, points: Sequence[dict[str, Any]]) -> None:
        """Learn what a trial of an earlier run reported."""
        for result in points:
            self.on_trial_complete(None, past, result)


class RungBracket(_Bracket):  # type: ignore[misc]
    """A bracket that is full once it has got all of its trials, whether they still run or not."""

    def filled(self) -> bool:
        """Return whether no trial is to be added."""
        return len(self._all_trials) >= int(self._n0)


class _FillsBrackets(HyperBandScheduler):  # type: ignore[misc]
    """Hyperband that halves a bracket once it is full, or nothing is left to fill it with.

    Tune's own counts a bracket's running trials, and halves it as soon as all of them have come to
    the rung: few workers with quick trials would never get beyond the first bracket, in which
    nothing is stopped. It also looks at a bracket again when a trial ends after the first halving,
    for which Tune's would wait for ever.
    """

    _nothing_to_add = False

    def _create_bracket(self, s: int) -> RungBracket:
        return RungBracket(
            time_attr=self._time_attr,
            max_trials=self._get_n0(s),
            init_t_attr=self._get_r0(s),
            max_t_attr=self._max_t_attr,
            eta=self._eta,
            s=s,
            stop_last_trials=self._stop_last_trials,
        )

    def _process_bracket(self, tune_controller: Any, bracket: Any) -> str:
        is_open = bracket is self._state["bracket"] and not bracket.filled()
        if is_open and not self._nothing_to_add:
            return str(TrialScheduler.PAUSE)
        nested = bracket.is_being_processed
        action: str = super()._process_bracket(tune_controller, bracket)
        if not nested:
            bracket.is_being_processed = False
        return action

    def choose_trial_to_run(self, tune_controller: Any, **settings: Any) -> Any:
        """Return a trial to start or continue; close brackets if there is no other."""
        chosen = super().choose_trial_to_run(tune_controller, **settings)
        trials = tune_controller.get_trials()
        if chosen is not None or any(each.status in ("RUNNING", "PENDING") for each in trials):
            return chosen
        self._nothing_to_add = True
        for bracket in (each for band in self._hyperbands for each in band if each is not None):
            if any(each.status == "PAUSED" for each in bracket.current_trials()):
                self._process_bracket(tune_controller, bracket)
        self._nothing_to_add = False
        return super().choose_trial_to_run(tune_controller, **settings)


class RungHyperBandScheduler(_FillsBrackets):
    """Tune's synchronous Hyperband."""


class RungBOHBScheduler(_FillsBrackets, HyperBandForBOHB):  # type: ignore[misc]
    """Tune's Hyperband for BOHB."""


class _KeepsNumber(PopulationBasedTraining):  # type: ignore[misc]
    """Population based training that copies another trial's job, but for its number."""

    def _get_new_config(self, trial: Any, trial_to_clone: Any) -> tuple[dict[str, Any], Any]:
        config, operations = super()._get_new_config(trial, trial_to_clone)
        config["job"]["number"] = trial.config["job"]["number"]
        return config, operations


class NumberedPBT(_KeepsNumber):
    """Tune's population based training."""


class NumberedPB2(_KeepsNumber, PB2):  # type: ignore[misc]
    """Tune's population based bandits, without the warnings of their few points."""

    def _get_new_config(self, trial: Any, trial_to_clone: Any) -> tuple[dict[str, Any], Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            # Ray hands options to scipy that it will drop
            warnings.filterwarnings("ignore", "scipy.optimize: The `disp`", DeprecationWarning)
            return super()._get_new_config(trial, trial_to_clone)


def make_scheduler(
    kind: str,
    *,
    metric: Metric,
    rungs: Rungs,
    past_trials: Sequence[Trial] = (),
    space: Space | None = None,
    seed: int = 0,
) -> TrialScheduler:
    """Return a Tune scheduler.

    Parameters
    ----------
    past_trials : sequence of Trial
        Of earlier runs of the search. ASHA and the median rule compare with them; brackets and
        populations are of one run.
    space : dict, optional
        Where `pbt` and `pb2` change parameters.
    """
    if kind not in SCHEDULERS:
        raise ValueError(f"scheduler must be one of {', '.join(SCHEDULERS)}, but got {kind!r}.")
    if kind in POPULATION_SCHEDULERS:
        return _make_population_scheduler(kind, space or {}, seed=seed)
    if kind in ("hyperband", "bohb"):
        brackets = RungHyperBandScheduler if kind == "hyperband" else RungBOHBScheduler
        return brackets(
            **_COMMON,
            max_t=rungs.max_resource,
            reduction_factor=REDUCTION_FACTOR,
            stop_last_trials=False,  # the last rung may be below all: those left run to their end
        )
    if kind not in ("asha", "median"):
        return FIFOScheduler()
    scheduler = RungASHAScheduler(rungs.max_resource) if kind == "asha" else RungMedianRule()
    for trial in past_trials:
        points = replay_points(trial.folds, rungs, fidelity=trial.fidelity, metric=metric.name)
        scheduler.replay(
            PastTrial(f"past-{trial.number}"),
            [
                {RESOURCE: resource, OBJECTIVE: maximized_score(score, metric)}
                for resource, score in points
            ],
        )
    return scheduler


def _make_population_scheduler(kind: str, space: Space, *, seed: int) -> TrialScheduler:
    common = _COMMON | {"perturbation_interval": 1, "log_config": False, "require_attrs": False}
    if kind == "pbt":
        return NumberedPBT(**common, custom_explore_fn=make_explorer(space, seed=seed))
    [family] = space
    bounds = {
        name: [parameter.low, parameter.high]
        for name, parameter in changeable_parameters(family, space).items()
    }
    return NumberedPB2(
        **common,
        hyperparam_bounds={"job": {"configuration": {"hyperparameters": bounds}}},
    )


def changeable_parameters(family: str, space: Space) -> dict[str, Float]:
    """Return the parameters of a family that population based training may change, with ranges."""
    return {
        name: parameter
        for name in CHANGEABLE_PARAMETERS[family]
        if isinstance(parameter := space[family].get(name), Float)
    }


def with_changeable_parameters(configuration: Configuration, space: Space) -> Configuration:
    """Return a configuration that names every changeable parameter, within its range."""
    _, params = family_and_params(configuration)
    values: dict[str, ParameterValue] = {
        name: float(np.clip(float(params[name] or 0.0), parameter.low, parameter.high))
        for name, parameter in changeable_parameters(configuration.family, space).items()
    }
    return Configuration(configuration.family, configuration.hyperparameters | values)


def make_explorer(space: Space, *, seed: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return the function that perturbs what `pbt` copies from a better trial.

    Each changeable parameter is multiplied by 0.8 or 1.25, or with probability 0.25 drawn anew; it
    stays in its range.
    """
    rng = np.random.default_rng(seed)

    def draw(parameter: Float) -> float:
        if parameter.log:
            return float(np.exp(rng.uniform(np.log(parameter.low), np.log(parameter.high))))
        return float(rng.uniform(parameter.low, parameter.high))

    def explore(config: dict[str, Any]) -> dict[str, Any]:
        values = config["job"]["configuration"]["hyperparameters"]
        family = config["job"]["configuration"]["family"]
        for name, parameter in changeable_parameters(family, space).items():
            if rng.random() < RESAMPLE_PROBABILITY:
                values[name] = draw(parameter)
            else:
                moved = values[name] * float(rng.choice(PERTURBATION_FACTORS))
                values[name] = min(max(moved, parameter.low), parameter.high)
        return config

    return explore
