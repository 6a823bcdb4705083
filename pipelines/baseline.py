"""Stage `baseline`: measure what a model must beat, on the same folds.

Reads the training rows, folds and schema. Writes the folder of baselines: baselines.json (their
metrics on every fold), rule.json (the heuristic) and models/<name>/ (the two simplest models), the
last two learned on all training rows.
"""

import sys

from evertune.config.loader import run_stage
from evertune.config.schema import BaselineSection, MetricSection, PathsSection
from evertune.files import atomic_folder, write_record
from evertune.models.persistence import save_model
from evertune.stages.baseline import BaselineMeasurement


def run(*, paths: PathsSection, metric: MetricSection, baseline: BaselineSection) -> None:
    """Measure every baseline, and save the rule and the simplest models."""
    measurement = BaselineMeasurement(paths, metric, baseline)
    rule = measurement.fit_rule(measurement.table, measurement.y_true)
    results = tuple(measurement.results(rule))
    with atomic_folder(paths.baselines) as folder:
        write_record(folder / "baselines.json", results)
        write_record(folder / "rule.json", rule)
        for name, model in measurement.final_models():
            save_model(folder / "models" / name, model)
    sys.stdout.write(measurement.describe(results))


if __name__ == "__main__":
    raise SystemExit(run_stage(run))
