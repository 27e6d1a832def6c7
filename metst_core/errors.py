"""Every error a user can cause: it names the file, row or argument, and says what to do."""


class MetstError(Exception):
    """Base of all errors that `metst_core` raises on purpose."""


class InputError(MetstError, ValueError):
    """A value, row or array that cannot be used."""


class LostOutput(MetstError, UserWarning):
    """A warning that an output went nowhere; the command line takes it for an error."""


class MissingError(MetstError, FileNotFoundError):
    """A file, folder or model that is not where it was looked for."""
