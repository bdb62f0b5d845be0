"""Errors that a person can act on: one sentence that says what happened and what to do.

Anything else that escapes is a bug and keeps its traceback. Each class also inherits the built-in
exception that Python programmers would expect, so `except ValueError` keeps working.
"""

from __future__ import annotations


class WorkbenchError(Exception):
    """Base of the errors that are shown to people as a single sentence (exit status 2)."""


class ConfigError(WorkbenchError, ValueError):
    """A setting has an impossible value."""


class TaskError(WorkbenchError, ValueError):
    """A task, pack or specification is unknown, empty or malformed."""


class PluginError(WorkbenchError, ValueError):
    """An extension of another package, or one that Python code registers, is not what it should be."""


class FeedbackError(WorkbenchError, ValueError):
    """Feedback cannot be attached (no such attempt, or no content)."""

    @classmethod
    def no_attempt(cls, attempt_id: object) -> FeedbackError:
        """Say that a run has no attempt with this id."""
        return cls(f"There is no attempt {attempt_id!r} in this run; sample or choose another.")


class PolicyError(WorkbenchError, RuntimeError):
    """A model, tokenizer or adapter cannot be loaded or used."""


class PromptError(WorkbenchError, ValueError):
    """A prompt cannot be rendered, or does not fit the model's context."""


class CreditError(WorkbenchError, ValueError):
    """A credit lacks a context or number that was requested."""


class NoSignalError(WorkbenchError, RuntimeError):
    """An update was asked for, but no attempt carries any signal."""


class UpdateError(WorkbenchError, RuntimeError):
    """An update failed; the policy is exactly what it was before."""


class StoppedError(WorkbenchError, RuntimeError):
    """A person stopped it before its end; nothing was recorded."""


class RunError(WorkbenchError, RuntimeError):
    """A run directory cannot be opened, read or written."""


class SandboxError(WorkbenchError, RuntimeError):
    """Code cannot be run safely on this machine."""
