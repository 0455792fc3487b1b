"""The audit: append-only rows, each hashed together with the hash before it, so that a changed or missing row shows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from django.db import transaction
from django.utils import timezone

from portal.accounts.models import AuditHead, AuditRow, Team, User

SYSTEM = "Hopsight"


@dataclass(frozen=True)
class Source:
    """Where a change came from."""

    address: str = ""
    request_id: str = ""
    who: Callable[[], User | None] = lambda: None  # the request's person, once it is known


UNKNOWN = Source()
source: ContextVar[Source] = ContextVar("audit_source", default=UNKNOWN)


def record(
    action: str, team: Team | None, actor: User | None, what: tuple[str, str, str], **change: dict[str, Any] | None
) -> AuditRow:
    """The row added in the caller's transaction. `what` is (type, id, name); `before` and `after` are the change.
    Without an actor it is the request's person, and outside of a request the product itself.
    """
    with transaction.atomic():
        head, _ = AuditHead.objects.select_for_update().get_or_create(pk=1)
        where = source.get()
        actor = actor or where.who()
        row = AuditRow(
            id=head.last_id + 1,
            at=timezone.now(),
            team_id=team.pk if team else None,
            actor=actor.username if actor else SYSTEM,
            action=action,
            object_type=what[0],
            object_id=what[1],
            object_name=what[2][:150],
            before=change.get("before"),
            after=change.get("after"),
            address=where.address,
            request_id=where.request_id,
        )
        row.hash = chained(head.hash, row)
        row.save(force_insert=True)
        AuditHead.objects.filter(pk=head.pk).update(last_id=row.pk, hash=row.hash)
        return row


def chained(previous: str, row: AuditRow) -> str:
    """SHA-256 over the previous hash and the row's columns in one canonical form."""
    columns = [
        row.pk, row.at.astimezone(UTC).isoformat(), row.team_id, row.actor, row.action, row.object_type, row.object_id,
        row.object_name, row.before, row.after, row.address, row.request_id,
    ]  # fmt: skip
    text = json.dumps([previous, *columns], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def problems() -> Iterator[str]:
    """What is wrong with the chain, a sentence each; nothing when every row is as it was written."""
    previous, expected = "", 1
    for row in AuditRow.objects.order_by("id").iterator():
        if row.pk != expected:
            yield f"rows {expected} to {row.pk - 1} are missing"
        elif row.hash != chained(previous, row):
            yield f"row {row.pk} ({row.action} of {row.object_name} by {row.actor}) is not as it was written"
        previous, expected = row.hash, row.pk + 1
    head = AuditHead.objects.filter(pk=1).first()
    if (head.last_id if head else 0) != expected - 1:
        yield f"the last row should be {head.last_id if head else 0}; it is {expected - 1}"
    elif head and head.hash != previous:
        yield f"row {expected - 1} is not the last one that was written"


WORDS: dict[str, str] = {
    "snippet.add": "kept the user-data",
    "snippet.delete": "deleted the user-data",
    "host.maintenance": "changed the maintenance of the host",
    "flow.apply": "asked to change a foreign bridge’s flows on the host",
    "host.clean": "asked to remove what no row explains from the host",
    "host.evacuate": "asked to evacuate the host",
    "vm.migrate": "asked to migrate the VM",
    "operation.cancel": "asked to cancel",
    "operation.retry": "asked once more for",
    "vm.flags": "changed the flags of",
    "port.security": "changed the port security of",
    "network.create": "made the network",
    "network.delete": "deleted the network",
    "network.subnet_add": "added a subnet to the network",
    "network.subnet_delete": "deleted a subnet of the network",
    "router.create": "made the router",
    "router.delete": "deleted the router",
    "router.attach": "attached a subnet to the router",
    "router.detach": "detached a subnet from the router",
    "router.route_add": "added a route to the router",
    "router.route_remove": "removed a route from the router",
    "router.external": "changed the way outside of the router",
    "floating.allocate": "took the floating address",
    "floating.release": "released the floating address",
    "floating.give": "gave a VM the floating address",
    "floating.take": "took from its VM the floating address",
    "external.create": "made the external network",
    "external.delete": "deleted the external network",
    "group.create": "made the security group",
    "group.delete": "deleted the security group",
    "rule.add": "added a rule to the group",
    "port.groups": "changed the security groups of",
    "rule.remove": "removed a rule from the group",
    "alert_rule.add": "watches the threshold:",
    "alert_rule.remove": "no longer watches the threshold:",
    "alert.acknowledge": "looks after the alert:",
    "alert.silence": "silenced the alert:",
    "channel.add": "added the channel",
    "channel.remove": "removed the channel",
    "channel.test": "tested the channel",
    "board.make": "made the board",
    "board.change": "changed the board",
    "board.remove": "removed the board",
    "check.add": "pinned the path check",
    "check.remove": "removed the path check",
    "vm.adopt": "asked to adopt, as the VM,",
    "vm.let_go": "asked to let go of the VM",
    "vm.create": "asked for the VM",
    "vm.delete": "asked to delete the VM",
    "vm.start": "asked to start the VM",
    "vm.stop": "asked to stop the VM",
    "vm.reboot": "asked to restart the VM",
    "vm.rename": "renamed the VM, now",
    "vm.resize": "asked to resize the VM",
    "vm.devices": "asked for other devices of the VM",
    "vm.rebuild": "asked to rebuild the VM",
    "vm.clone": "asked for a clone, the VM",
    "vm.rescue": "asked to boot in rescue the VM",
    "vm.unrescue": "asked to end the rescue of the VM",
    "vm.nic_add": "added a NIC to the VM",
    "vm.nic_remove": "removed a NIC of the VM",
    "vm.nic_model": "changed the NIC model of the VM",
    "vm.nic_network": "moved a NIC to another network, of the VM",
    "vm.lease": "changed the lease of the VM",
    "vm.tags": "changed the tags of the VM",
    "vm.bin": "deleted, to be had back for a while, the VM",
    "vm.undelete": "took back the VM",
    "vm.snapshot": "took a snapshot of the VM",
    "vm.snapshot_revert": "reverted to a snapshot the VM",
    "vm.snapshot_delete": "deleted a snapshot of the VM",
    "vm.snapshot_plan": "changed the snapshot plan of the VM",
    "vm.backup": "asked for a backup of the VM",
    "vm.restore": "restored from a backup the VM",
    "vm.backup_plan": "changed the backup plan of the VM",
    "backup.delete": "deleted the backup",
    "backup_store.make": "set up the backup store",
    "backup_store.change": "changed the backup store",
    "backup_store.remove": "removed the backup store",
    "volume.create": "asked for the volume",
    "volume.clone": "asked for a clone of the volume",
    "volume.grow": "asked to grow a volume:",
    "volume.delete": "asked to delete the volume",
    "vm.volume_add": "added a new volume to the VM",
    "vm.volume_attach": "attached a volume to the VM",
    "vm.volume_detach": "detached a volume of the VM",
    "pool.offer": "changed whether teams may use the pool",
    "image.import": "asked to import the image",
    "image.from_vm": "asked to make of a VM the image",
    "image.delete": "asked to delete the image",
    "image.share": "changed which teams share the image",
    "image.publish": "changed whether every team is offered the image",
    "image.pull": "asked for a copy on a host of the image",
    "image.evict": "evicted from a host the image",
    "image.abandon": "gave up uploading the image",
    "console.open": "opened the console of",
    "member.add": "added to the team",
    "member.join": "joined by a link, as",
    "member.role": "changed the role of",
    "member.remove": "removed from the team",
    "member.leave": "left the team:",
    "invitation.create": "made an invitation link for a",
    "invitation.end": "ended the invitation link for a",
    "token.create": "made the API token",
    "device.deny": "turned away the program",
    "token.delete": "deleted the API token",
    "price.change": "changed the",
    "team.add": "made the team",
    "team.change": "changed the name or the limits of the team",
    "host.add": "registered the host",
    "host.change": "changed the host",
    "host.remove": "forgot the host",
    "service.create": "made the service account",
    "service.role": "changed the role of the service account",
    "service.delete": "deleted the service account",
    "key.add": "added the SSH key",
    "key.delete": "deleted the SSH key",
    "session.start": "logged in from",
    "session.end": "ended a session",
    "factor.add": "set up the second factor",
    "factor.remove": "took away the second factor",
    "factor.fail": "gave the right password and a wrong second factor, as",
    "identity.connect": "connected the identity of",
    "identity.disconnect": "disconnected the identity of",
    "policy.team": "changed whether a second factor is asked of",
    "policy.operators": "changed whether a second factor is asked of the",
    "password.change": "changed the password of",
    "person.language": "chose a language for",
    "person.time_zone": "chose a time zone for",
}


def words_of(action: str) -> str:
    """The action as words between the actor and the object; the action itself when it has none yet."""
    return WORDS.get(action, action.replace(".", " "))
