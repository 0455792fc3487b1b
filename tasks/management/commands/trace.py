"""`manage.py trace A B --tcp 22`: the path between two VMs, for terminals; of live hosts, or of a support bundle.

Exit status: 0 when a verdict was reached (with --expect: that one), 1 for none or another, 2 for bad input.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from portal.accounts.models import Team
from portal.traces.models import TraceRequest
from portal.traces.packets import KINDS, WITH_PORTS
from portal.traces.requests import DEFAULT_SIZE, MOMENTS, TraceSpec, check_trace, find_target
from sdn.bundle import BundleError, BundleShadow, read_bundle
from sdn.model.trace import Trace, from_json, to_json
from sdn.shadow import ShadowError
from sdn.trace import format_trace
from tasks.bundles import flow_between, trace_bundle
from tasks.probes import probe
from tasks.raw_flows import FlowProblem
from tasks.trace_kept import Kept
from tasks.traces import answer

VERDICTS = ("delivered", "dropped", "flooded", "to_controller", "unknown")
BAD_INPUT = 2

ASKING = tuple(name for name in KINDS if name != "icmp" and name not in WITH_PORTS)


class Command(BaseCommand):
    help = "Predict the path of a packet between two VMs, from the hosts' own switches or from a support bundle."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("source", nargs="?", help="name of the VM that sends, or its address")
        parser.add_argument("target", nargs="?", help="name of the VM that receives, or any IPv4 or IPv6 address")
        parser.add_argument("--team", default="payments", help="slug of the sender's team (default: payments)")
        parser.add_argument("--tcp", type=int, metavar="PORT", help="a TCP segment to this port")
        parser.add_argument("--udp", type=int, metavar="PORT", help="a UDP datagram to this port")
        parser.add_argument("--sctp", type=int, metavar="PORT", help="an SCTP packet to this port")
        for name in ASKING:
            parser.add_argument(f"--{name}", action="store_true", help=KINDS[name].label)
        parser.add_argument("--moment", choices=[name for name, _ in MOMENTS], default="as_is", help="which packet of the connection")  # fmt: skip
        parser.add_argument("--size", type=int, default=DEFAULT_SIZE, metavar="BYTES", help="of the IP packet")
        parser.add_argument("--return", dest="back", action="store_true", help="the way back instead")
        parser.add_argument(
            "--probe", action="store_true", help="send one real packet, and show what the switches report"
        )
        parser.add_argument("--bundle", type=Path, metavar="DIR", help="ask an unpacked sos report, not the hosts")
        parser.add_argument("--bridge", default="br-int", help="with --bundle: where the packet comes in")
        parser.add_argument("--flow", help="with --bundle: the packet in ovs-ofctl's syntax, with its in_port")
        parser.add_argument("--ct-next", action="append", default=[], metavar="STATE", help="as ofproto/trace takes it")
        parser.add_argument("--json", action="store_true", help="the trace's JSON instead of the picture")
        parser.add_argument("--text", action="store_true", help="the picture (as without --json)")
        parser.add_argument("--expect", choices=VERDICTS, help="exit with 1 when the verdict is another one")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["bundle"] is not None:
            trace = self._of_bundle(options)
        elif options["flow"]:
            raise _bad("--flow goes with --bundle DIR")
        elif not options["source"] or not (options["target"] or options["dhcp"] or options["dns"]):
            raise _bad("say from which VM to which one: manage.py trace web-1 db-1 --tcp 22")
        else:
            trace = self._live(options)
        color = getattr(self.stdout, "isatty", lambda: False)()
        self.stdout.write(json.dumps(to_json(trace), indent=2) if options["json"] else format_trace(trace, color=color))
        wanted = options["expect"]
        if (wanted and trace.verdict != wanted) or (not wanted and trace.verdict == "unknown"):
            sys.exit(1)

    def _of_bundle(self, options: dict[str, Any]) -> Trace:
        try:
            bundle = read_bundle(options["bundle"])
            with BundleShadow(bundle) as loaded:
                for problem in loaded.problems:
                    self.stderr.write(f"not as on the host: {problem}")
                flow = options["flow"] or flow_between(bundle, options)
                return trace_bundle(loaded, options["bridge"], flow, tuple(options["ct_next"]))
        except (BundleError, FlowProblem) as problem:
            raise _bad(str(problem)) from problem
        except ShadowError as problem:
            raise CommandError(f"the shadow switch did not work: {problem}") from problem

    def _live(self, options: dict[str, Any]) -> Trace:
        found = answer(_request(options), Kept())
        if found is None:
            raise _bad("an end of this path no longer exists")
        if options["back"]:
            if found.reply is None:
                raise _bad("there is no way back of this packet: its target is nobody's, or it is an ARP question")
            return from_json(found.reply)
        if not options["probe"]:
            return found.predicted
        probed = probe(found.question(), found.predicted)
        if "refused" in probed:
            raise CommandError(probed["refused"])
        return from_json(probed["trace"])


def _request(options: dict[str, Any]) -> TraceRequest:
    """The question as a row that is not stored; whatever is wrong with it is said at once."""
    team = Team.objects.filter(slug=options["team"]).first()
    if team is None:
        slugs = ", ".join(Team.objects.values_list("slug", flat=True))
        raise _bad(f"team {options['team']!r} was given; there are {slugs}")
    source, address, problem = find_target(team, None, options["source"])
    if source is None:
        raise _bad(problem.replace("target", "source", 1) or f"no port of {team.name} has the address {address}")
    protocol = next((name for name in (*WITH_PORTS, *ASKING) if options[name]), "icmp")
    target, address, problem = find_target(team, source, options["target"] or "", protocol)
    port_dst = int(options[protocol]) if protocol in WITH_PORTS else 0
    spec = TraceSpec(source, target, protocol, port_dst, address, options["moment"], options["size"])
    problems = [problem] if problem else [line for lines in check_trace(team, spec).values() for line in lines]
    if problems:
        raise _bad("; ".join(problems))
    return TraceRequest(
        team=team, source=source, target=target, address=address, protocol=protocol, port_dst=spec.port_dst,
        moment=spec.moment, size_bytes=spec.size_bytes,
    )  # fmt: skip


def _bad(words: str) -> CommandError:
    return CommandError(words, returncode=BAD_INPUT)
