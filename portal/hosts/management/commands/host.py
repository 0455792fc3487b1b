"""`manage.py host add NAME …| list | off NAME | on NAME | remove NAME`: the hypervisors of a deployment."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from portal.accounts.teams import TeamProblem
from portal.hosts.models import Host, Plug
from portal.hosts.register import RUNDIR, HostSpec, enable_host, register_host, remove_host
from portal.hosts.requests import HOOK, HOOK_PLACE, set_plug
from portal.networks.problems import NetworkProblem

COLUMNS = tuple(one.name for one in fields(HostSpec))


class Command(BaseCommand):
    help = "Register a hypervisor, list them, take one out of placement or out of Hopsight. Nothing is changed on the host."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        add = verbs.add_parser("add", help="register a host, or change what is said of it")
        add.add_argument("name", help="its name, as in its certificate")
        add.add_argument("--underlay-ip", required=True, help="its tunnel address, reached by the other hosts")
        add.add_argument("--underlay-mtu", type=int, default=1500, help="largest packet of the underlay (default 1500)")
        add.add_argument("--libvirt-uri", default="qemu:///system", help="default qemu:///system")
        add.add_argument("--ovsdb", default=f"unix:{RUNDIR}/db.sock", help="unix:PATH or ssl:ADDRESS:PORT")
        add.add_argument("--ovs-rundir", default=RUNDIR, help="folder of ovs-vswitchd's control socket")
        add.add_argument("--controller-target", default=f"unix:{RUNDIR}/hopsight.sock", help="unix:PATH or ssl:ADDRESS:PORT")  # fmt: skip
        add.add_argument("--datapath-type", choices=("system", "netdev"), default="system", help="default system")
        add.add_argument(
            "--disks-dir", default="/var/lib/hopsight/disks", help="the same path on the host and the worker"
        )
        verbs.add_parser("list", help="the hosts, and what their daemons say")
        verbs.add_parser("hook", help="print libvirt's hook that cables Linux bridges, for a host's " + HOOK_PLACE)
        plug = verbs.add_parser("plug", help="what its guests' taps are put into, from their next start on")
        plug.add_argument("name")
        plug.add_argument("plug", choices=Plug.values, help="br-int itself, or a Linux bridge cabled to it")
        for verb, text in (("off", "no new VMs there"), ("on", "new VMs again"), ("remove", "forget it; no VM may be on it")):  # fmt: skip
            verbs.add_parser(verb, help=text).add_argument("name")

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, f"_{options['verb']}")(options)

    def _add(self, options: dict[str, Any]) -> None:
        made = not Host.objects.filter(name=options["name"]).exists()
        try:
            host = register_host(HostSpec(**{name: options[name] for name in COLUMNS}), None)
        except TeamProblem as problem:
            lines = [f"{field}: {'; '.join(words)}" for field, words in problem.errors.items()]
            raise CommandError("not stored, nothing was changed:\n  " + "\n  ".join(lines)) from None
        self.stdout.write(f"{host.name} is {'registered' if made else 'changed'}: the hosts page tells within seconds what its daemons say")  # fmt: skip

    def _list(self, options: dict[str, Any]) -> None:
        for host in Host.objects.all():
            said = host.libvirt_error or host.ovs_error or ("seen" if host.libvirt_seen_at else "not seen yet")
            self.stdout.write(f"{host.name}  {host.underlay_ip}  {'on' if host.enabled else 'off'}  {said}")

    def _hook(self, options: dict[str, Any]) -> None:
        self.stdout.write(HOOK.read_text(), ending="")

    def _plug(self, options: dict[str, Any]) -> None:
        try:
            host = set_plug(_host(options["name"]), options["plug"])
        except NetworkProblem as problem:
            raise CommandError("; ".join(problem.errors["plug"])) from None
        self.stdout.write(f"{host.name} plugs guests into {host.get_plug_display()} from their next start on")

    def _on(self, options: dict[str, Any]) -> None:
        self._enable(options["name"], True)

    def _off(self, options: dict[str, Any]) -> None:
        self._enable(options["name"], False)

    def _enable(self, name: str, enabled: bool) -> None:
        enable_host(_host(name), enabled, None)
        self.stdout.write(f"{name} takes {'new VMs' if enabled else 'no new VMs; those on it stay'}")

    def _remove(self, options: dict[str, Any]) -> None:
        try:
            remove_host(_host(options["name"]), None)
        except TeamProblem as problem:
            raise CommandError(str(problem)) from None
        self.stdout.write(f"{options['name']} is forgotten; br-int and its flows stay on it as they are")


def _host(name: str) -> Host:
    host = Host.objects.filter(name=name).first()
    if host is None:
        known = ", ".join(Host.objects.values_list("name", flat=True)) or "none"
        raise CommandError(f"there is no host {name}; known: {known}")
    return host
