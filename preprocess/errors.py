"""The one exception family of the project.

Every error that a user can cause is a `NetshareError` whose message is one line: the file or field, what was found
there, and what to do about it. The command line prints that line and leaves with `exit_code`; anything that is not a
`NetshareError` is a defect of ours, shown with its traceback (exit code 1).

    NetshareError
    |-- InputError       a trace cannot be read, or holds nothing usable
    |-- ConfigError      a setting is unknown, of the wrong type, or contradicts another
    |-- FieldError       a field cannot be encoded or decoded as asked
    |-- RunFolderError   the run folder cannot be written, is in use, or belongs to another run
    |-- TrainingError    a model cannot be trained (too little data, a loss that diverges)
    `-- ClusterError     Ray cannot be reached, or has not the resources asked for
"""


class NetshareError(Exception):
    """Base of all errors that a user can cause; `str(error)` is one line fit to be shown."""

    exit_code = 2


class InputError(NetshareError):
    """A trace cannot be read, or holds nothing usable."""


class ConfigError(NetshareError):
    """A setting is unknown, of the wrong type, or contradicts another."""


class FieldError(NetshareError):
    """A field cannot be encoded or decoded as asked."""


class RunFolderError(NetshareError):
    """The run folder cannot be written, is in use, or belongs to another run."""


class TrainingError(NetshareError):
    """A model cannot be trained: too little data, or a loss that diverges."""


class ClusterError(NetshareError):
    """Ray cannot be reached, or has not the resources asked for."""
