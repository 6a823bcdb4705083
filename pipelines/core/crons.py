"""The five fields of a cron schedule, checked before a scheduler is asked."""

FIELDS = {
    "minute": (0, 59),
    "hour": (0, 23),
    "day of the month": (1, 31),
    "month": (1, 12),
    "day of the week": (0, 7),
}
NAMES = {
    "month": ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    "day of the week": ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
}


def cron_fault(text: str) -> str | None:
    """Return what is wrong with a schedule, None where nothing is.

    A field is `*`, a number, a range such as `1-5`, a list of them with commas, each with a step
    such as `*/15` where it is no single number; months and days of the week may be names.

    Examples
    --------
    >>> cron_fault("*/15 6-20 * * mon-fri")
    >>> cron_fault("0 25 * * *")
    "the hour must be from 0 to 23, but is '25'"
    """
    parts = text.split()
    if len(parts) != len(FIELDS):
        return f"expected five fields ({', '.join(FIELDS)}), but got {len(parts)}"
    for name, part in zip(FIELDS, parts, strict=True):
        for entry in part.split(","):
            if not _is_fine(entry, name):
                low, high = FIELDS[name]
                return f"the {name} must be from {low} to {high}, but is '{entry}'"
    return None


def _is_fine(entry: str, name: str) -> bool:
    span, slash, step = entry.partition("/")
    if slash and not (step.isascii() and step.isdigit() and int(step) > 0):
        return False
    if span == "*":
        return True
    first, dash, last = span.partition("-")
    numbers = [_number(each, name) for each in ([first, last] if dash else [first])]
    low, high = FIELDS[name]
    if any(number is None or not low <= number <= high for number in numbers):
        return False
    return not (slash and not dash) and numbers == sorted(n for n in numbers if n is not None)


def _number(text: str, name: str) -> int | None:
    names = NAMES.get(name, [])
    if text.lower() in names:
        return names.index(text.lower()) + FIELDS[name][0]
    return int(text) if text.isascii() and text.isdigit() else None
