"""One project whose folder, table, columns and classes have names that tools stumble over."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from prometheus_client.parser import text_string_to_metric_families

from evertune.config.loader import load_params
from evertune.config.yaml_file import edit_section
from evertune.files import project_lock
from evertune.monitoring.load_labels import load_label_table
from evertune.monitoring.monitor import monitor
from evertune.monitoring.report import publish_report
from evertune.registry.promotion import promote
from evertune.registry.register import register
from evertune.scaffold import init_project
from evertune.serving.app import create_app
from evertune.serving.batch import score
from evertune.serving.service import ModelService
from evertune.stages.runner import run_outdated_stages
from evertune.stages.snapshot import take_snapshot
from evertune.unicode_text import clean_text
from tests.support.projects import invoke, made_small
from tests.support.services import served

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
NUMBERS = (
    *("Distance (km), [m]", "50 % 'off' \"now\"", "it's #1", "a/b/../c", "e\u0301te\u0301", "le"),
    *("two\nlines", "x" * 300, "mlflow.runName", "{json}", "<b>bold</b>", "null", "key: value"),
)
LABELS = ("..", "\U0001f600 mood")
VALUES = {"..": ("[1] a", "{2", '#3 "'), LABELS[1]: ("\u00fc, x", "a/b", "<i>")}
CLASSES = ("<=50K, 'a'", "../b #1 \U0001f600")
NUMBER, TARGET = "Kunden-Nr. (#)", "gek\u00fcndigt? (%)"


def hostile_table() -> pd.DataFrame:
    """Return 200 rows."""
    random = np.random.default_rng(0)
    columns = {name: random.normal(size=200) for name in NUMBERS}
    columns |= {name: random.choice(VALUES[name], 200) for name in LABELS}
    truth = columns[NUMBERS[0]] + random.normal(size=200) / 4 > 0
    names = {NUMBER: [f"#{row:04}/a" for row in range(200)]}
    return pd.DataFrame(names | columns | {TARGET: np.where(truth, *CLASSES)})


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Return the project with a champion, whose predictions have labels."""
    folder, table = tmp_path_factory.mktemp("names") / "j\u00fcrgen's #1 (50 %)", hostile_table()
    folder.mkdir()
    table.to_csv(folder / "t, (50 %) #1 \u00fc.csv", index=False)
    root = folder / "p\u00e9"
    source = str(folder / "t, (50 %) #1 \u00fc.csv")
    init_project(root, data=source, target=TARGET, identifier=NUMBER)
    made_small(root)
    edit_section(root / "params.yaml", "split", {"n_folds": 3})
    costs = {a: {b: 2.0 for b in CLASSES if b != a} for a in CLASSES}
    edit_section(root / "params.yaml", "evaluation", {"costs": costs, "slices": list(LABELS)})
    slices = {"slices": list(LABELS), "least_rows": 10, "cron": None}
    edit_section(root / "params.yaml", "monitoring", slices)
    with pytest.MonkeyPatch.context() as patch, project_lock(root / "state", "a test"):
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        take_snapshot(root)
        run_outdated_stages(root, lambda _, __: None)
        # so few rows are no evidence for a promotion by the gate
        before = NOW - timedelta(days=1)
        verdict = register(root)
        promote(root, verdict.version, reason=f"{CLASSES[1]} is told from {CLASSES[0]}", now=before)
        rows = table.drop(columns=TARGET)
        score(root, now=NOW, table=rows)
        load_label_table(root, table[[NUMBER, TARGET]], now=NOW + timedelta(hours=1))
        publish_report(root, monitor(root, now=NOW + timedelta(days=2)))
    return root


def test_the_report_and_the_page_of_monitoring_name_the_columns(root):
    report = (root / "data/report/report.html").read_text(encoding="utf-8")
    page = (root / "state/monitoring/monitoring.html").read_text(encoding="utf-8")
    assert "Distance (km), [m]" in report
    assert "gek\u00fcndigt? (%)" in report
    assert "<b>bold</b>" not in report + page
    assert "\U0001f600 mood" in page


def test_the_service_answers_and_its_metrics_name_columns_and_slices(root):
    row = hostile_table().drop(columns=[TARGET, NUMBER]).iloc[0].to_dict()
    with served(create_app({"churn": ModelService(root)})) as client:
        (answer,) = client.post("/predict", json={"rows": [row]}).json()["predictions"]
        text = client.get("/metrics").text
    assert answer["prediction"] in CLASSES
    assert set(answer["probabilities"]) == set(CLASSES)
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    slices = {s.labels["slice"] for s in samples if s.name == "ml_window_loss"}
    columns = {s.labels["feature"] for s in samples if s.name == "ml_drift_score"}
    assert {f"..={value}" for value in VALUES[".."]} <= slices
    assert columns
    assert columns <= {clean_text(name) for name in (*NUMBERS, *LABELS)}


def test_a_version_loads_by_mlflow_and_is_reproduced(root, monkeypatch):
    done = invoke(root, "reproduce", "1")
    assert done.exit_code == 0, done.output
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/state/mlflow.db")
    model = mlflow.pyfunc.load_model(f"models:/{load_params(root).registry.name}@champion")
    rows = hostile_table().drop(columns=[TARGET, NUMBER]).head(3)
    found = model.predict(rows.rename(columns=clean_text))
    assert list(found.columns) == ["prediction", *(f"probability_{name}" for name in CLASSES)]
