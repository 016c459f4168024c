"""No two servers of tests that run at once get the same port."""

from __future__ import annotations

import socket

from tests.ports import free_port, is_free, part


def test_workers_take_their_ports_from_parts_of_their_own() -> None:
    parts = [set(part(worker)) for worker in ("", "gw0", "gw1", "gw2", "gw6")]
    assert len(set.union(*parts)) == sum(map(len, parts))
    assert set(part("gw7")) == set(part("gw0")), "more workers share them"
    assert {len(one) for one in parts} == {1500}


def test_no_port_is_given_twice_although_nothing_listens_yet() -> None:
    ports = [free_port() for _ in range(100)]
    assert len(set(ports)) == 100


def test_a_port_is_free_unless_something_listens() -> None:
    port = free_port()
    assert is_free(port)
    for host in ("127.0.0.1", ""):
        with socket.create_server((host, port)):
            assert not is_free(port)
