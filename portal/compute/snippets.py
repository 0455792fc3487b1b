"""The library of user-data: some that come along, and those that a team keeps."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from portal.accounts.audit import record
from portal.accounts.models import Team, User
from portal.compute.models import Snippet
from portal.compute.requests import VMProblem
from portal.compute.user_data import user_data_problems

MOST = 100
NAME = re.compile(r"[^\x00-\x1f\x7f]{1,60}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One snippet. `number` is its row's; None for one that comes along."""

    name: str
    text: str
    number: int | None = None

    @property
    def value(self) -> str:
        """What the form's field says for it."""
        return f"own:{self.number}" if self.number is not None else f"ours:{self.name}"


OURS = (
    Entry(_("Packages"), "#cloud-config\npackage_update: true\npackages:\n  - htop\n"),
    Entry(_("Web server"), "#cloud-config\npackages:\n  - nginx\nruncmd:\n  - [systemctl, enable, --now, nginx]\n"),
    Entry(_("More users"), "#cloud-config\nusers:\n  - default\n  - name: ops\n    groups: [sudo]\n    shell: /bin/bash\n"),
    Entry(_("A script"), "#!/bin/sh\nset -eu\necho \"made by user-data\" > /etc/motd\n"),
)  # fmt: skip


def entries_of(team: Team) -> list[Entry]:
    """What comes along, then the team's own by name."""
    return [*OURS, *(Entry(row.name, row.text, row.pk) for row in team.snippets.all()[:MOST])]


def text_of(team: Team, value: str) -> str:
    """The text of the entry that a form named; nothing for none."""
    return next((entry.text for entry in entries_of(team) if entry.value == value), "")


def keep_snippet(team: Team, user: User, name: str, text: str) -> Snippet:
    """A snippet of the team. Raises VMProblem."""
    text = text.replace("\r\n", "\n")
    errors: dict[str, list[str]] = {}
    if not NAME.fullmatch(name.strip()):
        errors["name"] = [
            gettext("%(count)s characters were given; 1 to 60 that can be printed are allowed") % {"count": len(name)}
        ]
    if problems := user_data_problems(text) if text.strip() else [gettext("nothing was given; user-data is wanted")]:
        errors["text"] = problems
    if team.snippets.count() >= MOST:
        errors.setdefault("name", []).append(
            gettext("the team keeps %(most)s already: delete one first") % {"most": MOST}
        )
    if errors:
        raise VMProblem(errors)
    try:
        with transaction.atomic():
            row = Snippet.objects.create(team=team, name=name.strip(), text=text, created_by=user)
            record("snippet.add", team, user, ("snippet", str(row.pk), row.name))
            return row
    except IntegrityError:
        raise VMProblem(
            {"name": [gettext("the team keeps a snippet %(strip)s already") % {"strip": name.strip()}]}
        ) from None


def forget_snippet(row: Snippet, user: User) -> None:
    """The snippet is gone; VMs that were made with it keep what they have."""
    with transaction.atomic():
        record("snippet.delete", row.team, user, ("snippet", str(row.pk), row.name))
        row.delete()
