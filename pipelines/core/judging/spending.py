"""How the share of false promotions that is allowed is spent over looks at one hold-out."""


def share_of_look(look: int) -> float:
    """Return the share of the whole that a look may spend, 1 / (k (k + 1)).

    The shares of the first k looks sum to 1 - 1 / (k + 1), so that those of all looks, however
    many, sum to 1, and the first has half of it.

    Parameters
    ----------
    look : int
        From 1.

    Raises
    ------
    ValueError
        If it is below 1.

    References
    ----------
    DeMets and Lan (1994), Interim Analysis: The Alpha Spending Function Approach; by Boole's
    inequality, so that it holds however the looks depend on each other.

    Examples
    --------
    >>> [round(share_of_look(look), 3) for look in (1, 2, 3)]
    [0.5, 0.167, 0.083]
    """
    if look < 1:
        raise ValueError(f"'look' must be at least 1. Got {look} instead.")
    return 1 / (look * (look + 1))


def confidence_of_look(look: int, *, false_promotions: float) -> float:
    """Return the two-sided confidence whose tail is what a look may spend.

    A version that is no better is promoted where the low end of its interval is above 0, with a
    chance of (1 - confidence) / 2; over all looks at a hold-out that is at most
    `false_promotions`.

    Parameters
    ----------
    look : int
        From 1.
    false_promotions : float
        Above 0 and below 1: the chance that any look at one hold-out promotes by luck alone.

    Raises
    ------
    ValueError
        If the look is below 1, or the share is not between 0 and 1.

    Examples
    --------
    >>> round(confidence_of_look(1, false_promotions=0.05), 6)
    0.95
    >>> round(confidence_of_look(2, false_promotions=0.05), 4)
    0.9833
    """
    if not 0 < false_promotions < 1:
        raise ValueError(
            f"'false_promotions' must be above 0 and below 1. Got {false_promotions} instead."
        )
    return 1 - 2 * false_promotions * share_of_look(look)
