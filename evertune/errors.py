"""The exceptions of Evertune, each with the exit code that the command ends with.

EvertuneError
 ├─ InputError (2): what was given cannot be used
 │   ├─ ParamsError: params.yaml
 │   └─ TableError: a table, a file or a query
 ├─ StageError (4): a step failed and can be started again
 ├─ BusyError (75): something that is needed is in use or does not answer
 │   └─ ProjectBusyError: another run holds the project
 └─ UnsafeError (78): the folder or machine that the project runs in cannot be used

A message says what was expected, what was found, and what to do.
"""


class EvertuneError(Exception):
    """A failure that the user sees as one message, without a traceback."""

    exit_code = 1


class InputError(EvertuneError):
    """The input cannot be used; nothing was changed."""

    exit_code = 2


class ParamsError(InputError):
    """params.yaml has one or more faults; the message lists all of them."""


class TableError(InputError):
    """A table, a file or a query has one or more faults; the message lists them."""


class StageError(EvertuneError):
    """A step failed; finished work is kept, and the next run continues from there."""

    exit_code = 4


class BusyError(EvertuneError):
    """Another run holds the project, or a server does not answer; try again later."""

    exit_code = 75


class ProjectBusyError(BusyError):
    """Another run holds the project's lock.

    Attributes
    ----------
    purpose : str, optional
        What the other run does, as it was given to `project_lock`; None if it is not known.
    pid : int, optional
        Its process id; None if it is not known.
    """

    def __init__(self, message: str, *, purpose: str | None, pid: int | None) -> None:
        super().__init__(message)
        self.purpose = purpose
        self.pid = pid


class UnsafeError(EvertuneError):
    """The folder or machine that the project runs in cannot be used, e.g. a read-only folder."""

    exit_code = 78


class EvertuneWarning(UserWarning):
    """A warning for the user, which the command shows; those of libraries are not shown."""
