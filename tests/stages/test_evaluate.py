import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evertune.config.schema import (
    CustomMetric,
    DataSection,
    EvaluationSection,
    FitSection,
    MetricSection,
    MonitoringSection,
    PathsSection,
    SearchSection,
    SplitSection,
)
from evertune.data.folds import Fold, folds_from_table, folds_to_table
from evertune.data.schema import Column, TableSchema, encode_target
from evertune.data.training_windows import TrainingWindow
from evertune.errors import InputError, ParamsError
from evertune.evaluation.baselines import BaselineResult
from evertune.evaluation.evaluation_record import (
    Evaluation,
    baseline_row,
    chosen_model_metrics,
    metric_row,
)
from evertune.evaluation.formatting import format_score, metric_name
from evertune.evaluation.heuristics import Rule
from evertune.files import (
    append_line,
    digest_files,
    read_lines,
    read_record,
    read_table,
    write_record,
    write_table,
)
from evertune.metrics.metrics import compute_metrics, metrics_for
from evertune.models.families import fit_configuration
from evertune.models.fitted_model import Model
from evertune.models.persistence import load_model, predict_rows, save_model
from evertune.models.provenance import ModelOrigin, TrialWeight, WindowChoice, WindowFit
from evertune.monitoring.reference import load_reference
from evertune.plan import Plan
from evertune.registry.mlflow_pages import evaluation_metrics
from evertune.search.trial_log import save_entry
from evertune.stages.evaluate import summary_line
from evertune.trials import Configuration, FoldResult, SearchHeader, Trial
from evertune.types import take_rows
from pipelines.evaluate import run
from tests.ensemble.pooled import entry

pytestmark = pytest.mark.slow  # seconds each, or processes of its own

FEATURES = (Column("usage", "number"), Column("noise", "number"), Column("plan", "category"))
SEARCH = {"budget_seconds": None, "budget_trials": 1, "families": ("linear",), "workers": 1}
SECTION = EvaluationSection(bootstrap_draws=100, importance_rows=200, importance_repeats=2)
SCHEMAS = {
    "binary": TableSchema(FEATURES, "churned", "binary", ("no", "yes"), human="human"),
    "multiclass": TableSchema(FEATURES, "level", "multiclass", ("high", "low", "middle")),
    "regression": TableSchema(FEATURES, "amount", "regression"),
}
MAIN = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}


def table(schema, n_rows, seed):
    random = np.random.default_rng(seed)
    usage, noise = random.normal(size=n_rows), random.normal(size=n_rows)
    signal = usage**2 + 0.5 * random.normal(size=n_rows)
    targets = {
        "binary": np.where(signal > 1, "yes", "no"),
        "multiclass": np.array(["low", "middle", "high"])[np.digitize(signal, [0.4, 1.5])],
        "regression": signal,
    }
    plans = random.choice(["basic", "pro"], n_rows)
    columns = {"usage": usage, "noise": noise, "plan": pd.Series(plans, dtype=str)}
    human = pd.Series(np.where(np.arange(n_rows) % 4 == 0, None, "no"), dtype=str)
    roles = {"human": human} if schema.human else {}
    keys = [f"{seed}{row:015x}" for row in range(n_rows)]
    return pd.DataFrame({**columns, **roles, schema.target: targets[schema.task], "row_key": keys})


def model(family, rows, schema):
    configuration = Configuration(family)
    truth = encode_target(rows, schema)
    fitted = fit_configuration(configuration, rows, truth, schema=schema, seed=0, n_jobs=1)
    return Model(schema, configuration, fitted, tuple(rows["row_key"]))


