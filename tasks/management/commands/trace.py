"""`manage.py trace A B --tcp 22`: the path between two VMs, for terminals."""

from __future__ import annotations

import argparse
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from portal.networks.models import Port
from portal.traces.models import TraceRequest
from sdn.model.trace import from_json
from sdn.trace import format_trace
from tasks.probes import probe
from tasks.traces import answer


class Command(BaseCommand):
    help = "Predict the path of a packet between two VMs, from the hosts' own switches."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("source", help="name of the VM that sends")
        parser.add_argument("target", help="name of the VM that receives")
        parser.add_argument("--team", default="payments", help="slug of their team")
        parser.add_argument("--tcp", type=int, metavar="PORT")
        parser.add_argument("--udp", type=int, metavar="PORT")
        parser.add_argument(
            "--probe", action="store_true", help="send one real packet, and show what the switches report"
        )
        parser.add_argument("--json", action="store_true", help="the trace's JSON instead of the picture")

    def handle(self, *args: Any, **options: Any) -> None:
        source, target = (self._port(options["team"], options[name]) for name in ("source", "target"))
        protocol = "tcp" if options["tcp"] else "udp" if options["udp"] else "icmp"
        port = options["tcp"] or options["udp"] or 0
        request = TraceRequest(team=source.network.team, source=source, target=target, protocol=protocol, port_dst=port)
        found = answer(request)
        if found is None:
            raise CommandError("an end of this path no longer exists")
        result: Any = found.result
        if options["probe"]:
            probed = probe(found.question, found.predicted)
            if "refused" in probed:
                raise CommandError(probed["refused"])
            result = probed["trace"]
        self.stdout.write(json.dumps(result, indent=2) if options["json"] else format_trace(from_json(result)))

    def _port(self, team: str, name: str) -> Port:
        port = Port.objects.filter(network__team__slug=team, vm__name=name).select_related("network__team").first()
        if port is None:
            names = Port.objects.filter(network__team__slug=team, vm__isnull=False).values_list("vm__name", flat=True)
            raise CommandError(f"team {team} has no VM {name!r}; it has: {', '.join(names) or 'none'}")
        return port
