"""Fifty creates at once, in a process of its own on the database that the environment names; tells the addresses as JSON."""

from __future__ import annotations

import json
import os
import sys
import threading

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "portal.config.settings"
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402

from portal.accounts.models import Team  # noqa: E402
from portal.networks.ipam import AddressProblem, allocate_port  # noqa: E402
from portal.networks.models import Network, Subnet  # noqa: E402


def main(creates: int, room: int) -> None:
    call_command("migrate", verbosity=0)
    network = Network.objects.create(
        team=Team.objects.create(name="Payments", slug="payments"),
        name="net",
        vni=1,
        router_mac="02:00:00:00:00:01",
    )
    Subnet.objects.create(
        network=network, cidr="10.0.0.0/24", gateway="10.0.0.1", pool_start="10.0.0.10", pool_end=f"10.0.0.{9 + room}"
    )
    Subnet.objects.create(
        network=network, cidr="fd20::/64", gateway="fd20::1", pool_start="fd20::2", pool_end="fd20::ffff:ffff:ffff"
    )
    start, given, refused = threading.Barrier(creates), [], []

    def create(number: int) -> None:
        start.wait()
        try:
            with transaction.atomic():
                port = allocate_port(network, name=f"vm-{number}")
            given.append([row.address for row in port.addresses.all()])
        except AddressProblem as problem:
            refused.append(str(problem))
        finally:
            connection.close()

    connection.close()
    threads = [threading.Thread(target=create, args=(number,)) for number in range(creates)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"given": given, "refused": refused}))


main(int(sys.argv[1]), int(sys.argv[2]))
