"""A terminal in which `hopsight` is typed: a process of its own, a home of its own, and only the words it prints."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Terminal:
    """One person's shell."""

    home: Path
    url: str = ""
    token: str = ""
    more: dict[str, str] = field(default_factory=dict)
    in_process: bool = True

    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        ours = {"HOME": str(self.home), "PYTHONPATH": str(ROOT / "cli"), "COLUMNS": "120", "PYTHONIOENCODING": "utf-8"}
        told = {"HOPSIGHT_URL": self.url, "HOPSIGHT_TOKEN": self.token}
        return kept | ours | {name: value for name, value in told.items() if value} | self.more

    def here(self, *words: str, stdin: str = "") -> Said:
        """The end of a command that is run inside this process: what starting Python takes is saved."""
        sys.path[:] = [str(ROOT / "cli"), *(place for place in sys.path if place != str(ROOT / "cli"))]
        from hopsight_cli.main import run

        environment = self.environment()
        encoding = environment["PYTHONIOENCODING"]
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
        code: object = 0
        with (
            mock.patch.dict(os.environ, environment, clear=True), mock.patch.object(sys, "argv", ["hopsight", *words]),
            mock.patch.object(sys, "stdin", io.StringIO(stdin)), redirect_stdout(out), redirect_stderr(err),
        ):  # fmt: skip
            try:
                run()
            except SystemExit as ended:
                code = ended.code
        texts = []
        for stream in (out, err):
            stream.flush()
            texts.append(stream.buffer.getvalue().decode(encoding))  # type: ignore[attr-defined]
        return Said(code if isinstance(code, int) else 1, *texts)

    def run(self, *words: str, stdin: str | None = None, timeout: float = 60) -> Said:
        """The end of a command; its stdin is closed unless given."""
        if self.in_process:
            return self.here(*words, stdin=stdin or "")
        done = subprocess.run(
            self._argv(words), env=self.environment(), capture_output=True, text=True, timeout=timeout,
            input=stdin if stdin is not None else "",
        )  # fmt: skip
        return Said(done.returncode, done.stdout, done.stderr)

    def ok(self, *words: str, **options: Any) -> Said:
        """A command that must succeed."""
        said = self.run(*words, **options)
        assert said.code == 0, f"hopsight {' '.join(words)}: {said.code}\n{said.out}\n{said.err}"
        assert "Traceback" not in said.err
        return said

    def started(self, *words: str) -> Running:
        """A command that goes on, with a terminal of its own on stdin and stdout."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            self._argv(words), env=self.environment(), stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        os.set_blocking(ours, False)
        return Running(process, ours)

    @staticmethod
    def _argv(words: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "hopsight_cli", *words]


@dataclass
class Running:
    """A command in a terminal: what it showed so far, keys to press."""

    process: subprocess.Popen[bytes]
    terminal: int
    seen: str = ""

    def press(self, keys: str) -> None:
        os.write(self.terminal, keys.encode())

    def interrupt(self) -> None:
        """As Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)

    def shows(self, text: str, deadline_s: float = 30) -> None:
        """Wait until it was shown."""
        wait_for(lambda: text in self._read(), deadline_s, f"{text!r} is shown")

    def end(self, deadline_s: float = 20) -> int:
        """Its exit code, once it has ended; ended by force when it does not."""
        try:
            wait_for(lambda: self._read() is not None and self.process.poll() is not None, deadline_s, "it ends")
        finally:
            self.process.kill()
            self.process.wait()
            self._read()
            os.close(self.terminal)
        return self.process.returncode

    def _read(self) -> str:
        try:
            while data := os.read(self.terminal, 65536):
                self.seen += data.decode(errors="replace")
        except OSError:  # nothing yet, or the other end is closed
            pass
        return self.seen
