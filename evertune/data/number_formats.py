"""How people write numbers: the decimal sign, thousands, the minus, a currency or another unit.

`detect_format` finds the one format in which the cells of a column are written, and
`NumberFormat.parse` reads a cell by it. A cell that is written otherwise is not read: a number is
never guessed.

`1.438` is one thousand or one and a half, and so is `1,438`. Where all cells of a column are
written like that, or are whole numbers below 1000, no cell tells which: the format is open.
"""

import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
import pandas as pd

from evertune.data.cell_patterns import match_cells

DecimalSign = Literal[".", ","]
Thousands = Literal["", ",", ".", " ", "'"]

MINUS_SIGNS = "-\u2212\u2013"
MINUS = f"\\{MINUS_SIGNS}"  # inside brackets of a pattern
APOSTROPHES = "'\u2019"
CURRENCY_SIGNS = (
    "$\u00a2-\u00a5\u058f\u060b\u09f2\u09f3\u0e3f\u20a0-\u20c0\ufdfc\uff04\uffe0\uffe1\uffe5\uffe6"
)
CURRENCY_WORDS = (
    "EUR Euro Euros USD GBP CHF JPY CNY RMB INR BRL RUB KRW TRY ZAR SEK NOK DKK ISK PLN CZK HUF RON"
    " BGN HRK RSD UAH ILS AED SAR QAR KWD EGP NGN KES MAD AUD NZD CAD MXN ARS CLP COP PEN UYU SGD"
    " HKD TWD THB MYR IDR PHP VND PKR BDT LKR eur usd gbp chf kr kr. Kr Kr. Kč zł Ft lei"
    " \u043b\u0432 \u043b\u0432. \u0440\u0443\u0431 \u0440\u0443\u0431. Rs Rs. TL Fr. SFr. RM Rp"
)
# one spelling each: those of time, `1 week` and `2 weeks`, would be two units
UNITS = (
    "mm cm km in ft yd mi mg kg lb lbs oz ms sec min hr hrs kB KB MB GB TB kW MW kWh MWh Hz kHz MHz"
    " GHz kV mA °C °F m² m2 m³ m3 km² ft² sqm sqft ml cl dl km/h mph m/s kg/m² bps pp px Stk Stk."
)
LETTER_UNITS = "m g t l s h W V A"  # only behind a blank: 12A is a house

_UNIT_WORDS = "|".join(re.escape(word) for word in sorted(UNITS.split(), key=len, reverse=True))
_CURRENCY_WORDS = "|".join(map(re.escape, sorted(CURRENCY_WORDS.split(), key=len, reverse=True)))
CURRENCY_PATTERN = rf"(?:[A-Z]{{0,3}}[{CURRENCY_SIGNS}]|{_CURRENCY_WORDS})"
WORD_UNIT_PATTERN = rf"(?: ?(?:{_UNIT_WORDS})| (?:{LETTER_UNITS.replace(' ', '|')}))"
UNIT_PATTERN = rf"(?: ?(?:{CURRENCY_PATTERN}|[%‰])|{WORD_UNIT_PATTERN})"
EXPONENT_PATTERN = "(?:[eE][+-]?[0-9]+)?"
GROUPED_PATTERN = (
    rf"[1-9][0-9]{{0,2}}(?:[.,{APOSTROPHES} ][0-9]{{3}})+|[1-9][0-9]?(?:,[0-9]{{2}})+,[0-9]{{3}}"
)
DIGITS_PATTERN = rf"(?:(?:{GROUPED_PATTERN}|[0-9]+)(?:[.,][0-9]*)?|[.,][0-9]+){EXPONENT_PATTERN}"
# of a cell without blanks at its ends; for RE2, which `match_cells` uses, as for `re`
NUMBER_LIKE_PATTERN = (
    rf"(?:[+{MINUS}] ?)?(?:{CURRENCY_PATTERN} ?)?(?:[+{MINUS}] ?)?{DIGITS_PATTERN}{UNIT_PATTERN}?"
    rf"(?: ?[{MINUS}])?"
    rf"|(?:{CURRENCY_PATTERN} ?)?\((?:{CURRENCY_PATTERN} ?)?{DIGITS_PATTERN}{UNIT_PATTERN}?\)"
    rf"{UNIT_PATTERN}?"
)
_UNIT_OF_CELL = re.compile(
    rf"[+{MINUS}( ]*(?P<before>{CURRENCY_PATTERN})?[+{MINUS}( ]*{DIGITS_PATTERN}"
    rf"[){MINUS}]?(?P<behind>{UNIT_PATTERN})?[ ){MINUS}]*"
)
MAX_CELLS_FOR_UNIT = 1000


