"""`manage.py bundle`: what a host's switch and libvirt tell, in files named as `sos` names them, secrets left out.

So a problem can be looked at elsewhere (`manage.py trace --bundle`), by us or by any tool that reads sos reports. A command
that fails is noted in `sos_commands/openvswitch/errors`, and the rest is written.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lxml import etree

from portal.hosts.models import Host
from sdn.transport.host_kernel import CONNECTIONS, RULES, SWITCHES, KernelUnread, namespace_of, run_all, saved_of_old
from sdn.transport.unixctl import UnixctlClient, UnixctlError, find_vswitchd_socket
from tasks.hypervisor.driver import HypervisorError
from tasks.hypervisor.libvirt_driver import LibvirtHypervisor

DEADLINE_S = 60
VERSIONS = ("OpenFlow13", "OpenFlow14", "OpenFlow15")
PER_BRIDGE = ("show", "dump-flows", "dump-groups", "dump-meters", "dump-tlv-map", "dump-ports-desc")
# sos's file name → its folder, the command. JSON is judged when it is read back; the texts are for people and other tools
KERNEL: dict[str, tuple[str, tuple[str, ...]]] = {
    "ip_-j_-d_link_show": ("networking", ("ip", "-j", "-d", "link", "show")),
    "ip_-s_-d_link": ("networking", ("ip", "-s", "-d", "link")),
    "bridge_-j_fdb_show": ("networking", ("bridge", "-j", "fdb", "show")),
    "bridge_-s_-s_-d_-t_fdb_show": ("networking", ("bridge", "-s", "-s", "-d", "-t", "fdb", "show")),
    "conntrack_-L_-o_extended": ("networking", ("cat", CONNECTIONS)),
    "nft_-j_list_ruleset": ("firewall_tables", RULES["ruleset"]),
    "nft_-a_list_ruleset": ("firewall_tables", RULES["listing"]),
    "sysctl_net.bridge": ("kernel", ("sysctl", "net.bridge")),
}
OLD_FILES = {"ip": "iptables-legacy-save_-c", "ip6": "ip6tables-legacy-save_-c"}  # where such tables are loaded
_SECRET = re.compile(r'\b((?:psk|password|passwd|secret|private_key|token)"?\s*[=:]\s*)("[^"]*"|[^,}\s]+)', re.I)


def write_bundle(host: Host, folder: Path) -> list[str]:
    """Write the host's bundle into `folder` (made when absent); what could not be had, a line each."""
    outputs = folder / "sos_commands" / "openvswitch"
    outputs.mkdir(parents=True, exist_ok=True)
    (folder / "hostname").write_text(f"{host.name}\n")
    problems: list[str] = []
    bridges = [name for name in _take(host, outputs, problems, "ovs-vsctl", "list-br").split() if name]
    for name, argv in _commands(host, bridges):
        _keep(outputs / name, argv, problems)
    _control(host, bridges, outputs, problems)
    _kernel(host, folder / "sos_commands", problems)
    _domains(host, folder / "run" / "libvirt" / "qemu", problems)
    if problems:
        (outputs / "errors").write_text("\n".join(problems) + "\n")
    return problems


def _commands(host: Host, bridges: list[str]) -> Iterator[tuple[str, list[str]]]:
    """(sos's file name, the command), for every output of the switch."""
    database = f"--db={host.ovsdb}"
    yield "ovs-vsctl_-t_5_show", ["ovs-vsctl", "-t", "5", database, "show"]
    for table in ("Open_vSwitch", "interface", "port", "bridge"):
        yield f"ovs-vsctl_-t_5_list_{table}", ["ovs-vsctl", "-t", "5", database, "list", table]
    yield "ovsdb-client_-f_list_dump", ["ovsdb-client", "-f", "list", "dump", host.ovsdb]
    for bridge in bridges:
        socket = f"unix:{host.ovs_rundir}/{bridge}.mgmt"
        yield f"ovs-ofctl_show_{bridge}", ["ovs-ofctl", "-O", "OpenFlow10,OpenFlow13,OpenFlow14", "show", socket]
        for version in VERSIONS:
            for verb in PER_BRIDGE:
                yield f"ovs-ofctl_-O_{version}_{verb}_{bridge}", ["ovs-ofctl", "-O", version, verb, socket]


