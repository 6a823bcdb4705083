"""The loader of registered models, which MLflow calls.

MLmodel of every registered version names this module as its `loader_module`, so it never moves.
A copy of it and of the modules that it reaches is in each version's own `code` folder
(`evertune.registry.packaging`): a version loads and predicts where no Evertune is installed. For
that reason this module imports nothing of MLflow, and little of Evertune.
"""

from pathlib import Path

from evertune.models.persistence import ServedModel, load_model

LOADER_MODULE = "evertune.registry.pyfunc"


def _load_pyfunc(path: str) -> ServedModel:
    return ServedModel(load_model(Path(path)))