def write_baselines(folder: Path, training, schema, *, blind):
    """Write baselines; the simplest models see what matters if they are not blind: the tree."""
    kinds = {"uniform_random": "none", "zero_rule": "none", "heuristic": "none"}
    kinds |= {"human": "given"} if schema.human else {}
    kinds |= {"linear_model": "model", "small_tree": "model"}
    known = tuple(
        BaselineResult(name, kind, f"what {name} does", (), {}, 0.0, 0.0)
        for name, kind in kinds.items()
    )
    write_record(folder / "baselines.json", known)
    blinded = training.assign(usage=training["noise"].sample(frac=1, random_state=0).to_numpy())
    for name, family in {"linear_model": "linear", "small_tree": "tree"}.items():
        rows = training if family == "tree" and not blind else blinded
        save_model(folder / "models" / name, model(family, rows, schema))
    shares = ((1 / 3,) * 3,) * 3 if schema.task == "multiclass" else ((0.5, 0.5),) * 3
    answers = () if schema.task == "regression" else shares
    write_record(folder / "rule.json", Rule("usage", 1.0, (), None, (0.0, 0.0, 1.0), answers))


def write_trials(path: Path, metric, family):
    append_line(path, json.dumps(asdict(SearchHeader("digest", metric, True, 3, 5.0, None))))
    results = [FoldResult(fold, {metric: 0.8 + fold / 100}, 0.1, 0.1) for fold in range(3)]
    trial = Trial(0, Configuration(family), "complete", tuple(results), 0.81, None, 4.0)
    append_line(path, json.dumps(asdict(trial)))


def make_inputs(root: Path, schema, family, n_rows=400, blind=True):
    """Write what the earlier stages would; blind simplest models never saw what matters."""
    (root / "params.yaml").touch()
    fields = {field.alias or name: name for name, field in PathsSection.model_fields.items()}
    paths = PathsSection(**{field: root / "data" / name for field, name in fields.items()})
    training = table(schema, n_rows, 0)
    holdout = table(schema, n_rows // 2, 1)
    write_table(paths.training, training)
    write_table(paths.holdout, holdout)
    source = pd.concat([training, holdout], ignore_index=True).drop(columns="row_key")
    write_table(paths.source, source.assign(constant="x"))
    write_table(paths.clean, source)
    write_record(paths.plan, Plan())
    rows = np.arange(n_rows)
    parts = [Fold(rows[rows % 3 != k], rows[rows % 3 == k]) for k in range(3)]
    write_table(paths.folds, folds_to_table(parts, n_rows))
    save_model(paths.model, model(family, training, schema))
    write_baselines(paths.baselines, training, schema, blind=blind)
    write_trials(paths.trials, MAIN[schema.task], family)
    return paths


def evaluate(paths, nested=False, section=None, **metric):
    schema = load_model(paths.model).schema
    run(
        paths=paths,
        data=DataSection(source="example", target=schema.target, human_column=schema.human),
        split=SplitSection(),
        metric=MetricSection(**metric),
        search=SearchSection(**SEARCH),
        fit=FitSection(),
        evaluation=SECTION.model_copy(update={"nested": nested, **(section or {})}),
        monitoring=MonitoringSection(),
    )
    return read_record(paths.figures, Evaluation)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("inputs"), SCHEMAS["binary"], "lightgbm")


@pytest.fixture(scope="module")
def evaluated(prepared, tmp_path_factory):
    paths = copy_inputs(prepared, tmp_path_factory.mktemp("binary"))
    return paths, evaluate(paths)


@pytest.fixture(scope="module", params=["binary", "multiclass", "regression"])
def every_task(request, tmp_path_factory):
    if request.param == "binary":
        return request.getfixturevalue("evaluated")
    paths = make_inputs(tmp_path_factory.mktemp("project"), SCHEMAS[request.param], "lightgbm")
    return paths, evaluate(paths)


@pytest.fixture
def paths(prepared, tmp_path):
    """The inputs of a binary model, to be changed."""
    return copy_inputs(prepared, tmp_path)


