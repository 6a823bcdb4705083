"""All pictures of an evaluation, by name."""

from matplotlib.figure import Figure

from pipelines.core.costs import OUT_OF_FOLD
from pipelines.core.curves import calibration, precision_recall, roc
from pipelines.core.drawing import png
from pipelines.core.evaluation import Evaluation
from pipelines.core.kernels import TWO_CLASSES
from pipelines.core.pictures import (
    baselines_picture,
    calibration_picture,
    confusion_picture,
    importance_picture,
    precision_recall_picture,
    predicted_picture,
    residuals_picture,
    roc_picture,
)
from pipelines.core.predictions import Floats, Predictions
from pipelines.core.report_pictures import (
    contributions_picture,
    costs_picture,
    drawn_slices,
    slices_picture,
    thresholds_picture,
)
from pipelines.core.search_pictures import search_pictures


def gallery(
    evaluation: Evaluation,
    truth: Floats,
    *,
    predictions: Predictions,
    costs: Floats | None = None,
) -> dict[str, bytes]:
    """Return the PNG pictures that an evaluation can be shown with.

    Parameters
    ----------
    evaluation : Evaluation
    truth : array of shape (n,)
        Of the hold-out.
    predictions : Predictions
        Of the model, for the same rows.
    costs : array of shape (n_classes, n_classes), optional
        What mistakes cost.

    Returns
    -------
    dict
        `baselines`, `importance`, `contributions` and `slices` where there are any; of classes
        `confusion`, `roc`, `precision_recall`, `calibration`, `thresholds` and `costs`, of values
        `predicted` and `residuals`; of the search those of `pipelines.core.search_pictures`.
    """
    figures = _told(evaluation)
    if evaluation.task == "regression":
        figures["predicted"] = predicted_picture(truth, predictions.values)
        figures["residuals"] = residuals_picture(truth, predictions.values)
    else:
        figures["confusion"] = confusion_picture(evaluation.confusion, classes=evaluation.classes)
        figures |= _curves(evaluation.classes, truth, predictions=predictions)
        figures |= _decisions(evaluation, truth, predictions, costs)
    for story in evaluation.story:
        figures |= search_pictures(story, metric=evaluation.metric)
    return {name: png(figure) for name, figure in figures.items()}


def _told(evaluation: Evaluation) -> dict[str, Figure]:
    figures = {}
    if evaluation.baselines:
        figures["baselines"] = baselines_picture(evaluation)
    if evaluation.importance:
        figures["importance"] = importance_picture(evaluation)
    for explained in evaluation.contributions:
        figures["contributions"] = contributions_picture(explained)
    if drawn_slices(evaluation):
        figures["slices"] = slices_picture(evaluation)
    return figures


def _decisions(
    evaluation: Evaluation, truth: Floats, predictions: Predictions, costs: Floats | None
) -> dict[str, Figure]:
    shares = predictions.probabilities
    if shares is None or shares.shape[1] != TWO_CLASSES or not evaluation.decisions:
        return {}
    in_use = evaluation.decisions[0].threshold or 0.0
    figures = {"thresholds": thresholds_picture(truth, shares[:, 1], in_use=in_use)}
    if costs is not None:
        cheapest = [
            each.threshold
            for each in evaluation.decisions
            if each.name == "cheapest threshold" and each.chosen_on == OUT_OF_FOLD
        ]
        chosen = cheapest[0] if cheapest else None
        figures["costs"] = costs_picture(truth, shares[:, 1], costs, in_use=in_use, chosen=chosen)
    return figures


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
