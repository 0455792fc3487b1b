"""A real packet's answer over two hosts, against one ping over the same path.

The path is from the lab's access port on one host to a guest on another: ping is sent from the access namespace, the probe
is ordered from the controller at the same port. What the order costs beside the packet is Redis, both switches' reports
and a barrier on each channel.
"""

from __future__ import annotations

import re
import secrets
import statistics
import subprocess
import time

from django.conf import settings

from portal.compute.models import VM
from portal.networks.models import Port, PortKind
from sdn.model.addresses import HostName, Mac
from sdn.model.packet import Packet
from sdn.probe import TOKEN_BYTES, ProbeOrder, build_frame
from tasks.probe_desk import order_probe
from tasks.trace_rows import endpoint_of

ROUNDS = 50


def probe_two_hosts_ms(vms: list[VM]) -> dict[str, object]:
    """Medians; in a process with a running product's settings, whose access port and guests are there."""
    access = Port.objects.select_related("vm", "host", "network").get(kind=PortKind.ACCESS)
    target = next(vm for vm in vms if vm.host_id != access.host_id).ports.select_related("vm", "host", "network").get()
    here, there = endpoint_of(access), endpoint_of(target)
    assert here.ofport is not None
    argv = ["ip", "netns", "exec", f"hs-{settings.LAB_NAME}-access", "ping", "-n", "-i", "0.1", "-c", str(ROUNDS), str(there.address)]  # fmt: skip
    text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    pings = [float(found) for found in re.findall(r"time=([\d.]+) ms", text)]
    took = []
    for _ in range(ROUNDS):
        token = secrets.token_bytes(TOKEN_BYTES)
        packet = Packet("icmp", Mac(here.mac), Mac(there.mac), here.address, there.address, port_dst=8)
        order = ProbeOrder(token, HostName(here.host), here.ofport, build_frame(packet, token))
        began = time.perf_counter()
        reports = order_probe(order, 1.0)
        took.append((time.perf_counter() - began) * 1000)
        assert len({report["host"] for report in reports}) == 2, reports
    ours, reference = statistics.median(took), statistics.median(pings)
    return {
        "ours": round(ours, 2), "reference": round(reference, 2), "ratio": round(ours / reference, 2),
        "more": round(ours - reference, 2), "unit": "ms",
        "how": f"median of {ROUNDS}, ordered from the controller, reported by both switches; reference: a ping over the same path; the limit is 50 ms more",
    }  # fmt: skip