@dataclass(frozen=True)
class NumberFormat:
    """One way to write numbers.

    Attributes
    ----------
    decimal : str
        `.` or `,`.
    thousands : str
        The sign between groups of three digits, "" if there is none. A blank stands for blanks
        of any width, an apostrophe for the typographic one too.
    unit : str
        A currency, `%` or another unit before or behind the digits, "" if there is none. The
        value is in this unit: `12 %` is 12.

    Examples
    --------
    >>> german = NumberFormat(",", ".", "€")
    >>> german.parse("1.234,50 €"), german.parse("(12 €)"), german.parse("1,234.50 €")
    (1234.5, -12.0, None)
    """

    decimal: DecimalSign = "."
    thousands: Thousands = ""
    unit: str = ""

    def parse(self, text: str) -> float | None:
        """Return the number of a cell without blanks at its ends; None if it is none.

        The minus is `-`, U+2212 or an en dash, before or behind the digits, or brackets. A cell
        of a format with a unit has the unit, unless it is zero.
        """
        match = _cell_pattern(self).fullmatch(text)
        if match is None:
            return None
        before, digits, behind = match.groups()
        around = before + behind
        n_units = around.count(self.unit) if self.unit else 0
        if self.unit:
            around = around.replace(self.unit, "")
        is_negative = NEGATIVE_BY_MARKS.get(around.replace(" ", ""))
        if is_negative is None or n_units > 1:
            return None
        if self.thousands:
            digits = digits.translate(_REMOVED[self.thousands])
        value = float(digits.replace(",", ".") if self.decimal == "," else digits)
        if self.unit and not n_units and value != 0:
            return None
        return -value if is_negative else value

    def example(self) -> str:
        """Return a number as it is written in this format, for messages."""
        unit = f" {self.unit}" if self.unit else ""
        return f"1{self.thousands}234{self.decimal}5{unit}"


PLAIN = NumberFormat()
NEGATIVE_BY_MARKS = {"": False, "+": False, "()": True} | dict.fromkeys(MINUS_SIGNS, True)
_REMOVED: dict[str, dict[int, None]] = {
    sign: dict.fromkeys(map(ord, APOSTROPHES if sign == "'" else sign))
    for sign in get_args(Thousands)
}


@dataclass(frozen=True)
class DetectedFormat:
    """What the cells of a column tell about their format.

    Attributes
    ----------
    decimal_known : bool
        Whether some cell shows the decimal sign; else it is `.`.
    open_sign : str
        The sign that is the decimal sign or that of thousands, "" if no cell leaves it open.
    beside_whole : bool
        Whether there are whole numbers beside the cells that leave it open.
    """

    format: NumberFormat
    decimal_known: bool
    open_sign: Thousands = ""
    beside_whole: bool = False

    def with_decimal(self, decimal: DecimalSign) -> NumberFormat:
        """Return the format where the other columns of the table show the decimal sign."""
        if self.decimal_known:
            return self.format
        thousands: Thousands = ""
        if self.format.thousands in {" ", "'"}:
            thousands = self.format.thousands
        if self.open_sign and self.open_sign != decimal:
            thousands = self.open_sign
        return _with_thousands(replace(self.format, decimal=decimal, thousands=thousands))


