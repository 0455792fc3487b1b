"""The cast of every permission test: Alice owns Payments, Bob is a member, Charlie views, Dana is of Search, Olga operates."""

from __future__ import annotations

from dataclasses import dataclass

from django.test.utils import override_settings

from portal.accounts.models import Team, User
from portal.compute.models import Flavor, Image
from portal.config.seed import seed_images, seed_rows
from portal.networks.models import ExternalNetwork, Network, Router
from tests.scenes import Scene

CHEAP = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # five of argon2's take a second


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
    is_empty = not (Team.objects.exists() or User.objects.exists() or Flavor.objects.exists())
    return _cast.stand() if is_empty else _seeded()


def _seeded() -> Cast:
    with override_settings(PASSWORD_HASHERS=CHEAP):
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


_cast = Scene(_seeded, fresh_s=60)
