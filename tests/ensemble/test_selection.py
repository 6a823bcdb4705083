from dataclasses import replace

import numpy as np
import pytest

from evertune.ensemble.blend_metrics import blend_to_predictions, make_blend_scorer
from evertune.ensemble.oof import stack_oof
from evertune.ensemble.selection import (
    drop_near_duplicates,
    greedy_weights,
    rank_candidates,
    select_ensemble,
    single_best,
)
from evertune.metrics.metrics import METRICS, custom_metric, metrics_for
from tests.ensemble.pooled import entry, folds_of_rows

N_ROWS = 200
DRAWS = np.random.default_rng(0)
TRUTH = DRAWS.normal(size=N_ROWS)
NOISE = DRAWS.normal(size=(6, N_ROWS))
FOLDS = folds_of_rows(N_ROWS)
RMSE = METRICS["rmse"]


def entries(n=3, scale=1.0, family="linear"):
    return [entry(k, TRUTH + scale * NOISE[k], FOLDS, family=family) for k in range(n)]


def chosen(given, **more):
    return select_ensemble(given, TRUTH, RMSE, **{"folds": FOLDS, "seed": 0} | more)


def test_members_of_unlike_errors_are_better_together():
    found = chosen(entries())
    assert len(found.weights) == 3
    assert sum(weight for _, weight in found.weights) == pytest.approx(1)
    assert found.cross_fitted < found.single_cross_fitted


def test_the_heaviest_member_comes_first():
    found = chosen([*entries(), entry(9, TRUTH + 0.3 * NOISE[4], FOLDS)])
    assert found.weights[0][0] == found.single == 9


def test_what_the_selection_says_of_unseen_rows_scores_what_it_reports():
    found = chosen(entries())
    predicted = found.unseen.predictions
    assert RMSE.score(found.unseen.y_true, predicted) == pytest.approx(found.cross_fitted)


def test_where_blends_do_not_help_the_best_entry_stands_alone():
    worse = [entry(k, TRUTH + (k + 1) * NOISE[0], FOLDS) for k in range(3)]
    assert chosen(worse).weights == ((0, 1.0),)


def unusable():
    whole = entry(7, TRUTH, FOLDS)
    cut = (replace(whole.folds[0], whole=False), *whole.folds[1:])
    missing = np.where(np.arange(N_ROWS) == 3, np.nan, TRUTH)
    return {
        "lacks a fold": replace(whole, folds=whole.folds[:3]),
        "was cut short": replace(whole, folds=cut),
        "predicts NaN": entry(7, missing, FOLDS),
    }


@pytest.mark.parametrize("fault", unusable())
def test_a_trial_that_is_not_whole_is_not_selected(fault):
    trial = unusable()[fault]
    assert 7 not in dict(chosen([*entries(2), trial]).weights)
    assert chosen([trial]) is None


MANY = 2_000
MANY_TRUTH = DRAWS.normal(size=MANY)
MANY_NOISE = DRAWS.normal(size=(6, MANY))
MANY_FOLDS = folds_of_rows(MANY)


def first_fold_only(trial):
    return replace(trial, folds=trial.folds[:1])


def chosen_of_many(*given):
    return select_ensemble(given, MANY_TRUTH, RMSE, folds=MANY_FOLDS, seed=0)


def noisy(number, scale):
    return entry(number, MANY_TRUTH + scale * MANY_NOISE[number], MANY_FOLDS)


def test_trials_with_the_first_fold_alone_are_members_where_they_make_the_model_better():
    found = chosen_of_many(noisy(0, 1.0), *(first_fold_only(noisy(k, 0.5)) for k in (1, 2, 3)))
    assert {1, 2, 3} <= set(dict(found.weights))
    assert sorted(found.unseen.rows) == sorted(MANY_FOLDS[0].validation)
    assert (found.single, found.cross_fitted < found.single_score) == (0, True)


def test_trials_with_the_first_fold_alone_are_left_out_where_they_add_nothing():
    whole = [noisy(k, 0.5) for k in (0, 1, 2)]
    found = chosen_of_many(*whole, first_fold_only(noisy(3, 3.0)))
    assert found.weights == chosen_of_many(*whole).weights
    assert len(found.unseen.rows) == MANY


