"""Asks the switches what their datapaths hold. The one file of this package that meets a host."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from sdn.observe.datapath import DatapathFlow
from sdn.observe.follow import Glance
from sdn.observe.observed import Explained
from sdn.trace.parser import parse_flow, parse_trace
from sdn.transport.unixctl import UnixctlClient, UnixctlError, find_vswitchd_socket

DEADLINE_S = 3.0
EXPLAINED_MAX = 500
DETRACE = "ofproto/detrace"
_PORT = re.compile(r"^  port ([0-9]{1,20}): (\S+)", re.MULTILINE)


class LookFailed(Exception):
    """A switch could not be asked; the message is a sentence."""


class Looker:
    """One connection to each switch, kept over the looks; what explains an entry is asked once for each of its forms."""

    def __init__(self, rundirs: Mapping[str, Path]) -> None:
        self._rundirs = rundirs
        self._clients: dict[str, UnixctlClient] = {}
        self._commands: dict[str, frozenset[str]] = {}
        self._explained: dict[tuple[str, str, tuple[str, ...]], Explained] = {}

    def look(self, host: str, underlay_ip: str) -> Glance:
        """The host's datapath as it is now. Raises LookFailed."""
        flows = self._run(host, "dpctl/dump-flows", "-m")
        conntrack = self._run(host, "dpctl/dump-conntrack", "-s")
        names = dict(_PORT.findall(self._run(host, "dpctl/show")))
        return Glance.read(host, underlay_ip, flows, conntrack, names)

    def explain(self, host: str, flow: DatapathFlow) -> Explained:
        """The OpenFlow look-ups behind an entry, by translating its key again. Raises LookFailed."""
        key = (host, flow.ufid, flow.actions)
        if key not in self._explained:
            if len(self._explained) >= EXPLAINED_MAX:
                self._explained.clear()
            self._explained[key] = self._ask(host, flow)
        return self._explained[key]

    def has_detrace(self, host: str) -> bool:
        """Does the switch know `ofproto/detrace` (OVS 3.4)? Raises LookFailed."""
        if host not in self._commands:
            try:
                self._commands[host] = self._client(host).list_commands()
            except UnixctlError as problem:
                raise LookFailed(f"The switch of {host} could not be asked: {problem}") from problem
        return DETRACE in self._commands[host]

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def _ask(self, host: str, flow: DatapathFlow) -> Explained:
        try:
            passes = parse_trace(self._client(host).run("ofproto/trace", flow.raw))
        except UnixctlError:
            return Explained()  # its recirculation is over: the entry is the last that knows of it
        first = passes[0]
        lookups = tuple(lookup for visit in first.bridges for lookup in visit.lookups)
        detrace = self._run(host, DETRACE, flow.ufid) if self.has_detrace(host) else ""
        return Explained(lookups, parse_flow(first.final_flow), detrace)

    def _client(self, host: str) -> UnixctlClient:
        if host not in self._clients:
            if host not in self._rundirs:
                raise LookFailed(f"{host} is no host that we know.")
            self._clients[host] = UnixctlClient(find_vswitchd_socket(self._rundirs[host]), DEADLINE_S)
        return self._clients[host]

    def _run(self, host: str, *words: str) -> str:
        try:
            return self._client(host).run(*words)
        except UnixctlError as problem:
            if client := self._clients.pop(host, None):
                client.close()  # a restarted switch has another socket
            raise LookFailed(f"The switch of {host} could not be asked: {problem}") from problem
