import numpy as np
import pandas as pd
import pytest

from evertune.preprocessing.text import TEXT_ENCODINGS, TextColumns

DRAWS = np.random.default_rng(0)
N = 400
Y = DRAWS.integers(0, 2, N).astype(float)
OWN = [f"note {n} says {'great value' if y else 'poor thing'} of it" for n, y in enumerate(Y)]
TICKETS = [f"{'PC' if y else 'SOTON'}{n}" for n, y in enumerate(Y)]


def texts(**columns):
    return pd.DataFrame(columns, dtype=object)


def made(way, **kind):
    return TextColumns(way, **({"continuous": False, "scaled": False} | kind))


@pytest.mark.parametrize(
    ("cells", "way"),
    [(["a", "b"] * 200, "target"), (OWN, "words"), (TICKETS, "characters")],
)
def test_how_a_text_is_read_is_decided_by_its_rows(cells, way):
    assert made("auto").fit(texts(note=cells), Y).ways_ == [way]


@pytest.mark.parametrize(("way", "cells"), [("words", OWN), ("characters", TICKETS)])
def test_texts_of_their_own_tell_by_what_is_in_them(way, cells):
    X = made(way).fit_transform(texts(note=cells), Y)
    assert max(abs(np.corrcoef(column, Y)[0, 1]) for column in X.T) > 0.9


def test_texts_that_stand_once_have_no_mean_of_their_own():
    cells = texts(note=[f"n{n}" for n in range(N)])
    result = made("target", scaled=True).fit(cells, Y)
    assert (result.transform(cells) == 0).all()


def test_rare_texts_are_read_as_unseen_ones():
    cells = texts(note=["often"] * 300 + [f"n{n}" for n in range(100)])
    result = made("target").fit(cells, Y)
    rare, unseen = result.transform(texts(note=["n1", "new"]))
    assert rare == unseen


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("way", TEXT_ENCODINGS)
@pytest.mark.parametrize("text", ["", "?!", "always the same"])
def test_texts_that_do_not_differ_are_harmless(way, scaled, text):
    cells = texts(note=[text] * N)
    result = made(way, scaled=scaled).fit_transform(cells, Y)
    assert np.isfinite(result).all()


@pytest.mark.parametrize("n_rows", [1, 2, 5])
@pytest.mark.parametrize("way", TEXT_ENCODINGS)
def test_few_rows_are_learned_from(way, n_rows):
    result = made(way, continuous=True).fit_transform(texts(note=OWN[:n_rows]), Y[:n_rows])
    assert np.isfinite(result).all()


@pytest.mark.parametrize("way", TEXT_ENCODINGS)
def test_what_is_learned_names_as_many_columns_as_it_makes(way):
    result = made(way).fit(texts(note=OWN, ticket=TICKETS), Y)
    X = result.transform(texts(note=["a new one", ""], ticket=["", "x"]))
    assert X.shape == (2, len(set(result.get_feature_names_out())))
    assert np.isfinite(X).all()


def test_values_are_learned_from_in_regression():
    cells = texts(note=["low", "high"] * 200)
    result = made("target", continuous=True).fit_transform(cells, np.tile([1.5, 7.5], 200))
    assert result[:2, 0] == pytest.approx([1.5, 7.5], abs=0.1)
