"""All pictures of an evaluation, by name."""

from matplotlib.figure import Figure

from pipelines.core.curves import calibration, precision_recall, roc
from pipelines.core.evaluation import Evaluation
from pipelines.core.pictures import (
    baselines_picture,
    calibration_picture,
    confusion_picture,
    importance_picture,
    png,
    precision_recall_picture,
    predicted_picture,
    residuals_picture,
    roc_picture,
)
from pipelines.core.predictions import Floats, Predictions


def gallery(evaluation: Evaluation, truth: Floats, *, predictions: Predictions) -> dict[str, bytes]:
    """Return the PNG pictures that an evaluation can be shown with.

    Parameters
    ----------
    evaluation : Evaluation
    truth : array of shape (n,)
        Of the hold-out.
    predictions : Predictions
        Of the model, for the same rows.

    Returns
    -------
    dict
        Always `baselines`; `importance` where there is any; of classes `confusion`, `roc`,
        `precision_recall` and `calibration`, of values `predicted` and `residuals`.
    """
    figures = {"baselines": baselines_picture(evaluation)}
    if evaluation.importance:
        figures["importance"] = importance_picture(evaluation)
    if evaluation.task == "regression":
        figures["predicted"] = predicted_picture(truth, predictions.values)
        figures["residuals"] = residuals_picture(truth, predictions.values)
    else:
        figures["confusion"] = confusion_picture(evaluation.confusion, classes=evaluation.classes)
        figures |= _curves(evaluation.classes, truth, predictions=predictions)
    return {name: png(figure) for name, figure in figures.items()}


def _curves(
    classes: tuple[str, ...], truth: Floats, *, predictions: Predictions
) -> dict[str, Figure]:
    probabilities = predictions.probabilities
    if probabilities is None:
        return {}
    figures = {"calibration": calibration_picture(calibration(truth, probabilities))}
    lines = roc(truth, probabilities, classes=classes)
    if lines:
        points = precision_recall(truth, probabilities, classes=classes)
        figures |= {"roc": roc_picture(lines), "precision_recall": precision_recall_picture(points)}
    return figures
