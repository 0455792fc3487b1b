"""Taking one port out of a bridge by a transaction of its own, for those who keep no replica of a host's OVSDB (RFC 7047).

The transaction takes effect only if the interface still has the interface id that it was found with: a name such as vnet3
is soon another guest's.
"""

from __future__ import annotations

from typing import Any

from ovs import jsonrpc
from ovs.stream import Stream

from sdn.transport.tls import TlsFiles, expect_database


class PortProblem(Exception):
    """The port stays; in words."""


def remove_port(remote: str, bridge: str, name: str, iface_id: str, host: tuple[str, TlsFiles | None]) -> None:
    """The bridge has no such port any more. Raises PortProblem when the database is away, or the port is another one now."""
    rows = _transact(remote, host, [_select("Port", name), _select("Interface", name)])
    ports, interfaces = rows[0]["rows"], rows[1]["rows"]
    if not ports or not interfaces:
        return
    outside = interfaces[0]["external_ids"]
    if dict(outside[1]).get("iface-id") != iface_id:
        raise PortProblem(f"{name} is another NIC's port now")
    where = [["name", "==", name]]
    guard = {
        "op": "wait", "timeout": 0, "table": "Interface", "where": where, "columns": ["external_ids"], "until": "==",
        "rows": [{"external_ids": outside}],
    }  # fmt: skip
    cut = {
        "op": "mutate", "table": "Bridge", "where": [["name", "==", bridge]],
        "mutations": [["ports", "delete", ports[0]["_uuid"]]],
    }  # fmt: skip
    for answer in _transact(remote, host, [guard, cut]):
        if answer and answer.get("error"):
            raise PortProblem(f"{name} was changed meanwhile: {answer['error']}")


def _select(table: str, name: str) -> dict[str, Any]:
    columns = ["_uuid", "external_ids"]
    return {"op": "select", "table": table, "where": [["name", "==", name]], "columns": columns}


def _transact(remote: str, host: tuple[str, TlsFiles | None], operations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    name, tls = host
    if tls is not None and remote.startswith("ssl:"):
        expect_database(remote, name, tls)
    problem, stream = Stream.open_block(Stream.open(remote), 5000)
    if problem:
        raise PortProblem(f"the database {remote} does not answer: error {problem}")
    connection = jsonrpc.Connection(stream)
    try:
        asked = jsonrpc.Message.create_request("transact", ["Open_vSwitch", *operations])
        problem, reply = connection.transact_block(asked)
    finally:
        connection.close()
    if problem or reply.error is not None:
        raise PortProblem(f"the database {remote} refused: {problem or reply.error}")
    answers: list[dict[str, Any]] = reply.result
    return answers
