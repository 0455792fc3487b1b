"""The shadow switch and its control socket: real daemons, gone afterwards."""

from __future__ import annotations

import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sdn.shadow import Shadow, ShadowBridge, ShadowError, ShadowPort
from sdn.transport.unixctl import UnixctlClient, UnixctlError, find_vswitchd_socket

BRIDGE = ShadowBridge("br-int", (ShadowPort("vnet0", 7), ShadowPort("vnet1", 8)), "table=0,in_port=7 actions=output:8")


def test_it_has_the_bridges_ports_and_flows_that_it_was_given() -> None:
    with Shadow() as shadow:
        client = UnixctlClient(shadow.load([BRIDGE]))
        assert "vnet1 8/" in client.run("dpif/show")
        assert "in_port=7 actions=output:8" in shadow.dump_flows("br-int")
        shadow.set_flows("br-int", "table=0,in_port=8 actions=output:7")
        assert "in_port=7 actions" not in shadow.dump_flows("br-int")
        client.close()


def test_loading_a_bridge_again_replaces_it() -> None:
    with Shadow() as shadow:
        shadow.load([BRIDGE])
        shadow.load([ShadowBridge("br-int", (ShadowPort("vnet9", 9),))])
        assert shadow.dump_flows("br-int").count("actions=") == 0


def test_nothing_is_left_behind_even_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), Shadow() as shadow:
        shadow.load([BRIDGE])
        pids = [int(path.read_text()) for path in shadow.rundir.glob("*.pid")]
        raise ZeroDivisionError
    assert len(pids) == 2
    assert not shadow.rundir.exists()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    with pytest.raises(ShadowError):
        _ = shadow.unixctl


def test_a_flow_that_ovs_refuses_is_named() -> None:
    with Shadow() as shadow, pytest.raises(ShadowError, match="nonsense"):
        shadow.load([ShadowBridge("br-int", (), "table=0,nonsense=1 actions=drop")])


def test_a_client_reconnects_and_says_what_is_wrong(tmp_path: Path) -> None:
    with Shadow() as shadow:
        client = UnixctlClient(shadow.load([BRIDGE]))
        assert {"ofproto/trace", "dpctl/dump-conntrack"} <= client.list_commands()
        client.close()
        assert client.run("version").startswith("ovs-vswitchd")
        with pytest.raises(UnixctlError, match="is not a valid command"):
            client.run("no/such-command")
        assert client.run("version")
    with pytest.raises(UnixctlError):
        client.run("version")
    with pytest.raises(UnixctlError, match="no ovs-vswitchd runs in"):
        find_vswitchd_socket(tmp_path)


def test_many_threads_share_a_client() -> None:
    with Shadow() as shadow:
        client = UnixctlClient(shadow.load([BRIDGE]))
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: client.run("ofproto/trace", "br-int", "in_port=7"), range(64)))
        assert len({answer for answer in answers if "Datapath actions: 2" in answer or "output:8" in answer}) == 1
        client.close()


def test_a_daemon_that_trickles_its_answer_meets_the_deadline(tmp_path: Path) -> None:
    path, ended = tmp_path / "slow.ctl", threading.Event()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        thread = threading.Thread(target=_trickle, args=(server, ended))
        thread.start()
        with pytest.raises(UnixctlError, match="no answer to version"):
            UnixctlClient(path, deadline_s=0.3).run("version")
        ended.set()
        thread.join()


def _trickle(server: socket.socket, ended: threading.Event) -> None:
    connection, _ = server.accept()
    with connection:
        while not ended.wait(0.05):
            try:
                connection.sendall(b" ")
            except OSError:
                return