def test_a_first_fold_that_is_smaller_than_others_chooses_no_weights():
    later = [replace(MANY_FOLDS[0], training=MANY_FOLDS[0].training[:300]), *MANY_FOLDS[1:]]
    given = [noisy(0, 1.0), *(first_fold_only(noisy(k, 0.5)) for k in (1, 2, 3))]
    found = select_ensemble(given, MANY_TRUTH, RMSE, folds=later, seed=0)
    assert found.weights == ((0, 1.0),)


def test_without_a_whole_trial_those_of_the_first_fold_make_the_model_together():
    found = chosen_of_many(*(first_fold_only(noisy(k, 0.5)) for k in (1, 2, 3)))
    assert set(dict(found.weights)) == {1, 2, 3}
    assert chosen_of_many(first_fold_only(noisy(1, 0.5))) is None


def test_entries_that_were_validated_on_other_rows_are_refused():
    other = entry(7, TRUTH, folds_of_rows(N_ROWS)[::-1])
    other = replace(other, folds=tuple(replace(m, fold=k) for k, m in enumerate(other.folds)))
    with pytest.raises(ValueError, match="validated on the same rows"):
        chosen([*entries(2), other])


@pytest.mark.parametrize("family", ["mlp", "embedding_mlp"])
def test_networks_have_at_most_half_of_the_weight_on_a_small_table(family):
    networks = entries(3, scale=0.8, family=family)
    others = [entry(k, TRUTH + 1.2 * NOISE[k], FOLDS) for k in (3, 4)]
    found = chosen([*networks, *others])
    assert sum(weight for number, weight in found.weights if number < 3) <= 0.5


def test_rows_that_no_fold_validates_are_not_asked_for():
    later = FOLDS[2:]
    given = [entry(k, TRUTH + NOISE[k], later) for k in range(2)]
    found = chosen(given, folds=later)
    assert found.unseen.rows.tolist() == list(range(100, N_ROWS))


def test_a_bound_that_the_best_entry_keeps_is_kept_by_the_blend():
    bias = [entry(0, TRUTH + 1.0, FOLDS), entry(1, TRUTH - 1.2 + NOISE[0] / 9, FOLDS)]
    free = chosen(bias)
    assert len(free.weights) == 2

    def figure(y_true, values, _):
        return float(np.abs(values - y_true - 1).max())

    guard = custom_metric("near", figure, greater_is_better=False, task="regression")
    assert chosen(bias, guards=[(guard, 0.1)]).weights == ((0, 1.0),)


def test_the_best_single_entry_can_be_taken_alone():
    found = chosen(entries())
    one = single_best(found, entries(), TRUTH)
    assert one.weights == ((found.single, 1.0),)
    assert one.unseen.predictions.values == pytest.approx(TRUTH + NOISE[found.single])


def test_classes_are_blended_by_their_probabilities():
    y_true = (DRAWS.random(N_ROWS) < 0.5).astype(float)
    predicted = np.clip(0.5 + 0.2 * (y_true - 0.5) + 0.2 * NOISE[:3], 0.01, 0.99)
    given = [entry(k, predicted[k], FOLDS, classes=True) for k in range(3)]
    found = select_ensemble(given, y_true, METRICS["log_loss"], folds=FOLDS, seed=0)
    assert found.unseen.predictions.probabilities.shape == (N_ROWS, 2)
    assert found.cross_fitted < found.single_score


def test_a_single_part_of_validation_rows_is_crossed_at_random():
    part = folds_of_rows(N_ROWS, 2)[:1]
    given = [entry(k, TRUTH + NOISE[k], part) for k in range(3)]
    assert len(chosen(given, folds=part).weights) == 3


def test_where_labels_are_judged_weights_are_chosen_by_the_log_loss():
    y_true = (DRAWS.random(N_ROWS) < 0.2).astype(float)
    predicted = np.clip(0.2 + 0.2 * (y_true - 0.5) + 0.1 * NOISE[:3], 0.01, 0.99)
    given = [entry(k, predicted[k], FOLDS, classes=True) for k in range(3)]
    by_labels, by_loss = (
        select_ensemble(given, y_true, METRICS[name], folds=FOLDS, seed=0)
        for name in ("f1", "log_loss")
    )
    assert by_labels.weights == by_loss.weights
    plain = METRICS["f1"].score(y_true, by_labels.unseen.predictions)
    assert by_labels.cross_fitted > plain


ERROR = NOISE[0]


def stack(*predicted):
    return stack_oof([entry(k, each, FOLDS) for k, each in enumerate(predicted)], TRUTH)


