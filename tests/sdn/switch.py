"""A private Open vSwitch as the tests see it: its flows as text, what it says of a packet, its ports."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass

from sdn.shadow import Shadow
from sdn.transport.unixctl import UnixctlClient


@dataclass(frozen=True)
class Fate:
    """What ofproto/trace says of a packet."""

    text: str

    @property
    def outputs(self) -> list[int]:
        """The ofports that it leaves by, in order, read from what the datapath would do."""
        actions = ",".join(re.findall(r"^Datapath actions: (.*)$", self.text, re.M))
        while "(" in actions:  # outputs are the bare numbers outside of every bracket
            actions = re.sub(r"\w+\([^()]*\)|\([^()]*\)", "x", actions)
        return [int(word) for word in actions.split(",") if word.isdigit()]

    @property
    def drop_reason(self) -> int | None:
        """The code in the drop reason's register, when the drop table was reached."""
        if not re.search(r"^\s*250\. ", self.text, re.M):
            return None
        return int(re.findall(r"set_field:(\w+)->reg4", self.text)[-1], 0)

    @property
    def drop_table(self) -> int:
        """The table that sent it to the drop table."""
        return int(re.findall(r"set_field:(\w+)->reg5", self.text)[-1], 0)


class Switch:
    """br-int of a private Open vSwitch."""

    def __init__(self, shadow: Shadow, bridge: str = "br-int") -> None:
        self.rundir = shadow.rundir
        self.shadow = shadow
        self.bridge = bridge

    def ofctl(self, verb: str, *words: str, given: str | None = None) -> str:
        """The output of one ovs-ofctl command on the bridge."""
        socket = f"unix:{self.rundir}/{self.bridge}.mgmt"
        options = [word for word in words if word.startswith("--")]
        rest = [word for word in words if not word.startswith("--")]
        argv = ["ovs-ofctl", "-O", "OpenFlow14", *options, verb, socket, *rest]
        done = subprocess.run(argv, capture_output=True, text=True, input=given, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def vsctl(self, *words: str) -> str:
        """The output of one ovs-vsctl command."""
        argv = ["ovs-vsctl", "--timeout=10", f"--db=unix:{self.rundir}/db.sock", *words]
        return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    def flows(self) -> list[str]:
        """Every flow, as ovs-ofctl prints it."""
        return sorted(line.strip() for line in self.ofctl("dump-flows", "--no-names", "--no-stats").splitlines())

    def ages_s(self) -> list[float]:
        """How long each flow has been there."""
        return [float(age) for age in re.findall(r"duration=([\d.]+)s", self.ofctl("dump-flows", "--no-names"))]

    def plug(self, name: str, ofport: int, iface_id: str) -> None:
        """Plug a port as libvirt does: the interface with its iface-id."""
        self.vsctl(
            "add-port", self.bridge, name, "--", "set", "interface", name, "type=dummy", f"ofport_request={ofport}",
            f"external_ids:iface-id={iface_id}",
        )  # fmt: skip

    def trace(self, packet: str, *states: str) -> Fate:
        """What the switch would do with the packet; `states` are what conntrack says, look-up by look-up (else new)."""
        client = UnixctlClient(self.shadow.unixctl)
        try:
            return Fate(
                client.run(
                    "ofproto/trace", self.bridge, packet, *(word for state in states for word in ("--ct-next", state))
                )
            )
        finally:
            client.close()
