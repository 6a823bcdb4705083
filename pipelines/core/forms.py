"""Forms: how each kind of column is encoded, and the one name of each way to do it all."""

from dataclasses import dataclass

from pipelines.core.column_encoders import NUMBER_WAYS
from pipelines.core.text_columns import TEXT_WAYS

Form = str  # how numbers are encoded, then what differs from that, each after a plus sign
CODED = ("ordinal", "codes")
FORMS: tuple[Form, ...] = (*NUMBER_WAYS, "plain", *CODED)
LEVEL_WAYS = ("one_hot", "target", *CODED, "hashed")
PAIR_WAYS = ("none", "numbers", "levels", "both")
TEXT, PAIRS = "text:", "pairs:"  # what stands before these ways in a form


@dataclass(frozen=True)
class Ways:
    """How each kind of column is encoded.

    Attributes
    ----------
    numbers : str
        One of `NUMBER_WAYS`, or `plain`: as they are, gaps included.
    levels : str
        Of categories: one of `LEVEL_WAYS`.
    text : str
        One of `TEXT_WAYS`.
    pairs : str
        Which pairs of columns are added: one of `PAIR_WAYS`.
    """

    numbers: str
    levels: str
    text: str = "auto"
    pairs: str = "none"

    @property
    def scaled(self) -> bool:
        """Whether all columns have about the same spread."""
        return self.numbers in NUMBER_WAYS


def form_named(ways: Ways) -> Form:
    """Return the one name of the form with these ways.

    Examples
    --------
    >>> form_named(Ways("plain", "ordinal")), form_named(Ways("scaled", "one_hot"))
    ('ordinal', 'scaled')
    >>> form_named(Ways("scaled", "target", "words", "numbers"))
    'scaled+target+text:words+pairs:numbers'
    """
    first = _first(ways)
    text = [] if ways.text == "auto" else [f"{TEXT}{ways.text}"]
    pairs = [] if ways.pairs == "none" else [f"{PAIRS}{ways.pairs}"]
    return "+".join([first, *text, *pairs])


def ways_of(form: Form) -> Ways:
    """Return the ways that a form's name stands for.

    Raises
    ------
    ValueError
        If there is no such form.

    Examples
    --------
    >>> ways_of("ordinal+text:hashed")
    Ways(numbers='ordinal', levels='ordinal', text='hashed', pairs='none')
    """
    numbers, *others = form.split("+")
    text = [each.removeprefix(TEXT) for each in others if each.startswith(TEXT)]
    pairs = [each.removeprefix(PAIRS) for each in others if each.startswith(PAIRS)]
    ways = [each for each in others if not each.startswith((TEXT, PAIRS))]
    found = Ways(
        numbers,
        *(ways or [numbers if numbers in CODED else "one_hot"])[:1],
        *(text or ["auto"])[:1],
        *(pairs or ["none"])[:1],
    )
    if not _exists(found) or max(len(text), len(pairs), len(ways)) > 1:
        raise ValueError(
            f"form must be one of {', '.join(FORMS)}, with {', '.join(LEVEL_WAYS)}, "
            f"{TEXT}{'|'.join(TEXT_WAYS)} or {PAIRS}{'|'.join(PAIR_WAYS)} after plus signs, but "
            f"got {form=}."
        )
    return found


def _first(ways: Ways) -> str:
    if ways.numbers in ("plain", *CODED) and ways.levels in CODED:
        return ways.levels
    return ways.numbers if ways.levels == "one_hot" else f"{ways.numbers}+{ways.levels}"


def _exists(ways: Ways) -> bool:
    return (
        ways.numbers in FORMS
        and ways.levels in LEVEL_WAYS
        and ways.text in TEXT_WAYS
        and ways.pairs in PAIR_WAYS
    )
