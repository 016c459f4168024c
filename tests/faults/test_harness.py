"""A case fails if its fault has done nothing."""

from __future__ import annotations

import importlib
import socket
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from tests.faults.cases import Case, Ends, Lasts
from tests.faults.catalog import PROCESSES
from tests.faults.harness import Fault
from tests.faults.memory import memory_group, read_places, reason_without
from tests.faults.proxy import HOST, Kind, Proxy
from tests.faults.proxy import Fault as OfConnection
from tests.faults.runs import Ended, Try


def _case(fault: OfConnection, lasts: Lasts = Lasts.HIT) -> Case:
    return Case(
        id="a-fault",
        store="lake",
        task="download",
        what="a fault",
        server="source",
        fault=fault,
        lasts=lasts,
        ends=Ends.UNHARMED,
    )


def _ended(*states: str) -> Ended:
    tries = [Try("download", number, state, "") for number, state in enumerate(states, 1)]
    return Ended("success", {}, tries, [], [])


@pytest.mark.parametrize(("after", "harms"), [(0, True), (5, True), (6, False), (3000, False)])
def test_a_match_is_no_harm(after: int, harms: bool) -> None:
    with socket.create_server((HOST, 0)) as server, Proxy(server.getsockname()[1]) as proxy:
        scene: Any = SimpleNamespace(proxies={"source": proxy})
        fault = Fault(scene, _case(OfConnection(kind=Kind.TRUNCATE, after=after)))
        hooks = fault.hooks()
        hooks.before(1)
        with socket.create_connection((HOST, proxy.port)) as client:
            client.sendall(b"GET")
            upstream, _ = server.accept()
            with upstream:
                upstream.recv(100)
                upstream.sendall(b"answer")
                upstream.shutdown(socket.SHUT_WR)
                with client.makefile("rb") as answer:
                    assert answer.read() == b"answer"[:after]
        hooks.after(1)
        assert fault.has_harmed(_ended("success")) is harms


@pytest.mark.parametrize(("states", "harms"), [(("success",), False), (("up_for_retry", "success"), True)])
def test_refused_connections_show_in_the_try(states: tuple[str, ...], harms: bool) -> None:
    with socket.create_server((HOST, 0)) as server, Proxy(server.getsockname()[1]) as proxy:
        scene: Any = SimpleNamespace(proxies={"source": proxy})
        fault = Fault(scene, _case(OfConnection(kind=Kind.REFUSE, times=None), Lasts.TRY))
        hooks = fault.hooks()
        hooks.before(1)
        hooks.after(1)
        assert fault.has_harmed(_ended(*states)) is harms


# What /proc/self/cgroup and /proc/self/mountinfo have on some machines, and where groups can then be made.
V1 = "35 32 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
V1_OTHER = "36 32 0:33 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
V2 = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_OF_CONTAINER = "900 890 0:32 /docker/ab /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
MACHINES = {
    "version 1": ("4:memory:/jobs/a\n1:cpu:/\n0::/\n", V1 + V1_OTHER, [(1, "/sys/fs/cgroup/memory/jobs/a")]),
    "controllers together": ("4:cpu,memory:/a:b\n", V1, [(1, "/sys/fs/cgroup/memory/a:b")]),
    "version 1 in a container": ("4:memory:/docker/ab\n", V1_OF_CONTAINER, [(1, "/sys/fs/cgroup/memory")]),
    "of another container": ("4:memory:/docker/xy\n", V1_OF_CONTAINER, []),
    "version 2": (
        "0::/user.slice/a\n",
        V2,
        [(2, "/sys/fs/cgroup/user.slice/a"), (2, "/sys/fs/cgroup/user.slice"), (2, "/sys/fs/cgroup")],
    ),
    "both": ("4:memory:/a\n0::/\n", V1 + V2, [(1, "/sys/fs/cgroup/memory/a"), (2, "/sys/fs/cgroup")]),
    "neither": ("1:cpu:/\n", V1_OTHER, []),
}


@pytest.mark.parametrize("name", MACHINES)
def test_where_a_memory_cgroup_can_be_made(name: str) -> None:
    cgroups, mounts, expected = MACHINES[name]
    assert [(place.version, str(place.folder)) for place in read_places(cgroups, mounts)] == expected


def test_the_kernel_kills_what_needs_more_than_its_cgroup_has() -> None:
    if reason := reason_without():
        pytest.skip(reason)
    take = "import sys; sys.stdin.read(1); kept = [bytearray(b'x' * 2**20) for _ in range(64)]"
    with memory_group(8 << 20) as group:
        killed, moved = (subprocess.Popen([sys.executable, "-c", take], stdin=subprocess.PIPE) for _ in range(2))
        group.add(killed.pid)
        killed.communicate(b".")
        assert (killed.returncode, group.kills) == (-9, 1)
        group.add(moved.pid)
        group.release()
    assert not group.folder.exists()
    moved.communicate(b".")
    assert moved.returncode == 0


@pytest.mark.parametrize("hang", sorted({case.hang for case in PROCESSES if ":" in case.hang}))
def test_a_task_hangs_in_a_function_that_its_module_calls(hang: str) -> None:
    path, _, function = hang.partition(":")
    module, _, name = path.rpartition(".")
    # The module imports that name; else nothing would hang, and the case would wait in vain.
    assert callable(getattr(getattr(importlib.import_module(module), name), function))
