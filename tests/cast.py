"""The cast of every permission test: Alice owns Payments, Bob is a member, Charlie views, Dana is of Search, Olga operates."""

from __future__ import annotations

from dataclasses import dataclass

from portal.accounts.models import Team, User
from portal.compute.models import Flavor, Image
from portal.config.seed import seed_images, seed_rows
from portal.networks.models import Network


@dataclass(frozen=True)
class Cast:
    alice: User
    bob: User
    charlie: User
    dana: User
    olga: User
    payments: Team
    search: Team
    network: Network
    image: Image
    flavor: Flavor


def make_cast() -> Cast:
    """The people, teams, networks, sizes and the tiny image, as rows."""
    seed_rows()
    seed_images(None)
    people = {name: User.objects.get(username=name) for name in ("alice", "bob", "charlie", "dana", "olga")}
    return Cast(
        **people,
        payments=Team.objects.get(slug="payments"),
        search=Team.objects.get(slug="search"),
        network=Network.objects.get(name="payments-net"),
        image=Image.objects.get(slug="tiny"),
        flavor=Flavor.objects.get(name="nano"),
    )
