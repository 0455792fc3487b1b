"""What an audit row's values are called, for people: rows and the API keep the keys."""

from __future__ import annotations

import json
from typing import Any

from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_noop as _

from portal.config.told import told

FIELDS: dict[str, str] = {
    "access_key": _("access key"),
    "address": _("address"),
    "addresses": _("addresses"),
    "asked_from": _("asked from"),
    "bridge": _("bridge"),
    "bytes": _("bytes"),
    "carried_by": _("carried by"),
    "cidr": _("subnet of addresses"),
    "count": _("count"),
    "currency": _("currency"),
    "days": _("days"),
    "destination": _("destination"),
    "device": _("device"),
    "direction": _("direction"),
    "disk_gib": _("disk, GiB"),
    "enabled": _("enabled"),
    "expected": _("expected"),
    "external": _("external"),
    "fingerprint": _("fingerprint"),
    "fixed": _("fixed address"),
    "flavor": _("size"),
    "flow": _("flow"),
    "flows": _("flows"),
    "gateway": _("gateway"),
    "groups": _("groups"),
    "host": _("host"),
    "hours": _("hours"),
    "image": _("image"),
    "is_enabled": _("enabled"),
    "kind": _("kind"),
    "memory": _("memory"),
    "mtu": _("MTU"),
    "name": _("name"),
    "network": _("network"),
    "networks": _("networks"),
    "next_hop": _("next hop"),
    "offered": _("offered"),
    "owner": _("owner"),
    "pairs": _("address pairs"),
    "place": _("place"),
    "plug": _("plugged into"),
    "port": _("port"),
    "protected": _("protected"),
    "protocol": _("protocol"),
    "public": _("public"),
    "ram_mib": _("memory, MiB"),
    "reason": _("reason"),
    "shared": _("shared"),
    "title": _("title"),
    "widgets": _("widgets"),
    "retry_of": _("again, after"),
    "role": _("role"),
    "rule": _("rule"),
    "second_factor": _("second factor"),
    "seconds": _("seconds"),
    "secret": _("secret"),
    "size": _("size"),
    "snapshot": _("snapshot"),
    "source": _("source"),
    "state": _("state"),
    "subnet": _("subnet"),
    "subnets": _("subnets"),
    "tags": _("tags"),
    "target": _("target"),
    "teams": _("teams"),
    "until": _("until"),
    "uuids": _("UUID"),
    "vcpus": _("vCPU"),
    "vid": _("VLAN"),
    "vni": _("VNI"),
    "volume": _("volume"),
    "volumes": _("volumes"),
    "filter": _("filter"),
    "points": _("points"),
    "to": _("target"),
    "what": _("what"),
    "why": _("why"),
}
# What such values are, beside those that other tables name already.
VALUES: tuple[str, ...] = (_("both"), _("webhook"), _("chat"), _("email"))
# Values that are words of ours, and no names: the others stay as they are, whatever they look like.
SPOKEN = frozenset(
    {
        "carried_by",
        "role",
        "rule",
        "kind",
        "plug",
        "expected",
        "state",
        "direction",
        "why",
        "reason",
        "filter",
        "points",
        "what",
    }
)


def field_words(name: str) -> str:
    """What a change's value is called: the row's own key where the page is English, or nobody named it."""
    return gettext(FIELDS[name]) if name in FIELDS and not (get_language() or "en").startswith("en") else name


def value_words(name: str, value: Any) -> str:
    """A value in the page's language: sentences and roles are told, names are as they are."""
    if isinstance(value, list):
        return " ".join(value_words(name, one) for one in value) or gettext("none")
    if value is None:
        return gettext("none")
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    return told(gettext(value)) if name in SPOKEN and isinstance(value, str) else _plain(value)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
