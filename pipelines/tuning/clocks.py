"""What a search may use up, as those see it who propose units."""

import math
import time
from dataclasses import dataclass, replace

from pipelines.tuning.units import Unit

FOLD_SHARE = 0.2  # of the workers' time: what one configuration may take in all


@dataclass(frozen=True)
class Clock:
    """The time of a search.

    Attributes
    ----------
    seconds : float
        Of the whole search; infinite where it is counted in trials.
    moment : float
        Of the monotonic clock, at which units end.
    workers : int
    """

    seconds: float
    moment: float
    workers: int

    def left(self) -> float:
        """Return the seconds until units end."""
        return self.moment - time.monotonic()

    def used(self) -> float:
        """Return the share of the seconds that is used; 0 where trials are counted."""
        return 0.0 if math.isinf(self.seconds) else 1 - self.left() / self.seconds

    def timed(self, unit: Unit, n_folds: int) -> Unit:
        """Return a unit with its share of the time; where trials are counted, as it is."""
        if math.isinf(self.seconds):
            return unit
        share = FOLD_SHARE * self.workers * self.seconds / n_folds
        return replace(unit, fold_seconds=share, deadline=time.time() + self.left())
