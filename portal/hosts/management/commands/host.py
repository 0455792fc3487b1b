"""`manage.py host add NAME …| list | off NAME | on NAME | plug NAME bridge | hook | remove NAME`: the hypervisors of a deployment."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from portal.accounts.audit import record
from portal.hosts.models import Host, Plug
from portal.hosts.requests import HOOK, HOOK_PLACE, set_plug
from portal.networks.intent import bump_generation
from portal.networks.problems import NetworkProblem

RUNDIR = "/var/run/openvswitch"
COLUMNS = ("libvirt_uri", "ovsdb", "ovs_rundir", "controller_target", "datapath_type", "disks_dir", "underlay_ip", "underlay_mtu")  # fmt: skip


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
        said = {name: options[name] for name in COLUMNS}
        with transaction.atomic():
            bump_generation()
            host = Host.objects.filter(name=options["name"]).first() or Host(name=options["name"])
            made = host.pk is None
            for name, value in said.items():
                setattr(host, name, value)
            try:
                host.full_clean()
            except ValidationError as problem:
                lines = [f"{field}: {'; '.join(words)}" for field, words in problem.message_dict.items()]
                raise CommandError("not stored, nothing was changed:\n  " + "\n  ".join(lines)) from None
            host.save()
            record("host.add" if made else "host.change", None, None, ("host", str(host.uuid), host.name), after=said)
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
        host = _host(name)
        Host.objects.filter(pk=host.pk).update(enabled=enabled)
        record("host.change", None, None, ("host", str(host.uuid), name), after={"enabled": enabled})
        self.stdout.write(f"{name} takes {'new VMs' if enabled else 'no new VMs; those on it stay'}")

    def _remove(self, options: dict[str, Any]) -> None:
        with transaction.atomic():
            bump_generation()
            host = _host(options["name"])
            if guests := list(host.vms.values_list("name", flat=True)[:11]):
                shown = ", ".join(guests[:10]) + (" and more" if len(guests) > 10 else "")
                raise CommandError(f"{host.name} has VMs: {shown}. Move or delete them first; nothing was changed")
            record("host.remove", None, None, ("host", str(host.uuid), host.name))
            host.delete()
        self.stdout.write(f"{options['name']} is forgotten; br-int and its flows stay on it as they are")


def _host(name: str) -> Host:
    host = Host.objects.filter(name=name).first()
    if host is None:
        known = ", ".join(Host.objects.values_list("name", flat=True)) or "none"
        raise CommandError(f"there is no host {name}; known: {known}")
    return host
