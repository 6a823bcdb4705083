from itertools import product

import pytest

from evertune.preprocessing.encoders import (
    CATEGORICAL_ENCODINGS,
    INTERACTION_KINDS,
    NUMERIC_ENCODINGS,
    EncodingSpec,
    format_encoding,
    parse_encoding,
)
from evertune.preprocessing.text import TEXT_ENCODINGS


@pytest.mark.parametrize("form", NUMERIC_ENCODINGS)
def test_every_form_has_one_name(form):
    assert format_encoding(parse_encoding(form)) == form


def test_every_way_can_be_read_from_its_name():
    numbers = ("scaled", "box_cox", "plain")
    for parts in product(numbers, CATEGORICAL_ENCODINGS, TEXT_ENCODINGS, INTERACTION_KINDS):
        name = format_encoding(EncodingSpec(*parts))
        assert format_encoding(parse_encoding(name)) == name
        assert parse_encoding(name).levels == parts[1]


@pytest.mark.parametrize(
    "form", ["round", "scaled+round", "scaled+text:odd", "plain+pairs:odd", "plain+codes+target"]
)
def test_a_form_that_does_not_exist_is_refused(form):
    with pytest.raises(ValueError, match=r"encoding must be one of scaled, .* but got "):
        parse_encoding(form)
