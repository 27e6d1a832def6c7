"""Every error a user can cause: it names the file, row or argument, and says what to do."""

_ADVICE = ("weights_only", "allow_pickle", "safe_globals", "MAX_IMAGE_PIXELS", "MAX_PIXELS", "trust")
_LONGEST_REASON = 200


def reason(error: BaseException) -> str:
    """What another library says is wrong, in one short line and without its advice to switch a check off."""
    text = " ".join(str(error).split()) or type(error).__name__
    if any(word in text for word in _ADVICE):
        return "it holds more than plain numbers, or is damaged"
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]} ..."


class MetstError(Exception):
    """Base of all errors that `metst_core` raises on purpose."""


class InputError(MetstError, ValueError):
    """A value, row or array that cannot be used."""


class LostOutput(MetstError, UserWarning):
    """A warning that an output went nowhere; the command line takes it for an error."""


class MissingError(MetstError, FileNotFoundError):
    """A file, folder or model that is not where it was looked for."""
