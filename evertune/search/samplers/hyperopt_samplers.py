"""Samplers of Hyperopt: TPE over nested choices, and adaptive TPE in the cube of a family."""

import datetime
import math
import random
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from evertune.search.configurations import clip_value, draw_values, nearest_values
from evertune.search.samplers.base import PointSampler, SearchProblem, observations
from evertune.search.samplers.unit_cube import UnitCube
from evertune.search.samplers.vector_samplers import VectorSampler, library_call
from evertune.search.space import Choice, Integer, Parameter, Parameters, Space
from evertune.search.study import Study
from evertune.trials import Configuration, ParameterValue
from evertune.types import FloatArray

STARTUP_TRIALS = 10  # that are drawn at random before TPE takes over
MOMENT = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)  # Hyperopt wants one; it is not used


class HyperoptTpeSampler(PointSampler):
    """Hyperopt's TPE over the families as `hp.choice`, each with its parameters inside.

    A condition is a choice inside the choice: a parameter that needs a value of another one stands
    under this value. What TPE learns from is made of the study's trials at each proposal, by
    `base.observations`.
    """

    def __init__(self, problem: SearchProblem) -> None:
        from hyperopt.base import Domain

        super().__init__(problem)
        self._domain = Domain(lambda _: 0.0, nested_choices(self.space))
        self._labels = sorted(self._domain.params)

    def propose(self, study: Study) -> Configuration:
        """Return the point with the greatest expected improvement of some that TPE draws."""
        from hyperopt import tpe

        rng = self.random_generator(study)
        known = observations(self.known_trials(study), self.pending.values(), self.metric)
        trials = _hyperopt_trials(
            [(self._values(each.point), -each.score) for each in known], self._labels
        )
        with library_call():
            (document,) = tpe.suggest(
                [len(known)],
                self._domain,
                trials,
                int(rng.integers(2**31)),
                n_startup_jobs=STARTUP_TRIALS,
                verbose=False,
            )
        found = {name: each[0] for name, each in document["misc"]["vals"].items() if len(each)}
        return self.mutate_known(study, self._configuration(found), rng)

    def _values(self, point: Configuration) -> dict[str, float | int]:
        """Return a configuration as Hyperopt writes it: choices by their number."""
        parameters = self.space[point.family]
        values: dict[str, float | int] = {"family": list(self.space).index(point.family)}
        for name, value in nearest_values(point, self.space).items():
            part = parameters[name]
            values[f"{point.family}.{name}"] = (
                part.values.index(value) if isinstance(part, Choice) else _number(value)
            )
        return values

    def _configuration(self, found: dict[str, Any]) -> Configuration:
        family = list(self.space)[int(found["family"])]

        def value(name: str, parameter: Parameter) -> ParameterValue:
            chosen = found[f"{family}.{name}"]
            if isinstance(parameter, Choice):
                return parameter.values[int(chosen)]
            return clip_value(float(chosen), parameter)

        return Configuration(family, draw_values(self.space[family], value))


class HyperoptAtpeSampler(VectorSampler):
    """Hyperopt's adaptive TPE, family by family.

    Models that were trained on other searches choose the settings of TPE, and which parameters keep
    the value of a good trial. They are LightGBM's and are read once. Hyperopt draws from the
    global generators of `random` and `numpy.random`, which are seeded for the call and restored.
    """

    def __init__(self, problem: SearchProblem) -> None:
        from hyperopt.atpe import ATPEOptimizer

        super().__init__(problem)
        with library_call():
            self._optimizer = ATPEOptimizer()

    def suggest(
        self, cube: UnitCube, X: FloatArray, y: FloatArray, rng: np.random.Generator
    ) -> FloatArray:
        """Return the point that adaptive TPE recommends."""
        losses = y.max() - y + 0.1  # its models know losses above 0
        names = [f"x{number:03}" for number in range(cube.n_dimensions)]
        properties: dict[str, Any] = {}
        for name, n in zip(names, cube.n_choices, strict=True):
            number = {"type": "number", "scaling": "linear", "mode": "uniform", "min": 0, "max": 1}
            choice = {"type": "string", "enum": list(range(n or 0))}
            properties[name] = (number if n is None else choice) | {"name": name}
        results = [
            {"trial": number, "status": "ok", "loss": float(loss), "log": "", "time": 0.0}
            | dict(zip(names, cube.to_mixed(x), strict=True))
            for number, (x, loss) in enumerate(zip(X, losses, strict=True))
        ]
        from scipy.stats import ConstantInputWarning

        with seeded_globals(int(rng.integers(2**31))), warnings.catch_warnings():
            # it correlates scores with each parameter, also with one that did not vary so far
            warnings.simplefilter("ignore", ConstantInputWarning)
            found = self._optimizer.recommendNextParameters(
                {"type": "object", "properties": properties}, results, currentTrials=[]
            )
        return cube.from_mixed([found[name] for name in names])


