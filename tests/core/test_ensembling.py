from dataclasses import replace

import numpy as np
import pytest

from evertune.ensemble.selection import select_ensemble, single_best
from evertune.metrics.metrics import METRICS, custom_metric
from tests.core.pooled import entry, folds_of_rows

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
    said = found.unseen.predictions
    assert RMSE.score(found.unseen.truth, said) == pytest.approx(found.cross_fitted)


def test_where_blends_do_not_help_the_best_entry_stands_alone():
    worse = [entry(k, TRUTH + (k + 1) * NOISE[0], FOLDS) for k in range(3)]
    assert chosen(worse).weights == ((0, 1.0),)


def test_an_entry_that_lacks_a_fold_is_not_looked_at():
    part = entry(7, TRUTH, FOLDS)
    part = replace(part, folds=part.folds[:3])
    assert chosen([*entries(2), part]).single != 7
    assert chosen([part]) is None


def test_an_entry_that_was_cut_short_is_not_looked_at():
    cut = entry(7, TRUTH, FOLDS)
    cut = replace(cut, folds=(replace(cut.folds[0], whole=False), *cut.folds[1:]))
    assert 7 not in chosen([*entries(2), cut]).candidates


def test_an_entry_that_says_what_is_no_number_is_not_looked_at():
    broken = entry(7, np.where(np.arange(N_ROWS) == 3, np.nan, TRUTH), FOLDS)
    assert 7 not in chosen([*entries(2), broken]).candidates


def test_entries_that_were_validated_on_other_rows_are_refused():
    other = entry(7, TRUTH, folds_of_rows(N_ROWS)[::-1])
    other = replace(other, folds=tuple(replace(m, fold=k) for k, m in enumerate(other.folds)))
    with pytest.raises(ValueError, match="validated on the same rows"):
        chosen([*entries(2), other])


def test_networks_have_at_most_half_of_the_weight_on_a_small_table():
    networks = entries(3, scale=0.8, family="neural_network")
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

    def figure(truth, values, _):
        return float(np.abs(values - truth - 1).max())

    guard = custom_metric("near", figure, greater_is_better=False, task="regression")
    assert chosen(bias, guards=[(guard, 0.1)]).weights == ((0, 1.0),)


def test_the_best_single_entry_can_be_taken_alone():
    found = chosen(entries())
    one = single_best(found, entries(), TRUTH)
    assert one.weights == ((found.single, 1.0),)
    assert one.unseen.predictions.values == pytest.approx(TRUTH + NOISE[found.single])


def test_classes_are_blended_by_their_probabilities():
    truth = (DRAWS.random(N_ROWS) < 0.5).astype(float)
    said = np.clip(0.5 + 0.2 * (truth - 0.5) + 0.2 * NOISE[:3], 0.01, 0.99)
    given = [entry(k, said[k], FOLDS, classes=True) for k in range(3)]
    found = select_ensemble(given, truth, METRICS["log_loss"], folds=FOLDS, seed=0)
    assert found.unseen.predictions.probabilities.shape == (N_ROWS, 2)
    assert found.cross_fitted < found.single_score


def test_a_single_part_of_validation_rows_is_crossed_at_random():
    part = folds_of_rows(N_ROWS, 2)[:1]
    given = [entry(k, TRUTH + NOISE[k], part) for k in range(3)]
    assert len(chosen(given, folds=part).weights) == 3


def test_where_labels_are_judged_weights_are_chosen_by_the_log_loss():
    truth = (DRAWS.random(N_ROWS) < 0.2).astype(float)
    said = np.clip(0.2 + 0.2 * (truth - 0.5) + 0.1 * NOISE[:3], 0.01, 0.99)
    given = [entry(k, said[k], FOLDS, classes=True) for k in range(3)]
    by_labels, by_loss = (
        select_ensemble(given, truth, METRICS[name], folds=FOLDS, seed=0)
        for name in ("f1", "log_loss")
    )
    assert by_labels.weights == by_loss.weights
    plain = METRICS["f1"].score(truth, by_labels.unseen.predictions)
    assert by_labels.cross_fitted > plain
