"""Asking what a flow more, less or other would change: what page and API share. For operators."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.utils.translation import gettext

from portal.accounts.models import User
from portal.checks.models import FlowWhatIf
from portal.checks.requests import KEPT_RUNS, SHOWN_CHARS, CheckProblem, Errors
from portal.checks.serialize import flow_what_if_changed
from portal.hosts.models import Host
from portal.operations.dispatch import enqueue_flow_what_if
from portal.topology.models import FlowRecord

MOST_CHARS = 2_000
EXAMPLE = "table=0,priority=900,udp actions=drop"


@dataclass(frozen=True, slots=True)
class FlowWhatIfSpec:
    """The flow as ovs-ofctl takes it, without actions where it is to be removed. `packet` is followed before and after."""

    host: str
    bridge: str
    action: str
    flow: str
    packet: str = ""


@transaction.atomic
def ask_flow_what_if(user: User, spec: FlowWhatIfSpec) -> FlowWhatIf:
    """A what-if, sent to a worker on commit. No switch is changed. Raises CheckProblem with everything that is wrong."""
    errors: Errors = {}
    host = None if "\0" in spec.host else Host.objects.filter(name=spec.host).first()
    if host is None:
        names = ", ".join(Host.objects.order_by("name").values_list("name", flat=True)[:20])
        errors["host"] = [
            gettext("“%(host)s” was given; there is %(names)s")
            % {"host": spec.host[:SHOWN_CHARS], "names": names or gettext("no host")}
        ]
    else:
        errors |= _bridge_errors(host, spec.bridge)
    errors |= _text_errors(spec)
    if errors or host is None:
        raise CheckProblem(errors)
    run = FlowWhatIf.objects.create(
        host=host, bridge=spec.bridge, action=spec.action, flow=spec.flow.strip(), packet=spec.packet.strip(),
        created_by=user,
    )  # fmt: skip
    old = list(FlowWhatIf.objects.values_list("pk", flat=True)[KEPT_RUNS:])
    FlowWhatIf.objects.filter(pk__in=old).delete()
    flow_what_if_changed(run)
    transaction.on_commit(lambda: enqueue_flow_what_if(run.pk))
    return run


def _bridge_errors(host: Host, bridge: str) -> Errors:
    recorded = list(FlowRecord.objects.filter(host=host).order_by("bridge").values_list("bridge", flat=True))
    if bridge in recorded:
        return {}
    known = gettext("recorded of %(host)s: %(recorded)s") % {
        "host": host.name,
        "recorded": ", ".join(recorded) or gettext("no bridge yet"),
    }
    return {"bridge": [gettext("“%(bridge)s” was given; %(known)s") % {"bridge": bridge[:SHOWN_CHARS], "known": known}]}


def _text_errors(spec: FlowWhatIfSpec) -> Errors:
    errors: Errors = {}
    actions = FlowWhatIf.Action
    if spec.action not in actions.values:
        errors["action"] = [
            gettext("“%(action)s” was given; allowed are %(values)s")
            % {"action": spec.action[:SHOWN_CHARS], "values": ", ".join(actions.values)}
        ]
    flow = spec.flow.strip()
    for field, text in (("flow", flow), ("packet", spec.packet.strip())):
        if len(text) > MOST_CHARS or not (text.isprintable() and text.isascii()):
            errors[field] = [
                gettext("%(count)s characters were given; one line of up to %(most_chars)s in ASCII is allowed")
                % {"count": len(text), "most_chars": MOST_CHARS}
            ]
    if "flow" in errors:
        return errors
    if not flow or flow.startswith("#"):
        errors["flow"] = [
            gettext("no flow was given; one as ovs-ofctl takes it is wanted, such as %(example)s")
            % {"example": EXAMPLE}
        ]
    elif spec.action == actions.REMOVE and "actions=" in flow:
        errors["flow"] = [
            gettext("actions were given; a flow to remove is named by its table, priority and match alone")
        ]
    elif spec.action in (actions.ADD, actions.EDIT) and "actions=" not in flow:
        errors["flow"] = [
            gettext("no actions were given; a flow has them at its end, as in %(example)s") % {"example": EXAMPLE}
        ]
    return errors
