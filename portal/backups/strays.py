"""What operators ask of things in a store that no backup explains: to remove them, each one ticked, the store's name typed.

Looking never removes anything. The worker looks again at each before it goes (tasks/sagas/store_clean.py).
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction
from django.utils.translation import gettext

from portal.accounts.models import User
from portal.backups.models import BackupStore
from portal.compute.requests import VMProblem
from portal.operations.models import Operation
from portal.operations.requests import Subject, begin_operation

MOST_AT_ONCE = 50


def cleanings() -> list[Operation]:
    """The latest cleanings of all stores, newest first: what became of each."""
    rows = Operation.objects.filter(kind="store.clean").order_by("-id").prefetch_related("stages")
    return list(rows.select_related("created_by")[:5])


def clean_store(store: BackupStore, user: User, wanted: Iterable[str], typed: str) -> Operation:
    """The operation that removes these folders. Raises VMProblem, all reasons at once."""
    with transaction.atomic():
        fresh = BackupStore.objects.select_for_update().get(pk=store.pk)
        folders = list(dict.fromkeys(wanted))
        known = {str(one["folder"]) for one in fresh.strays}
        problems = []
        if gone := sum(one not in known for one in folders):
            problems.append(f"{gone} of them {'is' if gone == 1 else 'are'} not among what was found there: look again")
        if not folders:
            problems.append(gettext("tick what is to be removed"))
        if len(folders) > MOST_AT_ONCE:
            problems.append(
                gettext("%(count)s were ticked; %(most)s at a time are allowed")
                % {"count": len(folders), "most": MOST_AT_ONCE}
            )
        if typed.strip() != fresh.name:
            problems.append(
                gettext("type %(name)s to consent; “%(typed)s” was typed") % {"name": fresh.name, "typed": typed[:40]}
            )
        if problems:
            raise VMProblem({"strays": problems})
        subject = Subject("backup_store", fresh.uuid, fresh.name)
        return begin_operation("store.clean", None, user, subject, {"folders": folders})


def clean_again(operation: Operation, user: User) -> Operation:
    """The same once more, without what is gone by now. Raises VMProblem."""
    store = BackupStore.objects.filter(uuid=operation.object_uuid).first()
    if store is None:
        raise VMProblem({"store": [f"the store {operation.object_name} is no longer known"]})
    known = {str(one["folder"]) for one in store.strays}
    left = [one for one in operation.params["folders"] if one in known]
    return clean_store(store, user, left, store.name)
