"""The ids by which a prediction and its label find each other."""

LONGEST_ID = 200


def id_fault(identity: str) -> str | None:
    """Return why a text can be no id, None where it can.

    Examples
    --------
    >>> id_fault("order-17"), id_fault("")
    (None, 'is empty')
    """
    if not identity:
        return "is empty"
    if len(identity) > LONGEST_ID:
        return f"has {len(identity)} characters; expected at most {LONGEST_ID}"
    if not identity.isprintable():
        return "has characters that cannot be printed"
    return None