def copy_inputs(paths, folder):
    root = paths.model.parent.parent
    shutil.copytree(root, folder, dirs_exist_ok=True)
    fields = {field.alias or name: name for name, field in PathsSection.model_fields.items()}
    return PathsSection(
        **{alias: folder / getattr(paths, name).relative_to(root) for alias, name in fields.items()}
    )


def test_every_score_stands_beside_a_baseline_with_an_interval(every_task):
    _, found = every_task
    row = found.metrics[0]
    assert row.name == MAIN[found.task]
    assert row.lift_low < row.lift < row.lift_high


def test_the_holdout_is_scored_and_no_row_is_lost(every_task):
    _, found = every_task
    counted = sum(map(sum, found.confusion))
    assert (found.n_training, found.n_holdout) == (400, 200)
    assert counted == (0 if found.task == "regression" else 200)


def test_people_are_compared_on_the_rows_that_they_predicted(every_task):
    _, found = every_task
    if found.task == "binary":
        row = baseline_row(found, "human")
        assert (row.n_rows, row.lift) == (150, None)  # ROC AUC needs probabilities
        assert row.holdout["balanced_accuracy"] == 0.5


def test_the_model_relies_on_the_column_that_the_target_was_made_from(every_task):
    _, found = every_task
    assert found.importance[0].column == "usage"


def test_the_pictures_fit_the_task_and_are_all_on_the_page(every_task):
    paths, found = every_task
    common = {"baselines", "importance", "contributions", "search_best", "search_budget"}
    of_classes = {"confusion", "roc", "precision_recall", "calibration"}
    of_two = {"thresholds"} if found.task == "binary" else set()
    expected = {"predicted", "residuals"} if found.task == "regression" else of_classes | of_two
    drawn = {path.stem for path in paths.plots.iterdir()}
    assert drawn - {"slices"} == common | expected
    assert (paths.report / "report.html").read_text().count("<img") == len(drawn)


def test_the_scores_on_the_folds_are_those_of_the_trial_that_won(every_task):
    _, found = every_task
    row = found.metrics[0]
    assert row.folds == pytest.approx(0.81)
    assert row.folds_low < 0.81 < row.folds_high


def test_the_same_inputs_give_the_same_bytes_and_the_summary_is_printed(evaluated, paths, capsys):
    found = evaluate(paths)
    digests = [
        digest_files([each.figures, each.plots, each.report, each.reference])
        for each in (evaluated[0], paths)
    ]
    assert digests[0] == digests[1]
    printed = capsys.readouterr().out.splitlines()[-1]
    assert printed.startswith(
        f"On the hold-out the search's model has ROC AUC {found.holdout['roc_auc']:.3f}, the best"
    )
    assert printed.endswith(found.reasons[0])


def test_a_model_that_is_one_of_the_simplest_gives_way_to_it(tmp_path):
    found = evaluate(make_inputs(tmp_path, SCHEMAS["binary"], "tree", blind=False))
    assert found.chosen == "simplest:small_tree"


@pytest.fixture(scope="module", params=["binary", "multiclass", "regression"])
def simplest_in_use(request, tmp_path_factory):
    """A search that found a linear model, where a small tree is far better."""
    root = tmp_path_factory.mktemp("simplest")
    paths = make_inputs(root, SCHEMAS[request.param], "linear", blind=False)
    metric = "balanced_accuracy" if request.param == "multiclass" else MAIN[request.param]
    section = {"slices": ("plan",)}
    return paths, evaluate(paths, section=section, primary=metric, guards={metric: 0.5})


