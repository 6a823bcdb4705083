import os

import numpy as np
import pandas as pd
import pytest

from evertune.data.cleaning import prepare_table
from evertune.data.schema import TableSpec
from evertune.errors import EvertuneError, ParamsError
from evertune.models.families import fit_configuration
from evertune.models.model import Model
from evertune.models.persistence import save_model
from evertune.registry.mlflow_client import (
    ModelDescription,
    TrackingStore,
    open_run,
    open_tracking_store,
)
from evertune.registry.versions import make_challenger, predict_existing_model, register_version
from evertune.trials import Configuration

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]  # MLflow's own warnings
RAW = pd.DataFrame({"age": [str(20 + n) for n in range(40)], "left": ["no"] * 20 + ["yes"] * 20})


def saved_model(folder):
    prepared, _ = prepare_table(RAW, TableSpec("left"))
    configuration, schema = Configuration("linear"), prepared.schema
    truth = (prepared.clean["left"] == "yes").to_numpy(dtype=float)
    fitted = fit_configuration(
        configuration, prepared.clean, truth, schema=schema, seed=0, n_jobs=1
    )
    save_model(folder, Model(schema, configuration, fitted, ()))
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> TrackingStore:
    """A registry of its own that holds one version, the challenger."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    root = tmp_path_factory.mktemp("project")
    store = open_tracking_store(root / "state", "churn")
    page = ModelDescription(
        "identity", "", {"age": "string"}, {"prediction": "string"}, RAW[["age"]].head(2), ()
    )
    run_id = open_run(store, "digest", title="run")
    model = saved_model(root / "model")
    version = register_version(store, run_id, model=model, page=page)
    make_challenger(store, version.number)
    return store


@pytest.mark.parametrize("reference", ["models:/churn/1", "models:/churn@challenger"])
def test_the_system_in_use_says_how_likely_the_class_of_interest_is(store, reference):
    said = predict_existing_model(store, reference, table=RAW, positive="yes")
    assert said.between(0, 1).all()
    assert np.corrcoef(said, RAW["age"].astype(float))[0, 1] > 0.9


def test_it_says_classes_where_no_class_is_of_interest(store):
    said = predict_existing_model(store, "models:/churn/1", table=RAW, positive="auto")
    assert set(said) == {"no", "yes"}


def test_a_reference_that_names_no_model_is_refused(store):
    with pytest.raises(ParamsError, match=r"must be models:/NAME/NUMBER .* got 'churn'"):
        predict_existing_model(store, "churn", table=RAW, positive="yes")


@pytest.mark.parametrize("reference", ["models:/churn/7", "models:/churn@nobody"])
def test_a_version_that_does_not_exist_is_told(store, reference):
    with pytest.raises(EvertuneError, match=r"churn|nobody|7"):
        predict_existing_model(store, reference, table=RAW, positive="yes")
