import subprocess
import sys
import time

import numpy as np
import pytest

from evertune.models.families import fit_encoded
from evertune.models.network import Network
from evertune.models.predictor_files import dump_predictor
from evertune.trials import Configuration
from tests.models.families import context, encoded_rows

pytest.importorskip("torch", reason="PyTorch, which the extra `neural` brings, is not installed")

WITHOUT_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, *_):
        if name == "torch":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NoTorch())
import numpy as np
from evertune.models.predictor_files import load_predictor
with open(sys.argv[1], "rb") as file:
    print(load_predictor("skops", file.read()).predict(np.zeros((1, 3))).shape)
"""


def fit(task="regression", params=None, n=400, n_ordinal=1, **values):
    X, y = encoded_rows(task, n)
    configuration = Configuration("embedding_mlp", params or {})
    return fit_encoded(configuration, X, y, context(task, n_ordinal=n_ordinal, **values))


@pytest.mark.parametrize(
    "params",
    [
        {"solver": "sgd", "learning_rate": 0.03},
        {"solver": "nadam", "activation": "silu"},
        {"activation": "tanh", "learning_rate_schedule": "coslog4"},
        {"embedding_dim": 1, "dropout": 0.0},
    ],
)
def test_a_network_learns_with_every_option(params):
    X, y = encoded_rows("regression")
    assert np.corrcoef(fit(params=params).predictor.predict(X), y)[0, 1] > 0.85


def test_a_prediction_needs_no_torch(tmp_path):
    (tmp_path / "network").write_bytes(dump_predictor(fit(iterations=2).predictor)[1])
    path = str(tmp_path / "network")
    command = [sys.executable, "-c", WITHOUT_TORCH, path]
    printed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "(1,)"


def test_the_arrays_predict_what_torch_predicts():
    import torch

    network = fit(iterations=2, params={"activation": "silu"}).predictor
    X = np.array([[2.0, 0.3, -1.0]])
    passed = torch.tensor(np.hstack([network.tables[0][2], X[0, 1:]]), dtype=torch.float32)
    for weights, biases in zip(network.weights[:-1], network.biases[:-1], strict=True):
        raw = passed @ torch.tensor(weights) + torch.tensor(biases)
        passed = torch.nn.functional.silu(raw)
    last = passed @ torch.tensor(network.weights[-1]) + torch.tensor(network.biases[-1])
    assert network.predict(X)[0] == pytest.approx(
        float(last) * network.spread + network.centre, rel=1e-5
    )


def test_a_level_that_was_never_seen_has_the_last_row_of_its_table():
    network = fit(iterations=2).predictor
    missing, beyond = network.predict(np.array([[np.nan, 0.0, 0.0], [99.0, 0.0, 0.0]]))
    assert missing == beyond
    assert (network.tables[0][-1] == 0).all()


def test_numbers_alone_are_learned_from():
    assert isinstance(fit(n_ordinal=0, iterations=2).predictor, Network)


def test_a_fit_checks_its_deadline_between_batches():
    result = fit(n=20_000, deadline=time.monotonic() + 0.3)
    assert not result.whole


def test_a_fit_leaves_the_draws_of_torch_as_they_were():
    import torch

    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    fit(iterations=1)
    assert torch.rand(1) == expected