def test_every_figure_is_of_the_model_in_use_recomputed_on_the_holdout(simplest_in_use):
    paths, found = simplest_in_use
    assert found.chosen == "simplest:small_tree"
    tree, holdout = load_model(paths.baselines / "models/small_tree"), read_table(paths.holdout)
    y_true, predicted = encode_target(holdout, tree.schema), predict_rows(tree, holdout)
    own = compute_metrics(metrics_for(found.task), y_true, predicted)
    assert {name: found.holdout[name] for name in own} == pytest.approx(own)
    assert {row.name: row.holdout for row in found.metrics} == found.holdout
    assert chosen_model_metrics(found) == found.holdout
    assert found.guards[0].figure == found.holdout[found.metric]
    training = read_table(paths.training)
    learned = compute_metrics(
        metrics_for(found.task), encode_target(training, tree.schema), predict_rows(tree, training)
    )
    assert metric_row(found, found.metric).training == pytest.approx(learned[found.metric])
    if found.task != "regression":
        codes = range(len(found.classes))
        counts = [
            [int(((y_true == true) & (predicted.values == guess)).sum()) for guess in codes]
            for true in codes
        ]
        assert [list(row) for row in found.confusion] == counts
    metric = next(m for m in metrics_for(found.task) if m.name == found.metric)
    for row in (row for row in found.slices if not row.found):
        inside = (holdout[row.column] == row.value).to_numpy()
        score = metric.score(y_true[inside], take_rows(predicted, inside))
        assert row.figure == pytest.approx(score)
    assert (found.family, found.n_training) == ("tree", 400)
    assert found.importance[0].column == "usage"  # which a linear model cannot use
    assert load_reference(paths.reference).importance["usage"] == found.importance[0].loss


def test_mlflow_page_and_line_have_the_figures_of_the_model_in_use(simplest_in_use):
    paths, found = simplest_in_use
    shown = evaluation_metrics(found)
    assert {name: shown[f"holdout/{name}"] for name in found.holdout} == found.holdout
    (searched,) = found.searched
    linear, holdout = load_model(paths.model), read_table(paths.holdout)
    y_true = encode_target(holdout, linear.schema)
    own = compute_metrics(metrics_for(found.task), y_true, predict_rows(linear, holdout))
    assert searched.holdout[found.metric] == pytest.approx(own[found.metric])
    assert searched.low < searched.difference < searched.high < 0
    page = (paths.report / "report.html").read_text()
    assert "clearly worse than small tree" in page
    assert f"<b>{metric_name(found.metric)} {format_score(found.holdout[found.metric])}</b>" in page
    line = summary_line(found)
    assert line.startswith(
        f"On the hold-out small tree has {metric_name(found.metric)}"
        f" {format_score(found.holdout[found.metric])}, the search's model"
        f" {format_score(searched.holdout[found.metric])}. "
    )


def test_a_search_that_finished_nothing_says_so_and_a_baseline_is_used(tmp_path):
    paths = make_inputs(tmp_path, SCHEMAS["binary"], "zero_rule", blind=False)
    origin = ModelOrigin("zero rule", "heuristic")
    save_model(paths.model, load_model(paths.model), origin=origin)
    found = evaluate(paths)
    assert found.reasons == (
        "The search ran out of time before any model was finished; the best baseline, small tree,"
        " is used.",
    )
    assert found.holdout["roc_auc"] > 0.6


def test_without_a_finished_trial_the_report_says_so(paths):
    header = read_lines(paths.trials)[0]
    paths.trials.write_text(header + "\n")
    found = evaluate(paths)
    assert metric_row(found, "roc_auc").folds is None
    assert "No trial of the search finished" in found.notes[0]


def test_a_missing_model_is_reported(paths):
    (paths.model / "model.json").unlink()
    with pytest.raises(InputError, match=r"model\.json does not exist"):
        evaluate(paths)


def test_the_reference_is_of_the_holdout_and_knows_what_the_model_relies_on(every_task):
    paths, found = every_task
    kept = load_reference(paths.reference)
    assert (kept.performance.n, kept.schema.task) == (200, found.task)
    assert max(kept.importance, key=kept.importance.get) == "usage"


