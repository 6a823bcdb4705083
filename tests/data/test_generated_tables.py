import tempfile
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings

from tests.support.generated import frames, read_frame


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=[*HealthCheck],
)
@given(frames())
def test_a_table_is_read_as_it_was_written_or_refused_in_words(frame):
    with tempfile.TemporaryDirectory() as folder:
        read_frame(frame, Path(folder))