def nested_choices(space: Space) -> Any:
    """Return a space as Hyperopt's expression: a choice of families with their parameters inside.

    A parameter is labelled `family.parameter`. One with a condition stands in the branches of the
    choice that it depends on, the same node in each.
    """
    from hyperopt import hp

    return hp.choice("family", [_family_node(family, part) for family, part in space.items()])


def _family_node(family: str, parameters: Parameters) -> dict[str, Any]:
    """Return the parameters without a condition; the others stand under what they depend on."""
    nodes: dict[str, Any] = {}
    inner: dict[str, list[str]] = {}
    top: list[str] = []
    for name, part in parameters.items():
        if part.when is not None and part.when.name in parameters:
            inner.setdefault(part.when.name, []).append(name)
        else:
            top.append(name)

    def node(name: str) -> Any:
        if name not in nodes:
            nodes[name] = make(name)
        return nodes[name]

    def make(name: str) -> Any:
        part, label = parameters[name], f"{family}.{name}"
        if not isinstance(part, Choice):
            return _number_node(label, part)
        branches = []
        for value in part.values:
            held = [
                other
                for other in inner.get(name, ())
                if (when := parameters[other].when) is not None and value in when.values
            ]
            branches.append({"value": value} | {other: node(other) for other in held})
        from hyperopt import hp

        return hp.choice(label, branches)

    return {name: node(name) for name in top}


def _number_node(label: str, part: Parameter) -> Any:
    from hyperopt import hp

    if isinstance(part, Choice):
        raise TypeError(f"{label} is a choice.")
    if isinstance(part, Integer):
        low, high = part.low - 0.5, part.high + 0.5
        if part.log:
            return hp.qloguniform(label, math.log(low), math.log(high), 1)
        return hp.quniform(label, low, high, 1)
    if part.log:
        return hp.loguniform(label, math.log(part.low), math.log(part.high))
    return hp.uniform(label, part.low, part.high)


def _hyperopt_trials(
    known: Sequence[tuple[dict[str, float | int], float]], labels: Sequence[str]
) -> Any:
    from hyperopt import Trials
    from hyperopt.base import JOB_STATE_DONE, STATUS_OK

    trials = Trials()
    documents = [
        {
            "state": JOB_STATE_DONE,
            "tid": number,
            "spec": None,
            "result": {"loss": loss, "status": STATUS_OK},
            "misc": {
                "tid": number,
                "cmd": ("domain_attachment", "FMinIter_Domain"),
                "workdir": None,
                "idxs": {name: [number] if name in values else [] for name in labels},
                "vals": {name: [values[name]] if name in values else [] for name in labels},
            },
            "exp_key": None,
            "owner": None,
            "version": 0,
            "book_time": MOMENT,
            "refresh_time": MOMENT,
        }
        for number, (values, loss) in enumerate(known)
    ]
    trials.insert_trial_docs(documents)
    trials.refresh()
    return trials


@contextmanager
def seeded_globals(seed: int) -> Iterator[None]:
    """Seed Python's and NumPy's global generators for a block, and restore them after it."""
    own, arrays = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        random.setstate(own)
        np.random.set_state(arrays)


def _number(value: ParameterValue) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
