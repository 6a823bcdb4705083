"""Fitted predictors made ready for a few rows at a time.

Most of what a library does for one row is checks and the scheduling of threads. A forest's trees
and a histogram booster's are asked without what schedules them; the others work with one thread.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from pipelines.core.booster_rows import UNSEEN
from pipelines.core.model import Fitted, all_classes
from pipelines.core.predictions import Floats
from pipelines.core.schema import Schema

FORESTS = (ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor)
HISTOGRAMS = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
NEIGHBOURS = (KNeighborsClassifier, KNeighborsRegressor)

Answer = Callable[[Floats], Floats]


def answer_of(fitted: Fitted, schema: Schema) -> Answer:
    """Return the function from encoded rows to probabilities, or values, of one fitted model.

    Its figures are those of `pipelines.core.model.said_by`.
    """
    raw, places = _raw(fitted.predictor, regression=schema.task == "regression"), fitted.columns
    known, n_classes = getattr(fitted.predictor, "classes_", None), len(schema.classes)
    columns = None if places is None else list(places)

    def answer(X: Floats) -> Floats:
        said = np.asarray(raw(X if columns is None else X[:, columns]), dtype=np.float64)
        return said if n_classes == 0 else all_classes(said, known, n_classes=n_classes)

    return answer


def _raw(predictor: Any, *, regression: bool) -> Answer:
    library = type(predictor).__module__.partition(".")[0]
    if library == "lightgbm":
        return partial(predictor.predict, num_threads=1)
    if library == "xgboost":
        return _xgboost(predictor)
    if library == "catboost":
        return _catboost(predictor, regression=regression)
    if isinstance(predictor, FORESTS):
        return _forest(predictor)
    if isinstance(predictor, HISTOGRAMS):
        return _histograms(predictor, regression=regression)
    said: Answer = predictor.predict if regression else predictor.predict_proba
    return _in_one_thread(said) if isinstance(predictor, NEIGHBOURS) else said


def _xgboost(booster: Any) -> Answer:
    copy = booster.copy()
    copy.set_param({"nthread": 1})
    said: Answer = copy.inplace_predict
    return said


def _catboost(model: Any, *, regression: bool) -> Answer:
    """Return a function that hands rows over as lists, which are read faster than a table is."""
    places = [int(place) for place in model.get_cat_feature_indices()]
    kind = "RawFormulaVal" if regression else "Probability"
    said = partial(model.predict, prediction_type=kind, thread_count=1)

    def of_codes(X: Floats) -> Floats:
        codes = np.nan_to_num(X[:, places], nan=UNSEEN).astype(np.int64).tolist()
        rows = X.tolist()
        for row, own in zip(rows, codes, strict=True):
            for place, code in zip(places, own, strict=True):
                row[place] = code
        return np.asarray(said(rows))

    return of_codes if places else said


def _forest(forest: Any) -> Callable[[Floats], Floats]:
    """Return the mean over the trees, added up in the forest's own order."""
    trees = [each.tree_ for each in forest.estimators_]
    width = int(forest.n_classes_) if hasattr(forest, "n_classes_") else None

    def mean(X: Floats) -> Floats:
        cells = np.ascontiguousarray(X, dtype=np.float32)
        total = np.zeros((len(X), trees[0].value.shape[2] if width is None else width))
        for tree in trees:
            total += tree.predict(cells).reshape(len(X), -1)
        total /= len(trees)
        return total[:, 0] if width is None else total

    return mean


def _histograms(booster: Any, *, regression: bool) -> Answer:
    """Return the sum over the trees, added up in the booster's own order."""
    bits, places = booster._bin_mapper.make_known_categories_bitsets()
    iterations, loss, start = booster._predictors, booster._loss, booster._baseline_prediction

    def summed(X: Floats) -> Floats:
        cells = np.ascontiguousarray(X, dtype=np.float64)
        raw = np.zeros((len(X), len(iterations[0])), order="F") + start
        for trees in iterations:
            for place, tree in enumerate(trees):
                raw[:, place] += tree.predict(cells, bits, places, 1)
        return np.asarray(loss.link.inverse(raw.ravel()) if regression else loss.predict_proba(raw))

    return summed


def _in_one_thread(said: Answer) -> Answer:
    threads = ThreadpoolController()

    def answer(X: Floats) -> Floats:
        with threads.limit(limits=1):
            return said(X)

    return answer
