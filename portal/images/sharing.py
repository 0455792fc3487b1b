"""A team's image for others: for named teams by an owner, for every team by an operator, who vouches for it.

What is taken back is offered no more. VMs that were made of it stay, and so does the file under their disks: the image
cannot be deleted before they are gone.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import Team, User
from portal.compute.models import Image
from portal.compute.requests import VMProblem

MOST_TEAMS = 100


def share_image(image: Image, user: User, slugs: Sequence[str]) -> Image:
    """The image, which these teams may boot beside its own, and no others. Raises VMProblem with all that is wrong."""
    wanted = list(dict.fromkeys(slug.strip() for slug in slugs if slug.strip()))
    with transaction.atomic():
        fresh = _locked(image)
        if len(wanted) > MOST_TEAMS:
            raise VMProblem(
                {
                    "teams": [
                        gettext("%(count)s teams were given; at most %(most_teams)s are allowed")
                        % {"count": len(wanted), "most_teams": MOST_TEAMS}
                    ]
                }
            )
        known = {team.slug: team for team in Team.objects.filter(slug__in=[one for one in wanted if "\0" not in one])}
        problems = [
            gettext("“%(one)s” was given; there is no team of that name") % {"one": _plain(one)}
            for one in wanted
            if one not in known
        ]
        if fresh.team is not None and fresh.team.slug in known:
            problems.append(gettext("%(team)s has it already: it is its own") % {"team": fresh.team.name})
        if problems:
            raise VMProblem({"teams": problems})
        before = _slugs(fresh)
        fresh.shared_with.set(known.values())
        after = _slugs(fresh)
        if before != after:
            what = ("image", fresh.slug, fresh.name)
            record("image.share", fresh.team, user, what, before={"teams": before}, after={"teams": after})
        return fresh


def publish_image(image: Image, user: User, is_public: bool) -> Image:
    """The image, which every team is offered from now on, or no more."""
    with transaction.atomic():
        fresh = _locked(image)
        if fresh.is_public != is_public:
            Image.objects.filter(pk=fresh.pk).update(is_public=is_public)
            before, fresh.is_public = fresh.is_public, is_public
            what = ("image", fresh.slug, fresh.name)
            record("image.publish", fresh.team, user, what, before={"public": before}, after={"public": is_public})
        return fresh


def _locked(image: Image) -> Image:
    """The image as it is now, its team's row locked. Raises VMProblem when it is nobody's own."""
    if image.team_id is None:
        raise VMProblem({"image": [gettext("%(image)s is everybody's already") % {"image": image.name}]})
    Team.objects.select_for_update(no_key=True).get(pk=image.team_id)
    fresh: Image | None = Image.objects.select_related("team").filter(pk=image.pk).first()
    if fresh is None:
        raise VMProblem({"image": [gettext("%(image)s is gone meanwhile") % {"image": image.name}]})
    return fresh


def _slugs(image: Image) -> str:
    return ", ".join(image.shared_with.order_by("slug").values_list("slug", flat=True))


def _plain(text: str) -> str:
    shown = "".join(one if one.isprintable() else "?" for one in text)
    return shown if len(shown) <= 40 else f"{shown[:40]}…"
