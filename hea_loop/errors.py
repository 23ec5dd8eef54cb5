"""The errors that a user can cause, as one small tree.

Each carries the field, the value and the mend, so that the command line, a flow and a notebook show the
same single line.
"""

from __future__ import annotations

__all__ = ["HeaLoopError", "InputError", "StoreError"]


class HeaLoopError(Exception):
    """Base of every error that hea-loop raises on purpose. Its text is one line for a person to act on."""


class InputError(HeaLoopError, ValueError):
    """Something that a person gave cannot be used.

    Args:
        field: What was given, by the name the user knows (``palette.W.max``, ``composition``, ``--seed``).
        value: What was given for it.
        problem: What is wrong with it.
        mend: What to do about it.
    """

    def __init__(self, field: str, value: object, problem: str, mend: str) -> None:
        self.field = field
        self.value = value
        self.problem = problem
        self.mend = mend
        shown = repr(value)
        if len(shown) > 120:
            shown = shown[:117] + "..."
        super().__init__(" ".join(f"{field} = {shown}: {problem}; {mend}".split()))

    def __reduce__(self) -> tuple[type[InputError], tuple[str, object, str, str]]:
        """Pickle by the four arguments: a worker process could not hand the error back otherwise."""
        return type(self), (self.field, self.value, self.problem, self.mend)


class StoreError(InputError):
    """The store cannot be opened, read or written: corrupt, read-only, locked, or of another version."""