def test_trials_are_ranked_by_their_score():
    given = stack(TRUTH + 3 * ERROR, TRUTH + ERROR, TRUTH + 2 * ERROR)
    assert rank_candidates(given, RMSE, (), searched=[False] * 3).tolist() == [1, 2, 0]


def test_a_searched_entry_that_is_better_by_chance_does_not_come_first():
    better = TRUTH + np.where(np.arange(N_ROWS) < 5, 0.9, 1.0) * ERROR
    given = stack(TRUTH + ERROR, better)
    assert rank_candidates(given, RMSE, (), searched=[False, True]).tolist() == [0, 1]
    assert rank_candidates(given, RMSE, (), searched=[False, False]).tolist() == [1, 0]


def test_a_searched_entry_that_is_clearly_better_comes_first():
    given = stack(TRUTH + ERROR, TRUTH + ERROR / 2)
    assert rank_candidates(given, RMSE, (), searched=[False, True]).tolist() == [1, 0]


def test_an_entry_that_breaks_a_bound_comes_after_a_worse_one_that_keeps_it():
    rare = np.where(np.arange(N_ROWS) % 50 == 0, 5.0, 0.0)
    given = stack(TRUTH + 0.6, TRUTH + rare)
    guard = (METRICS["mae"], 0.3)
    assert rank_candidates(given, RMSE, (), searched=[False] * 2).tolist() == [0, 1]
    assert rank_candidates(given, RMSE, [guard], searched=[False] * 2).tolist() == [1, 0]


@pytest.mark.parametrize(("most", "kept"), [(9, [0, 2]), (1, [0])])
def test_of_two_that_say_nearly_the_same_the_better_is_kept(most, kept):
    given = stack(TRUTH + ERROR, TRUTH + ERROR * 1.001, TRUTH - ERROR)
    assert drop_near_duplicates(given, np.arange(3), most=most).tolist() == kept


@pytest.mark.parametrize(("n_folds", "n_parts"), [(4, 4), (20, 5), (1, 5)])
def test_weights_are_cross_fitted_over_a_few_parts(n_folds, n_parts):
    given = stack_oof([entry(0, TRUTH, folds_of_rows(N_ROWS, n_folds))], TRUTH)
    parts = given.cross_fit_parts(seed=0)
    assert len(parts) == n_parts
    assert sorted(np.concatenate(parts).tolist()) == list(range(N_ROWS))


def test_many_rows_are_drawn_and_keep_their_order():
    given = stack(np.arange(N_ROWS, dtype=float))
    few = given.subsample(30, seed=0)
    assert len(few.rows) == 30
    assert (np.diff(few.rows) > 0).all()
    assert (few.values[0] == few.rows).all()
    assert len(given.subsample(N_ROWS, seed=0).rows) == N_ROWS


BLEND_METRICS_N_ROWS = 400
SAID = {
    "binary": np.round(DRAWS.random((3, BLEND_METRICS_N_ROWS)), 2),
    "multiclass": DRAWS.dirichlet(np.ones(3), (3, BLEND_METRICS_N_ROWS)),
    "regression": DRAWS.normal(size=(3, BLEND_METRICS_N_ROWS)),
}
BLEND_METRICS_TRUTH = {
    "binary": DRAWS.integers(0, 2, BLEND_METRICS_N_ROWS).astype(float),
    "multiclass": DRAWS.integers(0, 3, BLEND_METRICS_N_ROWS).astype(float),
    "regression": DRAWS.normal(3, 1, BLEND_METRICS_N_ROWS),
}
CASES = [(task, metric) for task in SAID for metric in metrics_for(task)]


@pytest.mark.parametrize(("task", "metric"), CASES, ids=lambda part: getattr(part, "name", part))
def test_blends_score_what_the_metric_itself_says(task, metric):
    how = make_blend_scorer(metric, BLEND_METRICS_TRUTH[task])
    scores = how.score(how.view(SAID[task]))
    predicted = [blend_to_predictions(each, classes=task != "regression") for each in SAID[task]]
    figures = [metric.score(BLEND_METRICS_TRUTH[task], each) for each in predicted]
    sign = 1 if metric.greater_is_better else -1
    assert scores == pytest.approx(sign * np.array(figures), abs=2e-4)


def test_a_view_of_a_mean_is_the_mean_of_the_views():
    for metric in metrics_for("regression"):
        view = make_blend_scorer(metric, BLEND_METRICS_TRUTH["regression"]).view
        predicted = SAID["regression"]
        mean = view(predicted.mean(axis=0, keepdims=True))
        assert mean == pytest.approx(view(predicted).mean(axis=0, keepdims=True))