def _kernel(host: Host, folder: Path, problems: list[str]) -> None:
    """Linux bridges, netfilter and connections, where the host's kernel is this machine's own."""
    asked = {name: argv for name, (_, argv) in KERNEL.items()}
    try:
        enter = namespace_of(Path(host.ovs_rundir))
        told = run_all(enter, asked | SWITCHES, DEADLINE_S)
        old = saved_of_old(enter, told, DEADLINE_S)
    except KernelUnread as problem:
        problems.append(f"its Linux bridges and netfilter could not be read: {problem}")
        return
    printed_by = {name: told[name] for name in asked} | {OLD_FILES[family]: printed for family, printed in old.items()}
    for name, printed in printed_by.items():
        if printed.problem:
            problems.append(f"{name}: {printed.problem}")
            continue
        path = folder / (KERNEL[name][0] if name in KERNEL else "firewall_tables") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(clean(printed.text))


def _control(host: Host, bridges: list[str], outputs: Path, problems: list[str]) -> None:
    """What only ovs-vswitchd's control socket tells: MAC tables, datapath flows, connections, routes."""
    asked: list[tuple[str, tuple[str, ...]]] = [
        (f"ovs-appctl_fdb.show_{bridge}", ("fdb/show", bridge)) for bridge in bridges
    ]
    asked += [
        ("ovs-appctl_dpctl.dump-flows_-m", ("dpctl/dump-flows", "-m")),
        ("ovs-appctl_dpctl.dump-conntrack_-m", ("dpctl/dump-conntrack", "-m")),
        ("ovs-appctl_ovs.route.show", ("ovs/route/show",)),
        ("ovs-appctl_tnl.ports.show_-v", ("tnl/ports/show", "-v")),
        ("ovs-appctl_ofproto.list-tunnels", ("ofproto/list-tunnels",)),
    ]
    try:
        client = UnixctlClient(find_vswitchd_socket(Path(host.ovs_rundir)), deadline_s=DEADLINE_S)
    except UnixctlError as problem:
        problems.append(str(problem))
        return
    for name, words in asked:
        try:
            (outputs / name).write_text(clean(client.run(*words)))
        except UnixctlError as problem:
            problems.append(f"{' '.join(words)}: {problem}")
    client.close()


def _domains(host: Host, folder: Path, problems: list[str]) -> None:
    """Every running domain's XML, without what libvirt calls secure and without metadata and passwords."""

    def read(connection: Any) -> dict[str, str]:
        return {
            str(domain.name()): str(domain.XMLDesc()) for domain in connection.listAllDomains() if domain.isActive()
        }

    hypervisor = LibvirtHypervisor(host.name, host.libvirt_uri)
    try:
        found = hypervisor.call("read its domains", read)
    except HypervisorError as problem:
        problems.append(str(problem))
        return
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, xml) in enumerate(sorted(found.items())):
        safe = re.sub(r"[^\w.-]", "_", name) or f"domain-{number}"
        (folder / f"{safe}.xml").write_text(clean_domain(xml))


def clean(text: str) -> str:
    """The text with the values of passwords and keys left out."""
    return _SECRET.sub(r"\1(left out)", text)


def clean_domain(xml: str) -> str:
    """The domain without metadata, secrets and console passwords."""
    root = etree.fromstring(xml, etree.XMLParser(resolve_entities=False, no_network=True))
    for name in ("metadata", "secret", "auth"):
        for node in list(root.iter(name)):
            parent = node.getparent()
            if parent is not None:
                parent.remove(node)
    for node in root.iter("graphics"):
        node.attrib.pop("passwd", "")
    return clean(etree.tostring(root, encoding="unicode"))


def _take(host: Host, outputs: Path, problems: list[str], tool: str, verb: str) -> str:
    return _keep(outputs / f"{tool}_-t_5_{verb}", [tool, "-t", "5", f"--db={host.ovsdb}", verb], problems)


def _keep(path: Path, argv: list[str], problems: list[str]) -> str:
    """Run a command, keep what it printed, and return it."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE_S, check=False, errors="replace")
    except (OSError, subprocess.TimeoutExpired) as problem:
        problems.append(f"{path.name}: {problem}")
        return ""
    if done.returncode:
        problems.append(f"{path.name}: {done.stderr.strip()[:200] or done.returncode}")
        return ""
    text = clean(done.stdout)
    path.write_text(text)
    return text
