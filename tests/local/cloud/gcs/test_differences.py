"""The differences of fake-gcs-server in docs/local-cloud-upstream.md: it has each, and the front has none."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from local.cloud.settings import REPOSITORY
from tests.local.cloud.gcs.differences import DIFFERENCES, PAGE, Difference, page
from tests.local.cloud.gcs.fronts import start, stop

_BINARY = "from local.cloud.gcs.backend import binary; print(binary())"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory, free_ports, cloud_python: Path) -> Iterator[str]:
    """The address of a fake-gcs-server without the front."""
    folder, port = tmp_path_factory.mktemp("bare"), free_ports(1)[0]
    binary = subprocess.check_output([str(cloud_python), "-c", _BINARY], cwd=REPOSITORY, text=True).strip()
    options = [f"-port={port}", "-host=127.0.0.1", f"-filesystem-root={folder / 'in' / 'root'}", "-log-level=error"]
    (folder / "in" / "root" / "lake").mkdir(parents=True)
    with subprocess.Popen([binary, "-scheme=http", *options], stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while True:
            try:
                requests.get(f"http://127.0.0.1:{port}/storage/v1/b", timeout=10)
                break
            except requests.ConnectionError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
        process.terminate()


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, free_ports, cloud_python: Path) -> Iterator[str]:
    started = start(tmp_path_factory.mktemp("front"), free_ports(1)[0], cloud_python)
    (started.root / "lake").mkdir()
    yield f"http://127.0.0.1:{started.port}"
    stop(started)


def answers(url: str, difference: Difference) -> list[requests.Response]:
    """Send the requests, and return all answers."""
    found: list[requests.Response] = []
    upload = ""
    for one in difference.requests:
        target = f"{url}{one.target}".replace("{upload}", upload)
        found.append(requests.request(one.method, target, data=one.body, headers=dict(one.headers), timeout=60))
        upload = found[-1].headers.get("Location", "").rpartition("upload_id=")[2] or upload
    return found


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda one: one.title)
def test_fake_gcs_server_differs_and_the_front_does_not(bare: str, front: str, difference: Difference) -> None:
    last = answers(bare, difference)[-1]
    assert last.status_code == difference.here[0], last.text
    assert difference.here[1] in last.text
    found = answers(front, difference)
    if difference.front:
        assert difference.front in {one.status_code for one in found}
    else:
        assert found[-1].status_code == difference.google[0], found[-1].text
        assert difference.google[1] in found[-1].text


def test_page_is_what_the_list_says() -> None:
    assert PAGE.read_text() == page()