def test_rare_chances_keep_their_order():
    (metric,) = (each for each in metrics_for("binary") if each.name == "roc_auc")
    chances = np.array([[1e-6, 2e-6, 3e-6, 4e-6]])
    how = make_blend_scorer(metric, np.array([0.0, 0.0, 1.0, 1.0]))
    assert how.score(chances).tolist() == [1.0]


def test_a_metric_of_the_users_own_is_asked_whatever_its_name():
    def worst(y_true, values, _):
        return abs(y_true - values).max()

    own = custom_metric("rmse", worst, greater_is_better=False, task="regression")
    how = make_blend_scorer(own, np.array([1.0, 2.0]))
    assert how.score(how.view(np.array([[1.0, 5.0]]))).tolist() == [-3.0]


def test_where_a_metric_is_undefined_the_score_is_the_lowest():
    (metric,) = (each for each in metrics_for("binary") if each.name == "roc_auc")
    how = make_blend_scorer(metric, np.zeros(3))
    assert how.score(np.array([[0.1, 0.2, 0.3]])).tolist() == [-np.inf]


def test_labels_are_told_apart_by_their_log_loss():
    (metric,) = (each for each in metrics_for("binary") if each.name == "accuracy")
    how = make_blend_scorer(metric, np.array([0.0, 1.0]))
    sure, unsure = np.array([[0.1, 0.9], [0.4, 0.6]])
    assert how.score(np.array([sure, unsure])).tolist() == [1.0, 1.0]
    better, worse = how.tie_break(np.array([sure, unsure]))
    assert better > worse


GREEDY_WEIGHTS_RMSE, ACCURACY = METRICS["rmse"], METRICS["accuracy"]


def weights(predicted, y_true, metric=GREEDY_WEIGHTS_RMSE, **limits):
    how = make_blend_scorer(metric, np.array(y_true))
    free = np.zeros(len(predicted), dtype=bool)
    return greedy_weights(how.view(np.array(predicted)), how, **{"capped": free, **limits}).tolist()


def test_members_whose_errors_cancel_out_share_the_weight():
    assert weights([[2.0, 5.0], [0.0, 5.0], [9.0, 9.0]], [1.0, 5.0]) == [0.5, 0.5, 0.0]


def test_a_member_that_cannot_be_helped_stands_alone():
    assert weights([[1.0, 5.0], [0.0, 5.0]], [1.0, 5.0]) == [1.0, 0.0]


def test_a_member_may_be_taken_more_than_once():
    found = weights([[0.0, 0.0], [4.0, 4.0]], [1.0, 1.0])
    assert found == [0.75, 0.25]


def test_of_equal_members_the_first_is_taken():
    assert weights([[1.0, 2.0]] * 3, [0.0, 0.0]) == [1.0, 0.0, 0.0]


def test_equal_labels_are_decided_by_the_log_loss():
    assert weights([[0.4, 0.6], [0.1, 0.9]], [0.0, 1.0], ACCURACY) == [0.0, 1.0]


def test_capped_members_keep_to_their_share():
    predicted, y_true = [[3.0, 3.0], [1.0, 1.0]], [1.0, 1.0]
    capped = np.array([False, True])
    assert weights(predicted, y_true, capped=capped, largest_share=0.5) == [0.5, 0.5]


def test_where_all_are_capped_none_is():
    found = weights([[3.0, 3.0], [1.0, 1.0]], [1.0, 1.0], capped=np.array([True, True]))
    assert found == [0.0, 1.0]


def test_where_no_blend_has_a_score_the_first_member_is_taken():
    assert weights([[0.2, 0.3], [0.1, 0.3]], [0.0, 0.0], METRICS["roc_auc"]) == [1.0, 0.0]


@pytest.mark.parametrize("n_steps", [1, 2, 25])
def test_more_steps_are_never_worse(n_steps):
    draws = np.random.default_rng(0)
    y_true = draws.normal(size=50)
    predicted = y_true + draws.normal(size=(5, 50))
    blend = np.array(weights(predicted, y_true, n_steps=n_steps)) @ predicted
    first = np.array(weights(predicted, y_true, n_steps=1)) @ predicted
    assert ((blend - y_true) ** 2).mean() <= ((first - y_true) ** 2).mean()
