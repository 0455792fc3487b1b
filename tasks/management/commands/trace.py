"""`manage.py trace A B --tcp 22`: the path between two VMs, for terminals; of live hosts, or of a support bundle.

Exit status: 0 when a verdict was reached (with --expect: that one), 1 for none or another, 2 for bad input.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, get_args

from django.core.management.base import BaseCommand, CommandError

from portal.traces.models import TraceRequest
from portal.traces.packets import KINDS
from portal.traces.requests import DEFAULT_SIZE, MOMENTS, NEXT
from sdn.bundle import BundleError, BundleShadow, read_bundle
from sdn.model.trace import Trace, Verdict, from_json, to_json
from sdn.shadow import ShadowError
from sdn.trace import format_trace
from tasks.bundles import flow_between, trace_bundle
from tasks.probes import probe
from tasks.raw_flows import FlowProblem
from tasks.trace_kept import Kept
from tasks.trace_stored import NoAnswer, stored_answer
from tasks.trace_typed import BadQuestion, refuse_beside_bundle, typed_request
from tasks.traces import answer

BAD_INPUT = 2
NO_WAY_BACK = "there is no way back of this packet: its target is nobody's, or it is a question"


class Command(BaseCommand):
    help = "Predict the path of a packet between two VMs, from the hosts' own switches or from a support bundle."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "source",
            nargs="?",
            help="the VM that sends, by its name or address; router:NAME; outside:NETWORK; or nic:MAC",
        )
        add("target", nargs="?", help="name of the VM that receives, or any IPv4 or IPv6 address")
        add("--team", default="payments", help="slug of the sender's team (default: payments)")
        for name, kind in KINDS.items():
            if kind.asks_port:
                add(f"--{name}", type=int, metavar="PORT", help=f"{kind.label} to this port")
            elif name != "icmp":
                add(f"--{name}", action="store_true", help=kind.label)
        add("-4", "--ipv4", action="store_true", help="to the target VM's IPv4 address")
        add("-6", "--ipv6", action="store_true", help="to the target VM's IPv6 address")
        add("--moment", choices=[name for name, _ in MOMENTS if name != NEXT], default="as_is", help="which packet of the connection")  # fmt: skip
        add("--size", type=int, default=DEFAULT_SIZE, metavar="BYTES", help="of the IP packet")
        add("--flags", default="", metavar="NAMES", help="TCP's flags, such as 'fin|ack'")
        add("--set", dest="fields", action="append", default=[], metavar="FIELD=VALUE", help="not as the guest would send it: nw_ttl=1; again for more")  # fmt: skip
        add("--as", dest="comes_from", default="", metavar="ADDRESS", help="with outside:NETWORK, what it comes from")
        add("--at", default="", metavar="TIME", help="as of then (UTC), by the recorded flows: '2026-11-26 03:10'")
        add("--return", dest="back", action="store_true", help="the way back instead")
        add("--probe", action="store_true", help="send one real packet, and show what the switches report")
        add(
            "--deliver",
            action="store_true",
            help="hand one real packet over to the target's guest, who may answer it; show what the switches report",
        )
        add(
            "--next",
            dest="next_one",
            action="store_true",
            help="wait, a minute at most, for the VM's next such connection; trace its first packet",
        )
        add("--bundle", type=Path, metavar="DIR", help="ask an unpacked sos report, not the hosts")
        add("--bridge", default="br-int", help="with --bundle: where the packet comes in")
        add("--flow", help="with --bundle: the packet in ovs-ofctl's syntax, with its in_port")
        add("--ct-next", action="append", default=[], metavar="STATE", help="with --bundle: as ofproto/trace takes it")
        add("--json", action="store_true", help="the trace's JSON instead of the picture")
        add("--text", action="store_true", help="the picture (as without --json)")
        add("--expect", choices=get_args(Verdict), help="exit with 1 when the verdict is another one")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            trace = self._of_bundle(options) if options["bundle"] is not None else self._live(options)
        except (BadQuestion, BundleError, FlowProblem) as problem:
            raise _bad(str(problem)) from problem
        color = getattr(self.stdout, "isatty", lambda: False)()
        self.stdout.write(json.dumps(to_json(trace), indent=2) if options["json"] else format_trace(trace, color=color))
        wanted = options["expect"]
        if (wanted and trace.verdict != wanted) or (not wanted and trace.verdict == "unknown"):
            sys.exit(1)

    def _of_bundle(self, options: dict[str, Any]) -> Trace:
        refuse_beside_bundle(options)
        try:
            bundle = read_bundle(options["bundle"])
            with BundleShadow(bundle) as loaded:
                for problem in loaded.problems:
                    self.stderr.write(f"not as on the host: {problem}")
                flow = options["flow"] or flow_between(bundle, options)
                return trace_bundle(loaded, options["bridge"], flow, tuple(options["ct_next"]))
        except ShadowError as problem:
            raise CommandError(f"the shadow switch did not work: {problem}") from problem

    def _live(self, options: dict[str, Any]) -> Trace:
        request = typed_request(options)
        if request.result is not None:  # it ends at a NIC that no switch is asked about
            return from_json(request.result)
        if options["next_one"] or options["deliver"]:
            return _stored(request, options)
        found = answer(request, Kept())
        if found is None:
            raise _bad("an end of this path no longer exists")
        if options["back"]:
            if found.reply is None:
                raise _bad(NO_WAY_BACK)
            return from_json(found.reply)
        if not options["probe"]:
            return found.predicted
        if not _is_of_now(request):
            raise _bad("--probe: a real packet is sent now, from a VM's own port, and as its guest would send it")
        probed = probe(found.question(), found.predicted)
        if "refused" in probed:
            raise CommandError(probed["refused"])
        return from_json(probed["trace"])


def _stored(request: TraceRequest, options: dict[str, Any]) -> Trace:
    """The answer of the workers: there, back, or what its real packet did."""
    is_sent = options["deliver"] or options["probe"]
    try:
        row = stored_answer(request, with_packet=is_sent and not options["back"])
    except NoAnswer as problem:
        raise CommandError(str(problem)) from problem
    if options["back"]:
        if row.reply is None:
            raise _bad(NO_WAY_BACK)
        return from_json(row.reply)
    if not is_sent:
        return from_json(row.result or {})
    told = row.probe or {}
    if "refused" in told:
        raise CommandError(told["refused"])
    return from_json(told["trace"])


def _is_of_now(request: TraceRequest) -> bool:
    return request.source is not None and request.at is None and not request.header_fields


def _bad(words: str) -> CommandError:
    return CommandError(words, returncode=BAD_INPUT)
