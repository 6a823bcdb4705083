import pytest

from evertune.models.families import COMMON_DEFAULTS, FAMILIES
from evertune.search.portfolio import default_portfolio
from evertune.search.space import DEFAULT_SPACES
from evertune.trials import Configuration
from tests.search.studies import evaluate, make_study, play

SEARCHED = ("linear", "lightgbm", "extra_trees")
SIZES = (("binary", 500, 2), ("multiclass", 8_000, 7), ("regression", 100_000, 0))


def timed_jobs(n, seconds=1000.0):
    study, jobs = make_study(SEARCHED, seconds=seconds), []
    for _ in range(n):
        jobs.append(study.ask())
        evaluate(study, jobs[-1], 1.0)
    return jobs


def test_the_cheapest_default_runs_on_all_folds_and_others_on_one_until_they_prove_cheap():
    first, second, third = timed_jobs(3)
    assert (first.configuration.family, first.folds) == ("linear", (0, 1, 2))
    assert second.folds == (0,)
    assert (third.number, third.folds) == (second.number, (1, 2))


def test_warm_starts_stand_before_the_portfolio():
    start = Configuration("extra_trees", {"max_features": 0.5, "min_samples_leaf": 4})
    assert make_study(SEARCHED, trials=3, warm_starts=(start,)).ask().configuration == start


def test_after_the_portfolio_families_that_the_ensemble_uses_are_searched():
    study = make_study(SEARCHED, trials=40)
    while (job := study.ask()).phase == "portfolio":
        evaluate(study, job, 1.0)
    assert job.configuration.family in SEARCHED
    assert job.folds == (0, 1, 2)


def test_a_worker_that_cannot_be_killed_gets_no_family_that_cannot_keep_a_deadline():
    unending = {name for name, family in FAMILIES.items() if family.ignores_deadline}
    study = make_study(("linear", *unending - {"zero_rule"}), trials=40)
    jobs = []
    while len(jobs) < 20 and (job := study.ask(killable=False)) is not None:
        jobs.append(job)
        evaluate(study, job, 1.0)
    assert {job.configuration.family for job in jobs} == {"linear"}


def test_nothing_is_proposed_when_the_time_is_over():
    study = make_study(SEARCHED, seconds=0.0)
    assert study.exhausted
    assert study.ask() is None


def test_every_fit_has_a_share_of_the_workers_time():
    study = make_study(SEARCHED, seconds=300.0)
    study.workers = 2
    assert study.ask().fold_seconds == pytest.approx(0.2 * 2 * 300 / 3)


@pytest.mark.parametrize(("task", "n_rows", "n_classes"), SIZES)
def test_a_portfolio_is_diverse_starts_cheap_and_names_what_its_families_take(
    task, n_rows, n_classes
):
    points = default_portfolio(task, n_rows, 10, n_classes)
    families = [point.family for point in points]
    assert families[0] == "linear"
    assert {"lightgbm", "catboost", "xgboost"} <= set(families)
    assert len({str(point) for point in points}) == len(points)
    for point in points:
        known = COMMON_DEFAULTS | FAMILIES[point.family].defaults
        assert point.hyperparameters.keys() <= known.keys()


@pytest.mark.parametrize(("n_rows", "used"), [(20_000, True), (20_001, False)])
def test_nearest_neighbours_are_for_tables_of_few_rows(n_rows, used):
    families = [point.family for point in default_portfolio("binary", n_rows, 10, 2)]
    assert ("knn" in families) == used


def test_a_search_ends_if_every_default_failed():
    study = make_study(("linear",), trials=40)
    while (job := study.ask()) is not None:
        evaluate(study, job, None, failed=True)
    assert study.exhausted
    assert len(study.trials) < 10


def test_a_search_that_was_killed_after_its_defaults_goes_on():
    first = make_study(("linear",), trials=3)
    while (job := first.ask()) is not None:
        evaluate(first, job, 1.0)
    second = make_study(("linear",), trials=5, past=first.trials)
    assert [second.ask().phase, second.ask().phase] == ["search", "search"]


def test_each_of_a_few_named_families_is_tried():
    study = make_study(("linear", "tree", "naive_bayes"), trials=12)
    tried = set()
    while (job := study.ask()) is not None:
        tried.add(job.configuration.family)
        evaluate(study, job, 1.0)
    assert tried == {"linear", "tree", "naive_bayes"}


def test_with_all_families_the_weak_ones_are_left_to_those_who_name_them():
    points = play(make_study(tuple(DEFAULT_SPACES), trials=30))
    assert len(points) == 30
    assert not {point.family for point in points} & {"tree", "svm", "naive_bayes"}


def test_families_without_a_strong_default_begin_with_their_own():
    points = play(make_study(("tree", "naive_bayes"), trials=6))
    assert {point.family for point in points[:2]} == {"tree", "naive_bayes"}
    assert len(points) == 6
