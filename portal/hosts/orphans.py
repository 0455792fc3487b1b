"""What operators ask of things on hosts that have our mark and that no row explains: to remove them, each one ticked.

Looking never removes anything. The worker looks again at each before it goes (tasks/sagas/host_clean.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext

from portal.accounts.models import User
from portal.accounts.teams import TeamProblem
from portal.hosts.models import Host, Orphan
from portal.operations.cancel import OperationProblem
from portal.operations.consent import consent_problems
from portal.operations.models import Operation
from portal.operations.requests import Subject, begin_operation

MOST_AT_ONCE = 200


def orphans_of(host: Host) -> list[Orphan]:
    """What was found on the host, by kind and name."""
    return list(host.orphans.select_related("host"))


def cleanings_of(host: Host) -> list[Operation]:
    """The latest cleanings, newest first: what became of each."""
    rows = Operation.objects.filter(object_uuid=host.uuid, kind="host.clean").prefetch_related("stages")
    return list(rows.select_related("created_by")[:5])


def clean_orphans(host: Host, user: User, wanted: Iterable[str], typed: str) -> Operation:
    """The operation that removes them. `typed` must be the host's name: the consent. Raises TeamProblem, all reasons at once."""
    with transaction.atomic():
        names = list(dict.fromkeys(wanted))
        found = {str(row.uuid): row for row in Orphan.objects.filter(host=host, uuid__in=filter(_is_uuid, names))}
        problems = [f"{row} stays: {row.why_not}" for row in found.values() if row.why_not]
        problems += consent_problems(len(names), len(names) - len(found), MOST_AT_ONCE, host.name, typed)
        if problems:
            raise TeamProblem.of({"orphans": problems})
        keys = [[row.kind, row.name] for row in found.values()]
        after = {"removed": [str(row) for row in found.values()]}
        return begin_operation(
            "host.clean", None, user, Subject("host", host.uuid, host.name), {"orphans": keys}, after
        )


def clean_again(operation: Operation, user: User) -> Operation:
    """The same once more, without what is gone by now. Raises OperationProblem."""
    host = Host.objects.filter(uuid=operation.object_uuid).first()
    if host is None:
        raise OperationProblem(
            gettext("the host %(object_name)s is no longer known") % {"object_name": operation.object_name}
        )
    keys = {(kind, name) for kind, name in operation.params["orphans"]}
    left = [str(row.uuid) for row in orphans_of(host) if (row.kind, row.name) in keys]
    try:
        return clean_orphans(host, user, left, host.name)
    except TeamProblem as problem:
        raise OperationProblem(str(problem)) from None


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
