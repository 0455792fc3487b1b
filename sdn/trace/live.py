"""The hosts themselves, over their switches' sockets.

A host that hangs costs a trace its deadline once: what failed once for a host fails at once from then on, so that both
directions of a trace over N hosts end within N deadlines, whatever is stopped.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from sdn.linux.bridges import BridgeReading
from sdn.linux.namespaces import FarEnd
from sdn.trace.question import HostUnreachable, PortFacts
from sdn.transport.host_kernel import HostKernel, KernelUnread
from sdn.transport.host_namespaces import far_ends
from sdn.transport.ofctl import OfctlError, dump_table
from sdn.transport.unixctl import UnixctlClient, UnixctlError, UnixctlTimeout, find_vswitchd_socket

DEADLINE_S = 3.0
PORTS = ("dpif/show",)
INTERNAL_TYPES = ("internal", "tap")  # what `dpif/show` calls them, in the kernel's datapath and in the userspace one
CABLED_TYPES = ("system", *INTERNAL_TYPES)  # ports that are devices of the kernel
NEIGHBOUR_LOOKS, NEIGHBOUR_LOOK_S = 40, 0.005
_BRIDGE = re.compile(r"^  (\S+):$")
_PORT = re.compile(r"^    (\S+) ([0-9]{1,20})/(\S+?): \((\w[\w-]*)")


class LiveWorld:
    """Asks ovs-vswitchd of each host, whose run folders are `rundirs`. One trace's worth: facts are read once.

    Connections are left open in `lent`, when given, for the next trace of the same thread.
    """

    def __init__(
        self, rundirs: Mapping[str, Path], deadline_s: float = DEADLINE_S, lent: dict[str, UnixctlClient] | None = None
    ) -> None:
        self._rundirs = rundirs
        self._lent = lent
        self._deadline_s = deadline_s
        self._clients: dict[str, UnixctlClient] = {}
        self._early: list[UnixctlClient] = []
        self._spent_s: dict[str, float] = {}
        self._failed: dict[str, str] = {}
        self._conntrack: dict[tuple[str, int], str] = {}
        self._ports: dict[str, tuple[PortFacts, ...]] = {}
        self._kernels: dict[str, HostKernel] = {}

    def ask_ports_early(self, hosts: Iterable[str]) -> None:
        """Have these hosts' switches tell their ports already: a packet that crosses them needs both, and each is a wait."""
        for host in hosts:
            try:
                self._clients[host] = client = self._client(host)
            except (UnixctlError, KeyError):
                continue  # whoever asks it will hear why
            client.ask_early(*PORTS)
            self._early.append(client)

    def ask_bridges_early(self, bridges: Iterable[tuple[str, str]]) -> None:
        """Have these Linux bridges (host, name) read already, at once: a packet that crosses both ends' meets one after the other."""
        for host, name in bridges:
            if host in self._rundirs:
                self._kernel(host).ask_early(name)

    def ofproto_trace(self, host: str, bridge: str, flow: str, ct_next: tuple[str, ...]) -> str:
        """The text of `ofproto/trace`."""
        return self._run(
            host, "ofproto/trace", bridge, flow, *(word for state in ct_next for word in ("--ct-next", state))
        )

    def conntrack(self, host: str, zone: int) -> str:
        """The text of `dpctl/dump-conntrack` for the zone."""
        key = (host, zone)
        if key not in self._conntrack:
            self._conntrack[key] = self._run(host, "dpctl/dump-conntrack", f"zone={zone}")
        return self._conntrack[key]

    def ports(self, host: str) -> tuple[PortFacts, ...]:
        """The ports of `dpif/show`."""
        if host not in self._ports:
            self._ports[host] = parse_ports(self._run(host, *PORTS))
        return self._ports[host]

    def wait_for_neighbour(self, host: str, attempt: int) -> bool:
        """An underlay's ARP takes a millisecond or two: look again after 5 ms, at most 40 times."""
        if attempt >= NEIGHBOUR_LOOKS:
            return False
        time.sleep(NEIGHBOUR_LOOK_S)
        return True

    def flows(self, host: str, bridge: str, table: int) -> str:
        """One table, over the bridge's management socket."""
        began = time.monotonic()
        try:
            return dump_table(self._rundirs[host] / f"{bridge}.mgmt", table, self._left_s(host))
        except (OfctlError, KeyError) as problem:
            raise HostUnreachable(f"the flows of {host} could not be read: {problem}") from problem
        finally:
            self._spend(host, began)

    def linux_bridge(self, host: str, bridge: str) -> BridgeReading:
        """As the host's kernel tells a process on its own machine; of other hosts nothing is read."""
        try:
            reading = self._kernel(host).bridge(bridge)
            away = [port.name for port in reading.ports.values() if port.is_cable_away]
            into = {name: far.words for name, far in far_ends(self._rundirs[host], away).items()} if away else {}
            return replace(reading, into=into) if into else reading
        except KernelUnread as problem:
            return BridgeReading(bridge, problems=(str(problem),))
        except KeyError:
            return BridgeReading(bridge, problems=("it is no host that we know",))

    def behind(self, host: str, port: PortFacts) -> FarEnd | None:
        """As the host's kernel tells a process on its own machine."""
        if host not in self._rundirs or port.type not in CABLED_TYPES or port.name == port.bridge:
            return None
        internal = (port.name,) if port.type in INTERNAL_TYPES else ()
        return far_ends(self._rundirs[host], (port.name,), internal).get(port.name)

    def _kernel(self, host: str) -> HostKernel:
        """Raises KeyError for a host that we do not know."""
        if host not in self._kernels:
            self._kernels[host] = HostKernel(self._rundirs[host])
        return self._kernels[host]

    def close(self) -> None:
        """Close the sockets, or leave them for the next."""
        for kernel in self._kernels.values():
            kernel.close()
        for client in self._early:
            client.forget_early()
        self._early.clear()
        for host, client in self._clients.items():
            if self._lent is None:
                client.close()
            else:
                self._lent[host] = client
        self._clients.clear()

    def _run(self, host: str, *words: str) -> str:
        if host in self._failed:
            raise HostUnreachable(self._failed[host])
        began = time.monotonic()
        try:
            if host not in self._clients:
                self._clients[host] = self._client(host)
            return self._clients[host].run(*words)
        except UnixctlTimeout:
            self._failed[host] = f"the switch of {host} did not answer within {self._deadline_s:.0f} s"
            raise HostUnreachable(self._failed[host]) from None
        except KeyError:
            raise HostUnreachable(f"{host} is no host that we know") from None
        except UnixctlError as problem:
            if broken := self._clients.pop(host, None):
                broken.close()
            raise HostUnreachable(f"the switch of {host} could not be asked: {problem}") from problem
        finally:
            self._spend(host, began)

    def _client(self, host: str) -> UnixctlClient:
        """The connection that an earlier trace left, unless it was to a daemon that is gone."""
        socket = find_vswitchd_socket(self._rundirs[host])
        left = self._lent.pop(host, None) if self._lent is not None else None
        if left is not None and left.path == socket:
            left.deadline_s = self._left_s(host)
            return left
        if left is not None:
            left.close()
        return UnixctlClient(socket, self._left_s(host))

    def _left_s(self, host: str) -> float:
        return max(self._deadline_s - self._spent_s.get(host, 0.0), 0.1)

    def _spend(self, host: str, began: float) -> None:
        self._spent_s[host] = self._spent_s.get(host, 0.0) + time.monotonic() - began


def parse_ports(text: str) -> tuple[PortFacts, ...]:
    """The ports that `dpif/show` lists; lines of other shapes are passed over."""
    found, bridge = [], ""
    for line in text.splitlines():
        if head := _BRIDGE.match(line):
            bridge = head[1]
        elif port := _PORT.match(line):
            found.append(PortFacts(bridge, int(port[2]), port[1], port[4], port[3]))
    return tuple(found)