def test_the_search_itself_is_evaluated_on_request_and_reported(paths):
    found = evaluate(paths, nested=True).nested
    assert len(found.folds) == 3
    assert found.figures["roc_auc"] == pytest.approx(np.mean(found.folds))
    assert "the whole search was run again 3 times" in (paths.report / "report.html").read_text()


# A model of the latest window, a metric of the user's own, guards


@pytest.fixture(scope="module")
def changed(prepared, tmp_path_factory):
    paths = copy_inputs(prepared, tmp_path_factory.mktemp("changed"))
    whole, late = load_model(paths.model), TrainingWindow("latest")
    part = replace(whole, row_keys=whole.row_keys[:100])
    save_model(paths.model, part, WindowChoice(late, (WindowFit(late, 100, 0.8),)))
    code = "def missed(truth, values, chances):\n    return float((truth > values).sum())"
    (paths.state.parent.parent / "own.py").write_text(code)
    own = CustomMetric(function="own:missed", greater_is_better=False)
    guards = {"recall": 0.99, "accuracy": 0.5}
    return evaluate(paths, primary="missed", custom={"missed": own}, guards=guards)


def test_guards_are_checked_on_the_holdout(changed):
    assert {guard.metric: guard.kept for guard in changed.guards} == {
        "accuracy": True,
        "recall": False,
    }


def test_a_metric_of_the_users_own_can_be_optimised(changed):
    assert changed.metrics[0].name == "missed"
    assert changed.holdout["missed"] == changed.confusion[1][0]


def test_the_windows_that_were_tried_are_noted_and_only_learned_rows_are_training(changed):
    assert changed.n_training == 100
    assert changed.notes[0].startswith("The model was fitted on the window `latest`; missed on")


# An ensemble, with every option

WHOLE = {
    "slices": ("plan",),
    "sensitive": ("plan", "sex"),
    "costs": {"yes": {"no": 5.0}, "no": {"yes": 1.0}},
    "purpose": "Offer a discount.",
    "slice_rows": 30,
}


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory, prepared):
    made = copy_inputs(prepared, tmp_path_factory.mktemp("ensemble"))
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
def whole(ensemble):
    return evaluate(ensemble, section=WHOLE)


def test_the_scores_over_the_folds_are_those_of_the_ensemble(whole):
    assert whole.folds_of == "ensemble"
    assert whole.metrics[0].folds != pytest.approx(whole.metrics[0].member_folds)


def test_declared_slices_are_scored_and_a_sensitive_column_has_a_gap(whole):
    rows = [row for row in whole.slices if row.column == "plan"]
    assert {row.value for row in rows} == {"basic", "pro"}
    assert all(row.sensitive and row.rate_gap is not None for row in rows)


def test_a_declared_column_that_is_not_there_is_noted(whole):
    assert any(text.startswith("'sex' is declared") for text in whole.unknowns)


def test_the_cheapest_threshold_was_chosen_out_of_fold(whole):
    row = next(each for each in whole.decisions if each.name == "cheapest threshold")
    assert "out-of-fold predictions" in row.chosen_on
    assert row.cost < whole.decisions[0].cost + 1


def test_the_data_card_knows_what_the_source_had_and_no_model_sees(whole):
    assert whole.data[0].excluded[0].column == "constant"
    assert [side.rows for side in whole.data[0].sides] == [400, 200]


def test_numbers_for_dvc_stand_under_names_and_the_evidence_in_lists(whole, ensemble):
    assert whole.purpose == "Offer a discount."
    written = json.loads(ensemble.figures.read_text())
    lists = ("data", "phases", "slices", "decisions", "contributions", "story", "unknowns")
    assert all(isinstance(written[name], list) for name in lists)
    assert written["holdout"]["roc_auc"] > 0.5


def test_costs_of_an_unknown_class_are_refused(paths):
    with pytest.raises(ParamsError, match=r"evaluation.costs: .* but got \['maybe'\]"):
        evaluate(paths, section={"costs": {"maybe": {"no": 1.0}}})
