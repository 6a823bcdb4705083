"""Fitted encoders and predictors as files of a model's folder, without pickle.

An encoder is an archive of skops. A predictor is written in its library's own format, which the
ending tells: .skops, .txt (LightGBM), .ubj (XGBoost), .cbm (CatBoost). An ensemble shares encoders:
encoder_<n>, and predictor_<member>_<fold> that names its encoder in the card.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.core.calibrated import Errors
from pipelines.core.model import Ensemble, Fitted, Member
from pipelines.core.serialised import dumped, loaded
from pipelines.core.trials import Configuration
from pipelines.errors import InputError
from pipelines.stores.archives import canonical
from pipelines.stores.replacing import replaced_file

ENDINGS = {"skops": ".skops", "lightgbm": ".txt", "xgboost": ".ubj", "catboost": ".cbm"}
KINDS = {ending: kind for kind, ending in ENDINGS.items()}


@dataclass(frozen=True)
class FittedCard:
    """Where one fitted model of a member stands.

    Attributes
    ----------
    encoder, predictor : str
        Names of files.
    columns : tuple of int, optional
        Those that the predictor takes; None: all.
    """

    encoder: str
    predictor: str
    columns: tuple[int, ...] | None = None


@dataclass(frozen=True)
class MemberCard:
    """One configuration of an ensemble, its weight, and its models."""

    configuration: Configuration
    weight: float
    iterations: tuple[int | None, ...]
    fitted: tuple[FittedCard, ...]


@dataclass(frozen=True)
class EnsembleCard:
    """What model.json says of an ensemble."""

    members: tuple[MemberCard, ...]
    temperature: float
    threshold: float | None
    errors: Errors | None


def write_ensemble(folder: Path, ensemble: Ensemble) -> EnsembleCard:
    """Write the models of an ensemble and return its card."""
    encoders: dict[int, str] = {}
    for member in ensemble.members:
        for fitted in member.fitted:
            if id(fitted.encoder) not in encoders:
                name = f"encoder_{len(encoders)}"
                encoders[id(fitted.encoder)] = write_predictor(folder, name, fitted.encoder)
    members = tuple(
        _write_member(folder, member, number=number, encoders=encoders)
        for number, member in enumerate(ensemble.members)
    )
    return EnsembleCard(members, ensemble.temperature, ensemble.threshold, ensemble.errors)


def read_ensemble(folder: Path, card: EnsembleCard) -> Ensemble:
    """Return the ensemble of a card.

    Raises
    ------
    InputError
        If a file is missing, or holds code that is not on the list.
    """
    names = {fitted.encoder for member in card.members for fitted in member.fitted}
    encoders = {name: read_predictor(folder / name) for name in sorted(names)}
    members = tuple(_read_member(folder, member, encoders) for member in card.members)
    return Ensemble(members, card.temperature, card.threshold, card.errors)


def write_predictor(folder: Path, name: str, predictor: Any) -> str:
    """Write a predictor, or an encoder, and return the name of its file."""
    kind, data = dumped(predictor)
    place = f"{name}{ENDINGS[kind]}"
    with replaced_file(folder / place) as file:
        file.write(canonical(data) if kind == "skops" else data)
    return place


def read_predictor(path: Path) -> Any:
    """Return the predictor of a file.

    Raises
    ------
    InputError
        If there is none, or it is not one, or holds code that is not on the list.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; a model's folder was written by `fit`.")
    try:
        return loaded(KINDS[path.suffix], path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


def _write_member(
    folder: Path, member: Member, *, number: int, encoders: dict[int, str]
) -> MemberCard:
    cards = tuple(
        FittedCard(
            encoder=encoders[id(fitted.encoder)],
            predictor=write_predictor(folder, f"predictor_{number}_{fold}", fitted.predictor),
            columns=fitted.columns,
        )
        for fold, fitted in enumerate(member.fitted)
    )
    return MemberCard(member.configuration, member.weight, member.iterations, cards)


def _read_member(folder: Path, card: MemberCard, encoders: dict[str, Any]) -> Member:
    fitted = tuple(
        Fitted(encoders[each.encoder], read_predictor(folder / each.predictor), each.columns)
        for each in card.fitted
    )
    return Member(card.configuration, card.weight, fitted, card.iterations)
