"""The service held to its own description, by requests that nobody would think of."""

from datetime import UTC, datetime

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.serving.conftest import churn_app
from tests.support.services import served

ALWAYS = [
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
]
PLACES = [("/predict", "POST"), ("/label", "POST"), ("/metrics", "GET")]
CASES = [
    *((place, GenerationMode.POSITIVE, [*ALWAYS, positive_data_acceptance]) for place in PLACES),
    *((place, GenerationMode.NEGATIVE, [*ALWAYS, negative_data_rejection]) for place in PLACES[:2]),
]
EXAMPLES = 60
PRINTABLE = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20)
schemathesis.openapi.format("printable", PRINTABLE)


@pytest.fixture
def client(root):
    """Return a client of the service in a time from which no moment lies ahead."""
    with served(churn_app(root, datetime(2200, 1, 1, tzinfo=UTC))) as client:
        yield client


def without_own_format(value):
    """Leave out a format that schemathesis does not know: any text would count as violating it."""
    if isinstance(value, dict):
        return {
            key: without_own_format(each)
            for key, each in value.items()
            if (key, each) != ("format", "printable")
        }
    return [without_own_format(each) for each in value] if isinstance(value, list) else value


@pytest.mark.slow
@pytest.mark.parametrize(("place", "mode", "checks"), CASES)
def test_the_service_does_what_it_says(client, place, mode, checks):
    document = client.get("/openapi.json").json()
    if mode is GenerationMode.NEGATIVE:
        document = without_own_format(document)
    description = schemathesis.openapi.from_dict(document)
    strategy = description[place[0]][place[1]].as_strategy(generation_mode=mode)

    @given(case=strategy)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    def holds(case):
        case.call_and_validate(base_url=str(client.base_url), checks=checks)

    holds()
