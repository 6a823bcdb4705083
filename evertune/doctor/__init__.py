"""What is wrong with this machine and a project, and how to mend it: `evertune doctor`.

`examine` runs every check of `CHECKS` and returns what they find. A check is a function of a
`Place` that yields findings; `machine` has those of the machine, `project` those of the project's
folder and of DVC, `stores` those of its databases. Nothing is mended here: a finding names the
command that does, or says what to do by hand.
"""

from evertune.doctor.examine import CHECKS, examine, nearest_project
from evertune.doctor.finding import Finding, Place

__all__ = ["CHECKS", "Finding", "Place", "examine", "nearest_project"]
