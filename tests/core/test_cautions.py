from dataclasses import replace

from evertune.evaluation.model_card import usage_cautions
from evertune.evaluation.slices import SliceRow


def told(evaluation, **changed):
    return " ".join(usage_cautions(replace(evaluation, **changed)))


def test_slices_that_were_found_warn_who_decides_about_their_rows(evaluation):
    rows = (SliceRow("plan", "pro", 90, figure=0.6, found=True),)
    assert "(ROC AUC: plan pro: 0.600)" in told(evaluation, slices=rows)


def test_a_gap_between_values_of_a_sensitive_column_is_told(evaluation):
    rows = (SliceRow("sex", "f", 90, share=0.2, rate_gap=0.123, sensitive=True),)
    assert "values of 'sex' alike" in told(evaluation, slices=rows)
    assert "by up to 12.3 points" in told(evaluation, slices=rows)


def test_a_class_that_is_mostly_missed_is_told(evaluation):
    text = told(evaluation, confusion=((150, 10), (30, 10)))
    assert "Whoever needs every 'yes': 30 of 40 such rows" in text


def test_a_model_that_guessing_matches_warns_everybody(evaluation):
    weak = tuple(replace(row, low=-0.1) for row in evaluation.baselines)
    assert told(evaluation, baselines=weak).startswith("Anybody, on this evidence")
