import json

import pytest

from evertune.data.folds import folds_from_table
from evertune.errors import ParamsError
from evertune.files import read_table
from evertune.models.origin import ModelOrigin, TrialWeight
from evertune.models.persistence import load_model, save_model
from evertune.search.trial_log import save_entry
from tests.core.pooled import entry
from tests.test_evaluate import SCHEMAS, evaluate, make_inputs

SECTION = {
    "slices": ("plan",),
    "sensitive": ("plan", "sex"),
    "costs": {"yes": {"no": 5.0}, "no": {"yes": 1.0}},
    "purpose": "Offer a discount.",
    "slice_rows": 30,
}


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    made = make_inputs(tmp_path_factory.mktemp("project"), SCHEMAS["binary"], "lightgbm")
    training = read_table(made.training)
    said = (training["usage"].abs() / 4).clip(0, 1).to_numpy()
    for number in (0, 1):
        folds = folds_from_table(read_table(made.folds))
        save_entry(made.pool, entry(number, said * (1 - number / 9), folds, classes=True))
    model = load_model(made.model)
    weights = (TrialWeight(0, "lightgbm", 0.6), TrialWeight(1, "lightgbm", 0.4))
    save_model(made.model, model, origin=ModelOrigin("ensemble", "complex", weights=weights))
    return made


@pytest.fixture(scope="module")
def found(paths):
    return evaluate(paths, section=SECTION)


def test_the_figures_over_the_folds_are_those_of_the_ensemble(found):
    assert found.folds_of == "ensemble"
    assert found.metrics[0].folds != pytest.approx(found.metrics[0].member_folds)


def test_declared_slices_are_judged_and_a_sensitive_column_has_a_gap(found):
    rows = [row for row in found.slices if row.column == "plan"]
    assert {row.value for row in rows} == {"basic", "pro"}
    assert all(row.sensitive and row.rate_gap is not None for row in rows)


def test_a_declared_column_that_is_not_there_is_told(found):
    assert any(text.startswith("'sex' was declared") for text in found.unknowns)


def test_the_cheapest_threshold_was_chosen_out_of_fold(found):
    row = next(each for each in found.decisions if each.name == "cheapest threshold")
    assert row.chosen_on == "training rows that the fold models did not see"
    assert row.cost < found.decisions[0].cost + 1


def test_the_data_card_knows_what_the_source_had_and_no_model_sees(found):
    assert found.data[0].excluded[0].column == "constant"
    assert [side.rows for side in found.data[0].sides] == [400, 200]


def test_numbers_for_dvc_stand_under_names_and_the_evidence_in_lists(found, paths):
    assert found.purpose == "Offer a discount."
    written = json.loads(paths.figures.read_text())
    lists = ("data", "phases", "slices", "decisions", "contributions", "story", "unknowns")
    assert all(isinstance(written[name], list) for name in lists)
    assert written["holdout"]["roc_auc"] > 0.5


def test_costs_of_a_class_that_there_is_not_are_refused(paths):
    with pytest.raises(ParamsError, match=r"evaluation.costs: .* but got \['maybe'\]"):
        evaluate(paths, section={"costs": {"maybe": {"no": 1.0}}})
