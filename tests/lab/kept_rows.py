"""Rows for a controller process: hosts, and ports bound to them. Run with that process's settings; tells the ports as JSON."""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def main(wanted: dict[str, Any]) -> None:
    """Make the hosts that are missing and the ports, each (name, host), in one transaction."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.config.settings")
    django.setup()
    from django.db import transaction

    from portal.hosts.models import Host
    from portal.networks.intent import bump_generation, only_ports
    from portal.networks.ipam import allocate_port
    from portal.networks.models import Network

    network = Network.objects.get(name="payments-net")
    told = []
    for columns in wanted["hosts"]:
        Host.objects.get_or_create(name=columns["name"], defaults=columns)
    with transaction.atomic():
        for name, host in wanted["ports"]:
            port = allocate_port(network, name=name)
            port.host = Host.objects.get(name=host)
            port.save(update_fields=["host"])
            bump_generation(only_ports([port.id]))
            address = next(row.address for row in port.addresses.all() if ":" not in row.address)
            told.append({"id": port.id, "uuid": str(port.uuid), "mac": port.mac, "address": address, "name": name})
    print(json.dumps(told))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
