"""The hosts themselves, over their switches' control sockets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sdn.trace.question import HostUnreachable
from sdn.transport.unixctl import UnixctlClient, UnixctlError, find_vswitchd_socket


class LiveWorld:
    """Asks ovs-vswitchd of each host, whose run folders are `rundirs`."""

    def __init__(self, rundirs: Mapping[str, Path]) -> None:
        self._rundirs = rundirs
        self._clients: dict[str, UnixctlClient] = {}

    def ofproto_trace(self, host: str, bridge: str, flow: str, ct_next: tuple[str, ...]) -> str:
        """The text of `ofproto/trace`."""
        return self._run(
            host, "ofproto/trace", bridge, flow, *(word for state in ct_next for word in ("--ct-next", state))
        )

    def conntrack(self, host: str) -> str:
        """The text of `dpctl/dump-conntrack`."""
        return self._run(host, "dpctl/dump-conntrack")

    def close(self) -> None:
        """Close the sockets."""
        for client in self._clients.values():
            client.close()

    def _run(self, host: str, *words: str) -> str:
        try:
            if host not in self._clients:
                self._clients[host] = UnixctlClient(find_vswitchd_socket(self._rundirs[host]))
            return self._clients[host].run(*words)
        except (UnixctlError, KeyError) as problem:
            self._clients.pop(host, None)
            raise HostUnreachable(f"{host}: {problem}") from problem