def detect_format(
    texts: pd.Series, counts: np.ndarray, *, decimal: DecimalSign | None = None
) -> DetectedFormat:
    """Return the format in which most cells of a column are written.

    Parameters
    ----------
    texts : series of str
        The different cells, without blanks at their ends.
    counts : array of int
        How often each occurs.
    decimal : str, optional
        The decimal sign where it is declared; it is never open then.

    Examples
    --------
    >>> cells = pd.Series(["1.438,5", "989"], dtype="str")
    >>> detect_format(cells, np.ones(2)).format
    NumberFormat(decimal=',', thousands='.', unit='')
    >>> detect_format(pd.Series(["1.438", "989"], dtype="str"), np.ones(2)).open_sign
    '.'
    """
    unit = _commonest_unit(texts)
    signs: tuple[DecimalSign, ...] = (decimal,) if decimal else (".", ",")
    found = [_best_format(texts, counts, sign, unit) for sign in signs]
    found.sort(key=lambda each: -each.score)
    best = found[0]
    if decimal is not None or found[1].score < best.score:
        return DetectedFormat(_with_thousands(best.format), decimal_known=True)
    signed = texts.str.contains("[.,]") & best.matches
    if not signed.any() or (best.matches != found[1].matches).any():
        return DetectedFormat(best.format, decimal_known=False)
    has_point = texts.str.contains(".", regex=False) & signed
    return DetectedFormat(
        best.format,
        decimal_known=False,
        open_sign="." if has_point.any() else ",",
        beside_whole=bool((best.matches & ~signed).any()),
    )


def looks_like_numbers(texts: pd.Series, *, declared: bool = False) -> pd.Series:
    """Return a mask of the stripped cells that are written like numbers in some format.

    Words with units are none if their units differ, as in `500 g` and `1 kg`; nor are numbers
    that are all in brackets, unless the column is declared to have numbers.
    """
    mask = match_cells(texts, NUMBER_LIKE_PATTERN)
    if not mask.any():
        return mask
    with_unit = mask & match_cells(texts, rf".*[0-9.,)]{WORD_UNIT_PATTERN}[){MINUS}]?")
    if with_unit.any():
        units = {_unit_of(text) for text in texts[with_unit].head(MAX_CELLS_FOR_UNIT)}
        if len(units) > 1:
            mask &= ~with_unit
    if not declared and texts[mask].str.startswith("(").all():
        return mask & False
    return mask


@dataclass(frozen=True, eq=False)
class _Candidate:
    format: NumberFormat
    score: float
    matches: pd.Series


def _best_format(
    texts: pd.Series, counts: np.ndarray, decimal: DecimalSign, unit: str
) -> _Candidate:
    """Return the format with a decimal sign that fits most cells, the simplest of several."""
    best = None
    groups: tuple[Thousands, ...] = ("", "," if decimal == "." else ".", " ", "'")
    for thousands in groups:
        each = NumberFormat(decimal, thousands, unit)
        matches = match_cells(texts, _pattern_text(each))
        score = float(counts[matches.to_numpy()].sum())
        if best is None or score > best.score:
            best = _Candidate(each, score, matches)
    assert best is not None  # for mypy: there are candidates
    return best


def _with_thousands(found: NumberFormat) -> NumberFormat:
    """Return a format whose numbers may have thousands later, though none had until now."""
    if found.thousands or (found.decimal == "." and not found.unit):
        return found
    return NumberFormat(found.decimal, "." if found.decimal == "," else ",", found.unit)


def _commonest_unit(texts: pd.Series) -> str:
    units = Counter(_unit_of(text) for text in texts.head(MAX_CELLS_FOR_UNIT))
    del units[None]
    return str(units.most_common(1)[0][0]) if units else ""


def _unit_of(text: str) -> str | None:
    """Return the unit of a cell, "" if it has none; None if it is no number."""
    match = _UNIT_OF_CELL.fullmatch(text)
    return None if match is None else (match["before"] or match["behind"] or "").strip()


def _pattern_text(written: NumberFormat) -> str:
    whole = "[0-9]+"
    if written.thousands:
        sign = f"[{APOSTROPHES}]" if written.thousands == "'" else f"[{written.thousands}]"
        grouped = f"[1-9][0-9]{{0,2}}(?:{sign}[0-9]{{3}})+"
        if written.thousands == ",":  # lakh and crore
            grouped += "|[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}"
        whole = f"(?:{grouped}|[0-9]+)"
    decimal = f"[{written.decimal}]"
    digits = f"(?:{whole}(?:{decimal}[0-9]*)?|{decimal}[0-9]+){EXPONENT_PATTERN}"
    unit = f"|{re.escape(written.unit)}" if written.unit else ""
    return f"((?:[+{MINUS}( ]{unit})*)({digits})((?:[ ){MINUS}]{unit})*)"


@lru_cache(maxsize=256)
def _cell_pattern(written: NumberFormat) -> re.Pattern[str]:
    return re.compile(_pattern_text(written))
