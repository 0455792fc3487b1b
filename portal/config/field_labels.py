"""Forms' fields by the words that stand beside them: lists of what is wrong name them as their form does, not as the API."""

from __future__ import annotations

import re

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

HARDWARE_LABELS = {
    "cpu_model": _("CPU model"), "machine": _("Machine"), "disk_bus": _("Disk bus"), "disk_cache": _("Disk cache"),
    "nic_model": _("NIC model"),
}  # fmt: skip
FIELD_LABELS = HARDWARE_LABELS | {
    "image": _("Image"), "flavor": _("Size"), "name": _("Name"), "count": _("How many"), "network": _("Network"),
    "key": _("SSH key"), "new_key": _("Add a key"), "groups": _("Security groups"), "host": _("Host"),
    "apart": _("Keep apart from others of group"), "lease_days": _("Lease, in days"), "volumes": _("Volumes"),
    "attach": _("Free volumes to attach"), "address": _("Address"), "user_data": _("User-data"), "snippet": _("User-data"),
    # a filter of what was changed, and what-ifs of flows
    "area": _("What"), "since": _("Since"), "until": _("Until"),
    "bridge": _("Bridge"), "action": _("What if I"), "flow": _("Flow"), "packet": _("Packet"),
}  # fmt: skip
OF_VOLUME = re.compile(r"volume_(\d+)_(size_gib|name|bus)")
VOLUME_LABELS = {"size_gib": _("New, GiB"), "name": _("Called, after the VM"), "bus": _("Bus")}


def label_of(field: str) -> str:
    """What the page calls a field; one of several volumes has its number."""
    if found := OF_VOLUME.fullmatch(field):
        return f"{gettext('Volumes')} {found[1]}, {gettext(VOLUME_LABELS[found[2]])}"
    return gettext(FIELD_LABELS[field]) if field in FIELD_LABELS else field
