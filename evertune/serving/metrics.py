"""Prometheus metrics of the scoring service, and the latest metrics of monitoring.

`create_metrics` makes the service's own counters and histograms; label values come from small
fixed sets, so that the number of series stays bounded. `render_metrics` adds what monitoring
last wrote to the log and returns everything in Prometheus' text format.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from evertune.monitoring.prediction_log import PredictionLog

LATENCY_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
BATCH_ROW_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 1024, 10_000)
COUNTER_SUFFIX = "_total"


@dataclass(frozen=True, eq=False)
class ServiceMetrics:
    """What the service counts; nothing in a label can grow without bound."""

    registry: CollectorRegistry
    predictions: Counter
    latency: Histogram
    batches: Histogram
    responses: Counter
    labels: Counter
    shadow: Counter
    unshadowed: Counter
    failed_loads: Counter
    model: Gauge


def create_metrics() -> ServiceMetrics:
    """Return metrics that are all 0."""
    registry = CollectorRegistry()
    counter, histogram = partial(Counter, registry=registry), partial(Histogram, registry=registry)
    latency, info = "From a request for predictions to its answer.", "The versions in use."
    failed = "Looks at the registry that failed; the models in use stayed."
    return ServiceMetrics(
        registry,
        predictions=counter("ml_predictions", "Predictions that were logged and answered."),
        latency=histogram("ml_prediction_latency_seconds", latency, buckets=LATENCY_BUCKETS),
        batches=histogram(
            "ml_batch_rows", "Rows that were predicted together.", buckets=BATCH_ROW_BUCKETS
        ),
        responses=counter("ml_responses", "Answers by their HTTP status.", ["status"]),
        labels=counter("ml_labels", "Labels by what they were.", ["case"]),
        shadow=counter("ml_shadow_predictions", "Predictions made beside the champion."),
        unshadowed=counter("ml_shadow_dropped", "Predictions that the shadow left out."),
        failed_loads=counter("ml_model_load_failures", failed),
        model=Gauge("ml_model_info", info, ["version", "alias"], registry=registry),
    )


def render_metrics(metrics: ServiceMetrics, log: PredictionLog) -> bytes:
    """Return the service's metrics and the newest of monitoring in Prometheus' text format.

    Raises
    ------
    BusyError, StageError
        What monitoring left cannot be read.
    """
    records = log.load_window_records(kind="metrics", version="", type_=dict[str, float | None])
    newest = next(reversed(records.values()), {})
    known = {name: value for name, value in newest.items() if value is not None}
    return generate_latest(metrics.registry) + "".join(monitoring_metric_lines(known)).encode()


def monitoring_metric_lines(metrics: Mapping[str, float]) -> Iterator[str]:
    """Yield metrics in Prometheus' text format, those of one name together."""
    for name, members in groupby(sorted(metrics), key=lambda full: full.partition("{")[0]):
        kind = "counter" if name.endswith(COUNTER_SUFFIX) else "gauge"
        yield f"# HELP {name} As monitoring last found it.\n# TYPE {name} {kind}\n"
        for full in members:
            yield f"{full} {metrics[full]!r}\n"
