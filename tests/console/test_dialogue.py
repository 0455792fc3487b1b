"""A serial console from the browser's socket through both processes to a program on a terminal, and back."""

from __future__ import annotations

import json

from asgiref.sync import sync_to_async

from portal.accounts.models import AuditRow, Membership
from portal.compute.models import VM, VMState
from portal.console.socket import MAX_MESSAGE_BYTES
from portal.console.wire import Close
from tasks.console.session import MAX_VIEWERS
from tests.console.conftest import Consoles


async def test_what_is_typed_reaches_the_guest_and_its_answer_comes_back(consoles: Consoles) -> None:
    consoles.doors.start(consoles.vm.uuid, "sh")
    alice = await consoles.opened("alice")
    await alice.pen(mine=True, writer="alice", people=["alice"])
    await alice.send(bytes=b"echo $((6 * 7))-there\n")
    await alice.sees(b"42-there")


async def test_bytes_are_passed_as_they_are(consoles: Consoles) -> None:
    consoles.doors.start(consoles.vm.uuid, "cat")
    alice = await consoles.opened("alice")
    every = bytes(range(256)) * 40
    await alice.send(bytes=every)
    await alice.until(lambda: len(alice.seen) >= len(every), "all came back")
    assert alice.seen == every


async def test_what_the_line_said_before_comes_first_and_is_marked(consoles: Consoles) -> None:
    consoles.doors.start(consoles.vm.uuid, "cat")
    consoles.doors.said[consoles.vm.uuid] = b"booted\n"
    alice = await consoles.opened("alice")
    await alice.sees(b"booted\n")
    assert {"scrollback": 7} in alice.told
    await alice.send(bytes=b"more")
    await alice.sees(b"more")
    bob = await consoles.opened("bob")
    await bob.sees(b"booted\nmore")
    assert {"scrollback": 11} in bob.told and consoles.doors.opened == 1, "one line, shared"


async def test_everybody_sees_and_one_writes(consoles: Consoles) -> None:
    consoles.doors.start(consoles.vm.uuid, "cat")
    alice, bob = await consoles.opened("alice"), await consoles.opened("bob")
    await bob.pen(mine=False, may_write=True, writer="alice", people=["alice", "bob"])
    await bob.send(bytes=b"[bob]")
    await alice.send(bytes=b"[alice]")
    for one in (alice, bob):
        await one.sees(b"[alice]")
        assert b"bob" not in one.seen


async def test_a_member_takes_the_pen_by_asking_and_the_holder_is_told(consoles: Consoles) -> None:
    consoles.doors.start(consoles.vm.uuid, "cat")
    alice, bob = await consoles.opened("alice"), await consoles.opened("bob")
    await bob.send(text=json.dumps({"take": True}))
    await alice.pen(mine=False, writer="bob")
    await bob.send(bytes=b"[bob]")
    await alice.sees(b"[bob]")


async def test_a_pen_that_its_holder_left_is_taken_by_typing(consoles: Consoles) -> None:
    consoles.doors.start(consoles.vm.uuid, "cat")
    alice, bob = await consoles.opened("alice"), await consoles.opened("bob")
    await alice.leave()
    consoles.open_ones.remove(alice)
    await bob.pen(writer="", people=["bob"])
    await bob.send(bytes=b"[bob]")
    await bob.sees(b"[bob]")
    await bob.pen(mine=True)


async def test_a_viewer_watches_and_neither_typing_nor_asking_lets_them_write(consoles: Consoles) -> None:
    consoles.doors.start(consoles.vm.uuid, "cat")
    charlie = await consoles.opened("charlie")
    await charlie.pen(mine=False, may_write=False, writer="")
    await charlie.send(text=json.dumps({"take": True, "may_write": True}))
    await charlie.send(bytes=b"[charlie]")
    alice = await consoles.opened("alice")
    await alice.send(bytes=b"[alice]")
    await charlie.sees(b"[alice]")
    assert charlie.seen == b"[alice]"


async def test_a_member_who_becomes_a_viewer_writes_no_more_within_seconds(consoles: Consoles) -> None:
    consoles.doors.start(consoles.vm.uuid, "cat")
    bob = await consoles.opened("bob")
    await bob.pen(mine=True)
    await Membership.objects.filter(user=consoles.cast.bob).aupdate(role="viewer")
    await bob.pen(mine=False, may_write=False)
    await bob.send(bytes=b"[bob]")
    alice = await consoles.opened("alice")
    await alice.send(bytes=b"[alice]")
    await alice.sees(b"[alice]")
    assert b"bob" not in alice.seen


