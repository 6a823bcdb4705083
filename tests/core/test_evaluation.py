from dataclasses import replace

import pytest

from evertune.evaluation.records import Evaluation, baseline_row, chosen_simple_model, metric_row
from evertune.files import read_record, write_record


def test_an_evaluation_comes_back_from_disk_as_it_was(evaluation, tmp_path):
    write_record(tmp_path / "figures.json", evaluation)
    assert read_record(tmp_path / "figures.json", Evaluation) == evaluation


def test_rows_are_found_by_name(evaluation):
    assert metric_row(evaluation, "log_loss").holdout == 0.4
    assert baseline_row(evaluation, "zero_rule").kind == "none"


def test_an_unknown_metric_is_refused_with_the_known_ones(evaluation):
    with pytest.raises(ValueError, match=r"Expected a metric .*roc_auc, log_loss.* name='f1'"):
        metric_row(evaluation, "f1")


def test_an_unknown_baseline_is_refused_with_the_known_ones(evaluation):
    with pytest.raises(ValueError, match=r"Expected a baseline .*zero_rule.* name='oracle'"):
        baseline_row(evaluation, "oracle")


@pytest.mark.parametrize(("chosen", "name"), [("model", None), ("simplest:ridge", "ridge")])
def test_the_simplest_model_is_named_where_it_was_chosen(evaluation, chosen, name):
    assert chosen_simple_model(replace(evaluation, chosen=chosen)) == name
