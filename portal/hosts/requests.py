"""What operators ask of hosts."""

from __future__ import annotations

from pathlib import Path

from django.db import transaction
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import User
from portal.hosts.models import Host, Plug
from portal.live.publishers import host_changed
from portal.networks.problems import NetworkProblem, shown

HOOK = Path(__file__).parent / "hooks" / "hopsight-bridge"
HOOK_PLACE = "/etc/libvirt/hooks/network.d/hopsight-bridge"


def set_plug(host: Host, plug: str, actor: User | None = None) -> Host:
    """The host, whose guests are plugged so from their next start on; audited. Raises NetworkProblem about `plug`."""
    if plug not in Plug.values:
        raise NetworkProblem(
            {
                "plug": [
                    gettext("%(plug)s was given; %(values)s are allowed")
                    % {"plug": shown(plug), "values": " and ".join(Plug.values)}
                ]
            }
        )
    if plug == Plug.BRIDGE and host.libvirt_uri.startswith("test:"):
        raise NetworkProblem(
            {
                "plug": [
                    gettext("%(host)s is a preview, which has no Linux bridges; direct is allowed")
                    % {"host": host.name}
                ]
            }
        )
    with transaction.atomic():
        kept = Host.objects.select_for_update(no_key=True).get(pk=host.pk)
        if kept.plug != plug:
            before, kept.plug = kept.plug, plug
            kept.save(update_fields=["plug"])
            what = ("host", str(kept.uuid), kept.name)
            record("host.change", None, actor, what, before={"plug": before}, after={"plug": plug})
            host_changed(kept)
    return kept
