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
from portal.operations.consent import consent_problems
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
        gone = sum(one not in known for one in folders)
        problems = consent_problems(len(folders), gone, MOST_AT_ONCE, fresh.name, typed)
        if problems:
            raise VMProblem({"strays": problems})
        subject = Subject("backup_store", fresh.uuid, fresh.name)
        return begin_operation("store.clean", None, user, subject, {"folders": folders})


def clean_again(operation: Operation, user: User) -> Operation:
    """The same once more, without what is gone by now. Raises VMProblem."""
    store = BackupStore.objects.filter(uuid=operation.object_uuid).first()
    if store is None:
        raise VMProblem(
            {"store": [gettext("the store %(store)s is no longer known") % {"store": operation.object_name}]}
        )
    known = {str(one["folder"]) for one in store.strays}
    left = [one for one in operation.params["folders"] if one in known]
    return clean_store(store, user, left, store.name)
