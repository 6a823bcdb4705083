import json

import numpy as np
import pandas as pd
import pytest

from evertune.data.schema import Column, TableSchema
from evertune.errors import InputError
from evertune.models.families import fit_configuration
from evertune.models.model import Ensemble, EnsembleMember, Model, predict
from evertune.models.persistence import load_model, save_model
from evertune.trials import Configuration

FAMILIES = ("lightgbm", "linear", "xgboost", "catboost")
COLUMNS = (Column("age", "number"), Column("plan", "category", ("a", "b")))
DRAWS = np.random.default_rng(0)
TABLE = pd.DataFrame({"age": DRAWS.normal(size=120), "plan": DRAWS.choice(["a", "b"], 120)})
CLASSES = {"binary": ("no", "yes"), "regression": ()}
ENDINGS = {"lightgbm": "txt", "linear": "skops", "xgboost": "ubj", "catboost": "cbm"}


def model(task="binary"):
    schema = TableSchema(COLUMNS, "left", task, CLASSES[task])
    truth = np.arange(120.0) % (2 if schema.classes else 120)

    def fitted(family, fold):
        rows = np.arange(120) // 60 == fold
        one = Configuration(family)
        return fit_configuration(one, TABLE[rows], truth[rows], schema=schema, seed=0, n_jobs=1)

    members = tuple(
        EnsembleMember(
            Configuration(family), 0.25, (fitted(family, 0), fitted(family, 1)), (3, None)
        )
        for family in FAMILIES
    )
    ensemble = Ensemble(members, 1.3, 0.4 if schema.classes else None)
    return Model(schema, members[0].configuration, ensemble, ("0" * 16,))


@pytest.mark.parametrize("task", CLASSES)
def test_an_ensemble_says_the_same_when_it_was_read_back(tmp_path, task):
    made = model(task)
    save_model(tmp_path / "model", made)
    back = load_model(tmp_path / "model")
    said = [predict(each.fitted, TABLE, each.schema) for each in (made, back)]
    assert (said[0].values == said[1].values).all()
    assert np.array_equal(said[0].probabilities, said[1].probabilities)


def test_the_card_tells_members_weights_and_iterations(tmp_path):
    save_model(tmp_path / "model", model())
    card = json.loads((tmp_path / "model" / "model.json").read_text())["ensemble"]
    assert [each["configuration"]["family"] for each in card["members"]] == list(FAMILIES)
    assert {each["weight"] for each in card["members"]} == {0.25}
    assert card["members"][0]["iterations"] == [3, None]
    assert (card["temperature"], card["threshold"]) == (1.3, 0.4)


def test_each_predictor_stands_in_its_librarys_format(tmp_path):
    save_model(tmp_path / "model", model())
    for place, family in enumerate(FAMILIES):
        assert (tmp_path / "model" / f"predictor_{place}_1.{ENDINGS[family]}").exists()


def test_encoders_that_members_share_are_written_once(tmp_path):
    made = model()
    first = made.fitted.members[0]
    twice = Ensemble((first, EnsembleMember(first.configuration, 1.0, first.fitted)))
    save_model(tmp_path / "model", Model(made.schema, made.configuration, twice, ()))
    assert len(list((tmp_path / "model").glob("encoder_*"))) == 2


def test_a_folder_that_lacks_a_predictor_is_refused(tmp_path):
    save_model(tmp_path / "model", model())
    (tmp_path / "model" / "predictor_2_0.ubj").unlink()
    with pytest.raises(
        InputError, match=r"predictor_2_0.ubj does not exist, so the model's folder"
    ):
        load_model(tmp_path / "model")
