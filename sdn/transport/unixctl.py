"""A daemon's control socket, natively: one JSON-RPC request costs 0.2 ms where forking ovs-appctl costs 4 to 10."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from pathlib import Path

DEADLINE_S = 5.0


class UnixctlError(Exception):
    """The daemon is gone, did not answer in time, or refused; the message holds its own words."""


class UnixctlTimeout(UnixctlError):
    """No answer by the deadline: the daemon hangs, is stopped, or is very busy."""


def find_vswitchd_socket(rundir: Path) -> Path:
    """ovs-vswitchd's control socket in its run folder, by its pid file. Raises UnixctlError when it is not running."""
    try:
        pid = int((rundir / "ovs-vswitchd.pid").read_text().strip())
    except (OSError, ValueError) as problem:
        raise UnixctlError(f"no ovs-vswitchd runs in {rundir}") from problem
    return rundir / f"ovs-vswitchd.{pid}.ctl"


class UnixctlClient:
    """One connection to a control socket; may be used from several threads. Reconnects by itself, once a call."""

    def __init__(self, path: Path, deadline_s: float = DEADLINE_S) -> None:
        self.path = path
        self.deadline_s = deadline_s
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._ids = itertools.count()
        self._early: tuple[str, ...] | None = None  # asked already, and its answer not read yet
        self._kept: tuple[tuple[str, ...], str] | None = None  # what was asked early, and its answer

    def ask_early(self, command: str, *arguments: str) -> None:
        """Ask already what will be asked for later: the daemon answers while something else is done here.

        The answer is that of now, for the next `run` of the same words, until `forget_early`. Nothing is waited for and nothing
        raised: without a connection that is open, it is asked then.
        """
        with self._lock:
            self._drop_early()
            if self._socket is None:
                return
            try:
                self._send(self._socket, command, arguments)
                self._early = (command, *arguments)
            except OSError:
                self.close()

    def forget_early(self) -> None:
        """What was asked early is not wanted any more; an answer that is not here yet is not waited for."""
        with self._lock:
            self._drop_early()

    def run(self, command: str, *arguments: str) -> str:
        """The command's output. Raises UnixctlError."""
        with self._lock:
            self._take_early()
            if self._kept is not None and self._kept[0] == (command, *arguments):
                text, self._kept = self._kept[1], None
                return text
            fresh = self._socket is None
            try:
                return self._ask(command, arguments)
            except (ConnectionError, BrokenPipeError):
                self.close()
                if fresh:
                    raise UnixctlError(f"{self.path}: the daemon closed the connection") from None
            try:
                return self._ask(command, arguments)
            except (ConnectionError, BrokenPipeError) as problem:
                self.close()
                raise UnixctlError(f"{self.path}: {problem}") from problem

    def list_commands(self) -> frozenset[str]:
        """The commands that this daemon knows, to find out what its version can do. Raises UnixctlError."""
        lines = self.run("list-commands").splitlines()
        return frozenset(line.split()[0] for line in lines if line.startswith("  ") and line.strip())

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        self._early = self._kept = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _take_early(self) -> None:
        """Read what was asked early, for it comes first. Of a daemon that went meanwhile it was never asked."""
        if self._early is None:
            return
        words, self._early = self._early, None
        try:
            answer = self._read(self._connection(), time.monotonic() + self.deadline_s)
        except TimeoutError as problem:
            self.close()
            raise UnixctlTimeout(f"{self.path}: no answer to {words[0]} within {self.deadline_s:.0f} s") from problem
        except OSError:
            self.close()
            return
        if answer.get("error") is None:
            self._kept = words, str(answer.get("result") or "")

    def _drop_early(self) -> None:
        if self._early is not None:
            self.close()
        self._kept = None

    def _send(self, connection: socket.socket, command: str, arguments: tuple[str, ...]) -> None:
        request = {"id": next(self._ids), "method": command, "params": list(arguments)}
        connection.settimeout(self.deadline_s)
        connection.sendall(json.dumps(request).encode())

    def _ask(self, command: str, arguments: tuple[str, ...]) -> str:
        end = time.monotonic() + self.deadline_s
        connection = self._connection()
        try:
            self._send(connection, command, arguments)
            answer = self._read(connection, end)
        except TimeoutError as problem:
            self.close()
            raise UnixctlTimeout(f"{self.path}: no answer to {command} within {self.deadline_s:.0f} s") from problem
        if answer.get("error") is not None:
            raise UnixctlError(str(answer["error"]).strip())
        return str(answer.get("result") or "")

    def _connection(self) -> socket.socket:
        if self._socket is None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(self.deadline_s)
            try:
                connection.connect(str(self.path))
            except TimeoutError as problem:
                connection.close()
                raise UnixctlTimeout(f"{self.path}: no connection within {self.deadline_s:.0f} s") from problem
            except OSError as problem:
                connection.close()
                raise UnixctlError(f"no daemon answers at {self.path}: {problem}") from problem
            self._socket = connection
        return self._socket

    def _read(self, connection: socket.socket, end: float) -> dict[str, object]:
        chunks: list[bytes] = []
        while True:
            connection.settimeout(max(end - time.monotonic(), 0.001))
            chunk = connection.recv(1 << 18)
            if not chunk:
                raise ConnectionResetError("closed")
            chunks.append(chunk)
            if not chunk.endswith(b"}"):
                continue
            try:
                answer = json.loads(b"".join(chunks))
            except json.JSONDecodeError:
                continue
            if isinstance(answer, dict):
                return answer
