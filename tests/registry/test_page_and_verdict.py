"""The report and the verdict never contradict each other, whatever was evaluated."""

from dataclasses import replace
from html import unescape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evertune.config.schema import GatesSection
from evertune.data.schema import TableSchema
from evertune.evaluation.evaluation_record import BaselineRow, MetricRow
from evertune.evaluation.model_card import evaluation_notes
from evertune.evaluation.report import report_html
from evertune.registry.gates import evaluate_gates
from tests.registry.evaluated import EVALUATION, EVIDENCE

DOUBTS = ("There is not enough evidence that it beats", "It does not beat every rule")
SCHEMA = TableSchema((), "churned", "binary", ("no", "yes"))
SCORES = st.floats(0.0, 1.0)
WIDTHS = st.floats(0.0, 0.5)


@st.composite
def evaluations(draw):
    """Return an evaluation of any model beside two rules and a simple model, on any hold-out."""
    metric, greater = draw(st.sampled_from([("roc_auc", True), ("log_loss", False)]))
    counts = draw(st.tuples(st.integers(0, 200), st.integers(0, 60)))
    score, n_rows = draw(st.none() | SCORES), sum(counts)

    def row(name, kind):
        rival, width = draw(st.none() | SCORES), draw(st.none() | WIDTHS)
        if score is None or rival is None:
            return BaselineRow(name, kind, "", {metric: rival}, {}, n_rows=n_rows)
        lift = score - rival if greater else rival - score
        low, high = (None, None) if width is None else (lift - width, lift + width)
        return BaselineRow(name, kind, "", {metric: rival}, {}, lift, low, high, True, n_rows)

    rules = [row(name, "none") for name in ("zero_rule", "heuristic")]
    simple = BaselineRow("small_tree", "model", "", {metric: score}, {}, n_rows=n_rows)
    found = replace(
        EVALUATION,
        metric=metric,
        greater_is_better=greater,
        n_holdout=n_rows,
        holdout={metric: score},
        metrics=(MetricRow(metric, greater, score),),
        baselines=(*rules, simple),
        confusion=((counts[0], 0), (0, counts[1])),
        chosen=draw(st.sampled_from(["model", "simplest:small_tree"])),
    )
    return replace(found, notes=evaluation_notes(found, SCHEMA))


@pytest.mark.slow
@settings(deadline=None)
@given(evaluations())
def test_the_page_doubts_a_first_version_exactly_where_the_gate_does_not_pass_it(found):
    verdict = evaluate_gates(
        found, replace(EVIDENCE, n_holdout=max(found.n_holdout, 1)), GatesSection()
    )
    page = unescape(report_html(found, {}))
    assert verdict.promoted is not any(words in page for words in DOUBTS)
    if not verdict.promoted:
        reasons = [part for reason in verdict.reasons for part in reason.split("; ")]
        assert not [reason for reason in reasons if reason not in page]
