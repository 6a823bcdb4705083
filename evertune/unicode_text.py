"""One form for the text that reaches us: cells, labels, identifiers and names of columns.

The same word comes in several codings: `é` as one character or as two, a blank that does not
break, a mark without width that a spreadsheet or a web page left. `clean_text` gives them one
form, so that what looks equal is equal.
"""

import unicodedata

WHITESPACE = " \t\r\n"
BLANKS = (0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000)
INVISIBLE = "\u00ad\u200b\u200e\u200f\u2060\ufeff"
JOINERS = "\u200c\u200d"  # they belong inside words of some scripts, and inside emoji
TRANSLATION = dict.fromkeys(BLANKS, " ") | dict.fromkeys(map(ord, INVISIBLE))


def clean_text(text: str) -> str:
    r"""Return a text in Unicode's composed form (NFC), without blanks at its ends.

    Blanks of any width become plain ones; marks without width go. Blanks inside are kept, however
    many they are.

    Examples
    --------
    >>> clean_text("gekündigt\u00a0") == clean_text("\u200bgeku\u0308ndigt") == "gekündigt"
    True
    """
    if text.isascii():  # nearly all texts, and the test takes a few nanoseconds
        return text.strip(WHITESPACE)
    text = unicodedata.normalize("NFC", text).translate(TRANSLATION)
    return text.strip(WHITESPACE + JOINERS)
