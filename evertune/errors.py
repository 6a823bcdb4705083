"""The exceptions of Evertune, each with the exit code that the command ends with.

EvertuneError
 ├─ InputError (2): what was given cannot be used
 │   ├─ ParamsError: params.yaml
 │   └─ TableError: a table, a file or a query
 ├─ StageError (4): a step failed and can be started again
 ├─ BusyError (75): something that is needed is in use or does not answer
 └─ UnsafeError (78): the place that the project runs in cannot be used

A message says what was expected, what was found, and what to do.
"""


class EvertuneError(Exception):
    """A failure that is told to the user in one message, without a traceback."""

    exit_code = 1


class InputError(EvertuneError):
    """What was given cannot be used; nothing was changed."""

    exit_code = 2


class ParamsError(InputError):
    """params.yaml has one or more faults; the message lists all of them."""


class TableError(InputError):
    """A table, a file or a query has one or more faults; the message lists them."""


class StageError(EvertuneError):
    """A step failed; what was finished is kept and the next run goes on from there."""

    exit_code = 4


class BusyError(EvertuneError):
    """Another run holds the project, or a server does not answer; try again later."""

    exit_code = 75


class UnsafeError(EvertuneError):
    """The place that the project runs in cannot be used, for example a read-only folder."""

    exit_code = 78
