"""The cast of every permission test: Alice owns Payments, Bob is a member, Charlie views, Dana is of Search, Olga operates."""

from __future__ import annotations

from dataclasses import dataclass

from portal.accounts.models import Team, User
from portal.compute.models import Flavor, Image
from portal.config.seed import seed_images, seed_rows
from portal.networks.models import ExternalNetwork, Network, Router


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
    router: Router
    external: ExternalNetwork
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
        router=Router.objects.get(team__slug="payments"),
        external=ExternalNetwork.objects.get(name="internet"),
        image=Image.objects.get(slug="tiny"),
        flavor=Flavor.objects.get(name="nano"),
    )
