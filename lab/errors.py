"""The errors of the lab, one tree: `LabError` is what its public functions raise when this machine will not do it."""

from __future__ import annotations


class LabError(Exception):
    """Something of this machine is missing or refused; the text says what and how to mend it."""


class NameInvalid(LabError):
    """A lab's name is not `[a-z][a-z0-9]{0,11}`."""


class CommandFailed(LabError):
    """A command ended with an error; its argv, exit code and what it said."""

    def __init__(self, argv: tuple[str, ...], code: int, said: str) -> None:
        super().__init__(f"{' '.join(argv)}: exit code {code}: {said.strip() or 'no output'}")
        self.argv = argv
        self.code = code
        self.said = said


class DeadlinePassed(LabError):
    """Something that was started did not become ready in time."""