async def test_it_is_closed_within_seconds_when_the_membership_is_lost(consoles: Consoles) -> None:
    consoles.doors.start(consoles.vm.uuid, "cat")
    bob, alice = await consoles.opened("bob"), await consoles.opened("alice")
    await Membership.objects.filter(user=consoles.cast.bob).adelete()
    code, words = await bob.closed()
    assert code == Close.GONE and "not yours" in words
    await alice.pen(people=["alice"])


async def test_it_is_closed_when_the_person_logs_out(consoles: Consoles) -> None:
    consoles.doors.start(consoles.vm.uuid, "cat")
    client = await consoles.client("alice")
    browser = await consoles.browser(client, await consoles.ticket(client))
    await browser.pen(mine=True)
    await sync_to_async(client.session.flush)()
    assert (await browser.closed())[0] == Close.LOGGED_OUT


async def test_it_is_closed_when_the_vm_is_deleted(consoles: Consoles) -> None:
    consoles.doors.start(consoles.vm.uuid, "cat")
    alice = await consoles.opened("alice")
    await VM.objects.filter(pk=consoles.vm.pk).aupdate(state=VMState.DELETING)
    code, words = await alice.closed()
    assert (code, words) == (Close.OFF, "web-1 is being deleted.")


async def test_it_is_closed_at_once_when_the_guest_goes_off_and_opens_again_with_the_next_boot(
    consoles: Consoles,
) -> None:
    consoles.doors.start(consoles.vm.uuid, "cat")
    alice, bob = await consoles.opened("alice"), await consoles.opened("bob")
    consoles.doors.stop(consoles.vm.uuid)
    for one in (alice, bob):
        assert (await one.closed())[0] == Close.OFF
    client = await consoles.client("alice")
    again = await consoles.browser(client, await consoles.ticket(client))
    assert (await again.closed())[0] == Close.OFF
    consoles.doors.start(consoles.vm.uuid, "cat")
    alice = await consoles.opened("alice")
    await alice.send(bytes=b"[alice]")
    await alice.sees(b"[alice]")


async def test_more_viewers_than_the_cap_are_told_so(consoles: Consoles) -> None:
    consoles.doors.start(consoles.vm.uuid, "cat")
    for _ in range(MAX_VIEWERS):
        await consoles.opened("alice")
    client = await consoles.client("bob")
    code, words = await (await consoles.browser(client, await consoles.ticket(client))).closed()
    assert code == Close.FULL and str(MAX_VIEWERS) in words


async def test_a_message_of_absurd_size_ends_the_socket(consoles: Consoles) -> None:
    consoles.doors.start(consoles.vm.uuid, "cat")
    alice = await consoles.opened("alice")
    await alice.send(bytes=b"x" * (MAX_MESSAGE_BYTES + 1))
    assert (await alice.closed())[0] == Close.BAD_MESSAGE


async def test_messages_that_mean_nothing_change_nothing(consoles: Consoles) -> None:
    consoles.doors.start(consoles.vm.uuid, "cat")
    alice = await consoles.opened("alice")
    for text in (
        "[]",
        "{",
        '{"ack": -5}',
        '{"ack": "x"}',
        '{"ack": 1e99}',
        "[" * 3000,
        '{"take": "yes"}',
        '{"open": 1}',
    ):
        await alice.send(text=text)
    await alice.send(bytes=b"still here")
    await alice.sees(b"still here")


async def test_without_the_console_process_the_page_is_told_to_come_back(consoles: Consoles, settings) -> None:  # type: ignore[no-untyped-def]
    settings.CONSOLE_SOCKET = settings.CONSOLE_SOCKET.with_name("nobody.sock")
    client = await consoles.client("alice")
    code, words = await (await consoles.browser(client, await consoles.ticket(client))).closed()
    assert (code, words) == (Close.UNAVAILABLE, "The console process does not answer.")


async def test_who_opened_a_console_is_in_the_audit(consoles: Consoles) -> None:
    consoles.doors.start(consoles.vm.uuid, "cat")
    await consoles.opened("charlie")
    row = await AuditRow.objects.aget(action="console.open")
    assert (row.actor, row.object_name, row.after) == ("charlie", "web-1", {"kind": "serial"})
