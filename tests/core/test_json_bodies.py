import pytest

from evertune.serving.requests import parse_json


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "is not JSON"),
        (b"\xff", "is not UTF-8"),
        (b'{"a": 1, "a": 2}', "a key twice"),
        (b'{"a": NaN}', "has NaN"),
        (b'{"a": -Infinity}', "has -Infinity"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too many digits"),
        (b"[" * 5000 + b"]" * 5000, "nested too deeply"),
        (b'{"a": "\\ud800"}', "no Unicode"),
    ],
)
def test_what_readers_would_not_read_alike_is_no_json(body, words):
    with pytest.raises(ValueError, match=words):
        parse_json(body)
