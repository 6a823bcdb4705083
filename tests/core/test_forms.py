from itertools import product

import pytest

from pipelines.core.forms import FORMS, LEVEL_WAYS, PAIR_WAYS, Ways, form_named, ways_of
from pipelines.core.text_columns import TEXT_WAYS


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_one_name(form):
    assert form_named(ways_of(form)) == form


def test_every_way_can_be_read_from_its_name():
    numbers = ("scaled", "box_cox", "plain")
    for parts in product(numbers, LEVEL_WAYS, TEXT_WAYS, PAIR_WAYS):
        name = form_named(Ways(*parts))
        assert form_named(ways_of(name)) == name
        assert ways_of(name).levels == parts[1]


@pytest.mark.parametrize(
    "form", ["round", "scaled+round", "scaled+text:odd", "plain+pairs:odd", "plain+codes+target"]
)
def test_a_form_that_does_not_exist_is_refused(form):
    with pytest.raises(ValueError, match=r"form must be one of scaled, .* but got form="):
        ways_of(form)
