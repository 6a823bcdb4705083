"""Stage `evaluate`: choose the model to use, compare it with all baselines, write the report.

Reads the source, the clean table and the plan; the model, the baselines, the trials and their
pool; the training rows, the hold-out and the folds. Writes figures.json, the folder of plots, the
report, and the reference that production is monitored against.
"""

import sys
from dataclasses import replace

from evertune.config.custom_metrics import load_metrics
from evertune.config.loader import find_root, run_stage
from evertune.config.schema import (
    DataSection,
    EvaluationSection,
    FitSection,
    MetricSection,
    MonitoringSection,
    PathsSection,
    SearchSection,
    SplitSection,
)
from evertune.evaluation.plots import evaluation_plots
from evertune.evaluation.report import write_report
from evertune.evaluation.thresholds import misclassification_costs
from evertune.monitoring.reference import save_reference
from evertune.stages.evaluate import (
    EvaluationInputs,
    add_notes,
    choose,
    evaluate_model,
    nested_evaluation,
    production_reference,
    read_data_card,
    summary_line,
)
from evertune.stages.explain_search import report_plots


def run(
    *,
    paths: PathsSection,
    data: DataSection,
    split: SplitSection,
    metric: MetricSection,
    search: SearchSection,
    fit: FitSection,
    evaluation: EvaluationSection,
    monitoring: MonitoringSection,
) -> None:
    """Evaluate the model in use; write the metrics, the plots, the report and the reference."""
    inputs = EvaluationInputs.read(paths)
    schema = inputs.model.schema
    metrics = load_metrics(metric, schema.task, find_root(paths.model))
    chosen = choose(inputs, metrics, section=evaluation)
    result = evaluate_model(inputs, chosen, metrics, section=evaluation, guards=metric.guards)
    card = read_data_card(inputs, chosen, paths, data=data, split=split)
    result = replace(result, data=(card,))
    if evaluation.nested:
        nested = nested_evaluation(inputs, metrics, search=search, fit=fit)
        result = replace(result, nested=nested)
    result = add_notes(result, inputs)
    costs = misclassification_costs(evaluation.costs, schema.classes)
    plots = evaluation_plots(result, chosen.y_true, chosen.predictions, costs=costs)
    plots |= report_plots(inputs.trials, search, schema, metrics[0])
    write_report(
        result,
        plots,
        scores_file=paths.figures,
        plots_folder=paths.plots,
        report_folder=paths.report,
    )
    reference = production_reference(inputs, chosen, result, metrics=metrics, section=monitoring)
    save_reference(paths.reference, reference)
    sys.stdout.write(summary_line(result))


if __name__ == "__main__":
    raise SystemExit(run_stage(run))
