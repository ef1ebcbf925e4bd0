"""Every error of the pipeline, in PostgreSQL's manner: message, detail, hint.

The message says what is wrong, in lower case and without a full stop; the detail gives the facts; the hint is a
sentence that says what to do. A person sees these three lines and no traceback.
"""

from __future__ import annotations


class PipelineError(Exception):
    """The pipeline failed in a way it knows."""

    exit_code = 1

    def __init__(self, message: str | None = None, *, detail: str = "", hint: str = "") -> None:
        super().__init__(message or (self.__doc__ or "").split("\n")[0].rstrip("."))
        self.message = str(self.args[0])
        self.detail = detail
        self.hint = hint

    def report(self) -> str:
        """The error as a person reads it: one line each for error, detail and hint, the last two only if given."""
        lines = [f"error: {self.message}"]
        if self.detail:
            lines.append(f"detail: {self.detail}")
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)


class UsageError(PipelineError):
    """A command was called with arguments that it does not take."""

    exit_code = 2


class SettingsError(PipelineError):
    """A setting has a value that is not allowed."""

    exit_code = 2


class PassingFault(PipelineError):
    """Something failed that may succeed later: a server down, a full disk, a timeout.

    A stage that meets one keeps its place, backs off and tries again; it never sets a record aside because of it.
    """


class Fenced(PipelineError):
    """Another process owns this work now; this one has rolled back and ends."""


class OffsetsDisagree(PipelineError):
    """The topic and the database contradict each other about what was read."""


class Rejected(Exception):
    """A record can never succeed and is set aside with its reason.

    ``reason`` is the class of the fault, a short word in snake_case that people filter by (``not_json``,
    ``wrong_type``, ...); ``message`` says it in full. Neither ever contains a credential of the record.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
