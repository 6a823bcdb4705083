"""The simplest model that is not worse than the best one, where that is preferred."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipelines.core.baselines import SIMPLEST_FAMILIES, BaselineFigures, mean_figures
from pipelines.core.candidates import is_kept
from pipelines.core.ensembling import Selection, alone
from pipelines.core.four_phases import Name, Phase, phases, simplest_not_worse
from pipelines.core.made_notes import preferred_note
from pipelines.core.origins import Origin
from pipelines.core.phase_bests import best_baseline, best_simple_trial
from pipelines.core.trials import Configuration, Figures, FoldResult
from pipelines.tuning.families import default_configuration
from pipelines.tuning.making import Found


@dataclass(frozen=True, eq=False)
class Simpler:
    """A simpler model to make in place of the best one.

    Attributes
    ----------
    phase : str
    configuration : Configuration
    folds : tuple of FoldResult
    note : str
    means : dict
        Its figures over the folds.
    selection : Selection, optional
        Where the pool has it: what it says of rows that it never saw.
    """

    phase: Name
    configuration: Configuration
    folds: tuple[FoldResult, ...]
    note: str
    means: Figures
    selection: Selection | None = None


def simpler_model(
    found: Found, selection: Selection, origin: Origin, *, baselines: Sequence[BaselineFigures]
) -> Simpler | None:
    """Return the model of the simplest phase that is not worse than the best one.

    None where that is the last phase, or where no baselines are given. A heuristic is no model
    that could be kept, so the first phase is that of the simplest models; one that breaks a bound
    is passed over.

    Parameters
    ----------
    found : Found
    selection : Selection
        What makes the best model.
    origin : Origin
        Of that model.
    baselines : sequence of BaselineFigures
    """
    if not baselines:
        return None
    made = phases(found.trials, baselines, found.metric, folds=found.folds, origin=origin)
    options = (_simplest(found, baselines), _optimised_simple(found, selection))
    known = {each.phase: each for each in options if each is not None and _keeps(found, each)}
    rivals = [phase for phase in made if phase.name == "complex" or phase.name in known]
    name = simplest_not_worse(rivals, found.metric, folds=found.folds)
    chosen = next((each for phase, each in known.items() if phase == name), None)
    return None if chosen is None else replace(chosen, note=_note(made, chosen, found))


def _simplest(found: Found, baselines: Sequence[BaselineFigures]) -> Simpler | None:
    best = best_baseline(baselines, found.metric, kind="model")
    if best is None:
        return None
    configuration = default_configuration(SIMPLEST_FAMILIES[best.name])
    return Simpler("simplest", configuration, best.folds, best.name, best.mean)


def _optimised_simple(found: Found, selection: Selection) -> Simpler | None:
    best = best_simple_trial(found.trials, found.metric)
    if best is None:
        return None
    named = f"trial {best.number}, {best.configuration.family}"
    kept = any(entry.number == best.number for entry in found.entries)
    single = replace(selection, single=best.number, single_score=best.score)
    return Simpler(
        phase="optimised simple",
        configuration=best.configuration,
        folds=best.folds,
        note=named,
        means=mean_figures(best.folds),
        selection=alone(single, found.entries, found.lesson.truth) if kept else None,
    )


def _keeps(found: Found, simpler: Simpler) -> bool:
    return all(is_kept(guard, simpler.means.get(guard[0].name)) for guard in found.guards)


def _note(made: Sequence[Phase], chosen: Simpler, found: Found) -> str:
    last = made[-1]
    score = next(phase.score for phase in made if phase.name == chosen.phase)
    return preferred_note(chosen.note, score, found.metric, beside=last.what, best=last.score)
