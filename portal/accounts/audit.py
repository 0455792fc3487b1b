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
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from portal.accounts.models import AuditHead, AuditRow, Team, User

SYSTEM = "Hopsight"


@dataclass(frozen=True)
class Source:
    """Where a change came from."""

    address: str = ""
    request_id: str = ""
    who: Callable[[], User | None] = lambda: None  # the request's person, once it is known
    why: Callable[[], str] = str  # what the request gives as its reason


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
            reason=where.why(),
        )
        row.hash = chained(head.hash, row)
        row.save(force_insert=True)
        AuditHead.objects.filter(pk=head.pk).update(last_id=row.pk, hash=row.hash)
        return row


def chained(previous: str, row: AuditRow) -> str:
    """SHA-256 over the previous hash and the row's columns in one canonical form. A row without a reason has no such column,
    as all had none that were written before there were reasons."""
    columns = [
        row.pk, row.at.astimezone(UTC).isoformat(), row.team_id, row.actor, row.action, row.object_type, row.object_id,
        row.object_name, row.before, row.after, row.address, row.request_id, *([row.reason] if row.reason else []),
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
    "snippet.add": _("kept the user-data"),
    "snippet.delete": _("deleted the user-data"),
    "host.maintenance": _("changed the maintenance of the host"),
    "flow.apply": _("asked to change a foreign bridge’s flows on the host"),
    "store.clean": _("asked to remove what no backup explains from the store"),
    "host.clean": _("asked to remove what no row explains from the host"),
    "host.evacuate": _("asked to evacuate the host"),
    "vm.migrate": _("asked to migrate the VM"),
    "operation.cancel": _("asked to cancel"),
    "operation.retry": _("asked once more for"),
    "vm.flags": _("changed the flags of"),
    "port.security": _("changed the port security of"),
    "port.limits": _("changed the rate limits of"),
    "port.mirror": _("set up a mirror of"),
    "port.mirror_end": _("ended the mirror of"),
    "port.pairs": _("changed the address pairs of"),
    "port.reserve": _("reserved an address for"),
    "port.release": _("freed the reserved address of"),
    "port.sample": _("asked for copies of what is dropped for"),
    "port.sample_end": _("ended the copies of what is dropped for"),
    "probing.start": _("sends a real packet a second along"),
    "probing.stop": _("stopped the probing of"),
    "capture.start": _("asked to capture packets on the path"),
    "capture.stop": _("stopped capturing packets on the path"),
    "trace.deliver": _("had a real packet given to the guest, on the path"),
    "trace.next": _("waits for the guest’s next packet, on the path"),
    "flow.trace": _("followed a packet by hand on the host"),
    "bundle.upload": _("uploaded the support bundle"),
    "bundle.delete": _("deleted the support bundle"),
    "provider.create": _("made the provider network"),
    "provider.delete": _("deleted the provider network"),
    "provider.share": _("changed which teams share the provider network"),
    "operator.make": _("made an operator of"),
    "network.create": _("made the network"),
    "network.delete": _("deleted the network"),
    "network.subnet_add": _("added a subnet to the network"),
    "network.subnet_delete": _("deleted a subnet of the network"),
    "router.create": _("made the router"),
    "router.delete": _("deleted the router"),
    "router.attach": _("attached a subnet to the router"),
    "router.detach": _("detached a subnet from the router"),
    "router.route_add": _("added a route to the router"),
    "router.route_remove": _("removed a route from the router"),
    "router.external": _("changed the way outside of the router"),
    "floating.allocate": _("took the floating address"),
    "floating.release": _("released the floating address"),
    "floating.give": _("gave a VM the floating address"),
    "floating.take": _("took from its VM the floating address"),
    "external.create": _("made the external network"),
    "external.delete": _("deleted the external network"),
    "group.create": _("made the security group"),
    "group.delete": _("deleted the security group"),
    "rule.add": _("added a rule to the group"),
    "port.groups": _("changed the security groups of"),
    "rule.remove": _("removed a rule from the group"),
    "alert_rule.add": _("watches the threshold:"),
    "alert_rule.remove": _("no longer watches the threshold:"),
    "alert.acknowledge": _("looks after the alert:"),
    "alert.silence": _("silenced the alert:"),
    "channel.add": _("added the channel"),
    "channel.remove": _("removed the channel"),
    "channel.test": _("tested the channel"),
    "board.make": _("made the board"),
    "board.change": _("changed the board"),
    "board.remove": _("removed the board"),
    "check.add": _("pinned the path check"),
    "check.remove": _("removed the path check"),
    "vm.adopt": _("asked to adopt, as the VM,"),
    "vm.let_go": _("asked to let go of the VM"),
    "vm.create": _("asked for the VM"),
    "vm.delete": _("asked to delete the VM"),
    "vm.start": _("asked to start the VM"),
    "vm.stop": _("asked to stop the VM"),
    "vm.reboot": _("asked to restart the VM"),
    "vm.rename": _("renamed the VM, now"),
    "vm.resize": _("asked to resize the VM"),
    "vm.devices": _("asked for other devices of the VM"),
    "vm.rebuild": _("asked to rebuild the VM"),
    "vm.clone": _("asked for a clone, the VM"),
    "vm.rescue": _("asked to boot in rescue the VM"),
    "vm.unrescue": _("asked to end the rescue of the VM"),
    "vm.nic_add": _("added a NIC to the VM"),
    "vm.nic_remove": _("removed a NIC of the VM"),
    "vm.nic_model": _("changed the NIC model of the VM"),
    "vm.nic_network": _("moved a NIC to another network, of the VM"),
    "vm.lease": _("changed the lease of the VM"),
    "vm.tags": _("changed the tags of the VM"),
    "vm.bin": _("deleted, to be had back for a while, the VM"),
    "vm.undelete": _("took back the VM"),
    "vm.snapshot": _("took a snapshot of the VM"),
    "vm.snapshot_revert": _("reverted to a snapshot the VM"),
    "vm.snapshot_delete": _("deleted a snapshot of the VM"),
    "vm.snapshot_plan": _("changed the snapshot plan of the VM"),
    "vm.backup": _("asked for a backup of the VM"),
    "vm.restore": _("restored from a backup the VM"),
    "vm.backup_plan": _("changed the backup plan of the VM"),
    "backup.delete": _("deleted the backup"),
    "backup_store.make": _("set up the backup store"),
    "backup_store.change": _("changed the backup store"),
    "backup_store.try": _("had the backup store tried"),
    "backup_store.remove": _("removed the backup store"),
    "volume.create": _("asked for the volume"),
    "volume.clone": _("asked for a clone of the volume"),
    "volume.grow": _("asked to grow a volume:"),
    "volume.delete": _("asked to delete the volume"),
    "volume.snapshot": _("took a snapshot of a volume:"),
    "volume.snapshot_revert": _("reverted a volume to a snapshot:"),
    "volume.snapshot_delete": _("deleted a snapshot of a volume:"),
    "volume.snapshot_plan": _("changed the snapshot plan of the volume"),
    "vm.volume_add": _("added a new volume to the VM"),
    "vm.volume_attach": _("attached a volume to the VM"),
    "vm.volume_detach": _("detached a volume of the VM"),
    "pool.offer": _("changed whether teams may use the pool"),
    "image.import": _("asked to import the image"),
    "image.from_vm": _("asked to make of a VM the image"),
    "image.delete": _("asked to delete the image"),
    "image.share": _("changed which teams share the image"),
    "image.publish": _("changed whether every team is offered the image"),
    "image.pull": _("asked for a copy on a host of the image"),
    "image.evict": _("evicted from a host the image"),
    "image.abandon": _("gave up uploading the image"),
    "console.open": _("opened the console of"),
    "member.add": _("added to the team"),
    "member.join": _("joined by a link, as"),
    "member.role": _("changed the role of"),
    "member.remove": _("removed from the team"),
    "member.leave": _("left the team:"),
    "invitation.create": _("made an invitation link for a"),
    "invitation.end": _("ended the invitation link for a"),
    "token.create": _("made the API token"),
    "device.deny": _("turned away the program"),
    "token.delete": _("deleted the API token"),
    "price.change": _("changed the"),
    "team.add": _("made the team"),
    "team.change": _("changed the name or the limits of the team"),
    "host.add": _("registered the host"),
    "host.change": _("changed the host"),
    "host.remove": _("forgot the host"),
    "flows.removed": _("removed flows that no intent has from the host"),
    "service.create": _("made the service account"),
    "service.role": _("changed the role of the service account"),
    "service.delete": _("deleted the service account"),
    "key.add": _("added the SSH key"),
    "key.delete": _("deleted the SSH key"),
    "session.start": _("logged in from"),
    "session.end": _("ended a session"),
    "factor.add": _("set up the second factor"),
    "factor.remove": _("took away the second factor"),
    "factor.fail": _("gave the right password and a wrong second factor, as"),
    "identity.connect": _("connected the identity of"),
    "identity.disconnect": _("disconnected the identity of"),
    "policy.team": _("changed whether a second factor is asked of"),
    "policy.operators": _("changed whether a second factor is asked of the"),
    "password.change": _("changed the password of"),
    "person.join": _("used an invitation link to make the log-in"),
    "person.language": _("chose a language for"),
    "person.time_zone": _("chose a time zone for"),
}


def words_of(action: str) -> str:
    """The action as words between the actor and the object; the action itself when it has none yet."""
    return gettext(WORDS[action]) if action in WORDS else action.replace(".", " ")
