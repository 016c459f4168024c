"""The front with fake-gcs-server behind it: names that could leave, and requests that could slip through."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from local.cloud.gcs.door import Door
from local.cloud.landlock import confined
from tests.attacks.promises import attack
from tests.local.cloud.gcs.fronts import BUCKET, Front, start, stop
from tests.local.forgeries import exchange, status
from tests.waiting import wait_until

SECRET = b"canary: not to be read"


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, free_ports, cloud_python: Path) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("front")
    started = start(folder, free_ports(1)[0], cloud_python)
    (folder / "canary").write_bytes(SECRET)
    # With fake-gcs-server's own attributes, so that it would read this file as an object.
    assert status(started.send("POST", f"/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name=real", SECRET)) == 200
    (started.root / BUCKET / "real").rename(folder / "object")
    (started.root / BUCKET / "out").symlink_to(folder)
    (started.root / "linked-bucket").symlink_to(folder)
    yield started
    stop(started)


@pytest.fixture(autouse=True)
def nothing_outside_changes(front: Front) -> Iterator[None]:
    """Compare what lies beside the root, but for the log, before and after every test."""
    before = {name: content for name, content in front.outside().items() if name != "log.txt"}
    assert before["object"] == before["canary"] == SECRET
    yield
    assert {name: content for name, content in front.outside().items() if name != "log.txt"} == before


def variants(name: str) -> dict[str, str]:
    """Return a name as it can stand in a URL: plain, and percent-encoded in several ways."""
    dots = name.replace("..", "%2e%2e")
    return {
        "plain": quote(name, safe="/.\\").replace("\\", "%5C"),
        "encoded": quote(name, safe=""),
        "dots encoded": dots,
        "all encoded": "".join(f"%{byte:02X}" for byte in name.encode()),
        "twice": quote(quote(name, safe=""), safe=""),
        "three times": quote(quote(quote(name, safe=""), safe=""), safe=""),
        "dots twice": name.replace("..", "%252e%252e"),
        "backslashes": name.replace("/", "%5C"),
        "backslashes twice": name.replace("/", "%255C"),
        "mixed": name.replace("..", ".%2E").replace("/", "%2F"),
        "ends in NUL": quote(name, safe="") + "%00",
    }


NAMES = ["../../object", "x/../../../object", "../object", "out/object", "./../../object", "../linked-bucket/object"]
CASES = [
    pytest.param(form, id=f"{name} {kind}")
    for name in NAMES
    for kind, form in variants(name).items()
    # Encoded twice, a slash is a part of an ordinary file's name.
    if not (name == "out/object" and kind in ("twice", "three times"))
]
JSON = "application/json"


def is_refused(answer: bytes) -> bool:
    """Return whether nothing was served; a name without a way out, such as ``%5C`` decoded twice, does not exist."""
    assert SECRET not in answer
    return status(answer) in (400, 404)


@attack("names-stay-in-their-bucket")
@pytest.mark.parametrize("name", CASES)
def test_path_leaves_the_root_neither_to_read_nor_to_delete_nor_to_write(front: Front, name: str) -> None:
    for prefix in ("/storage/v1", "/download/storage/v1"):
        for query in ("", "?alt=media"):
            assert is_refused(front.send("GET", f"{prefix}/b/{BUCKET}/o/{name}{query}"))
            assert not front.send("HEAD", f"{prefix}/b/{BUCKET}/o/{name}{query}").startswith(b"HTTP/1.1 200")
    target = f"/storage/v1/b/{BUCKET}/o/{name}"
    assert is_refused(front.send("DELETE", target))
    for method in ("PATCH", "PUT", "POST"):
        assert is_refused(front.send(method, target, b'{"metadata": {"a": "b"}}', Content_Type=JSON))
    for action in ("rewriteTo", "copyTo"):
        copy = f"/storage/v1/b/{BUCKET}/o/{name}/{action}/b/{BUCKET}/o/stolen"
        assert is_refused(front.send("POST", copy))
        assert is_refused(front.send("POST", f"/storage/v1/b/{BUCKET}/o/seed/{action}/b/{BUCKET}/o/{name}"))
    body = b'{"sourceObjects": [{"name": "seed"}]}'
    assert is_refused(front.send("POST", f"{target}/compose", body, Content_Type=JSON))


@attack("names-stay-in-their-bucket")
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", ["media", "multipart", "resumable"])
def test_parameter_leaves_the_root_neither_by_name_nor_as_bucket(front: Front, name: str, kind: str) -> None:
    target = f"/upload/storage/v1/b/{BUCKET}/o?uploadType={kind}&name={name}"
    assert is_refused(front.send("POST", target, b"{}", Content_Type="text/plain"))
    typed = {"Content_Type": "multipart/related; boundary=b"} if kind == "multipart" else {}
    body = b"--b\r\n\r\n{}\r\n--b\r\n\r\nevil\r\n--b--\r\n" if kind == "multipart" else b"{}"
    ambiguous = f"/upload/storage/v1/b/{BUCKET}/o?uploadType={kind}&name=x"
    assert is_refused(front.send("POST", f"{ambiguous}&name={name}", body, **typed))
    for more in (f"&Name={name}", f";name={name}"):  # the name is x, or one with a semicolon
        front.send("POST", ambiguous + more, body, **typed)


@attack("names-stay-in-their-bucket")
@pytest.mark.parametrize(
    "name", [*NAMES, "/etc/passwd", "..\\..\\object", "a\0", "%2e%2e/%2e%2e/object", "%252e%252e/x"], ids=ascii
)
def test_metadata_leaves_the_root_in_no_kind_of_request(front: Front, name: str) -> None:
    upload = f"/upload/storage/v1/b/{BUCKET}/o?uploadType="
    resources = [{"name": name}, {"NAME": name}, {"bucket": BUCKET, "name": name}, {"bucket": "..", "name": "object"}]
    for resource in resources:
        text = json.dumps(resource).encode()
        body = b"--b\r\nContent-Type: application/json\r\n\r\n" + text + b"\r\n--b\r\n\r\nevil\r\n--b--\r\n"
        assert is_refused(front.send("POST", f"{upload}multipart", body, Content_Type="multipart/related; boundary=b"))
        for content_type in (JSON, "text/plain"):
            assert is_refused(front.send("POST", f"{upload}resumable", text, Content_Type=content_type))
    compose = f"/storage/v1/b/{BUCKET}/o/joined/compose"
    for payload in ({"sourceObjects": [{"name": name}]}, {"sourceObjects": [], "destination": {"name": name}}):
        assert is_refused(front.send("POST", compose, json.dumps(payload).encode(), Content_Type=JSON))


@attack("names-stay-in-their-bucket")
@pytest.mark.parametrize(
    "bucket", ["..", "%2e%2e", "%252e%252e", "linked-bucket", "..%2F..", ".", "%2F", "a%2Fb", "%00", "x%5C.."]
)
def test_bucket_leaves_the_root_in_no_kind_of_request(front: Front, bucket: str) -> None:
    for method, target in (
        ("GET", f"/storage/v1/b/{bucket}"),
        ("DELETE", f"/storage/v1/b/{bucket}"),
        ("GET", f"/storage/v1/b/{bucket}/o"),
        ("GET", f"/storage/v1/b/{bucket}/o/object?alt=media"),
        ("GET", f"/download/storage/v1/b/{bucket}/o/object?alt=media"),
        ("POST", f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name=object"),
        ("POST", f"/storage/v1/b/{BUCKET}/o/seed/rewriteTo/b/{bucket}/o/object"),
    ):
        assert is_refused(front.send(method, target, b"x" if method == "POST" else b"")), target


@pytest.mark.parametrize("body", [b"", b"{}", b'{"name": ""}', b'{"name": null}'])
@pytest.mark.parametrize("kind", ["media", "multipart", "resumable"])
def test_upload_without_a_name_is_refused(front: Front, kind: str, body: bytes) -> None:
    target = f"/upload/storage/v1/b/{BUCKET}/o?uploadType={kind}"
    if kind == "multipart":
        body = b"--b\r\n\r\n" + (body or b"{}") + b"\r\n--b\r\n\r\nx\r\n--b--\r\n"
    assert status(front.send("POST", target, body, Content_Type="multipart/related; boundary=b")) == 400


@attack("names-stay-in-their-bucket")
def test_part_of_an_upload_does_not_begin_another(front: Front) -> None:
    """fake-gcs-server reads a POST with a JSON body as a new upload, whatever its upload_id; here it is content."""
    target = f"/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable"
    answer = front.send("POST", f"{target}&name=good", b"{}", Content_Type=JSON)
    [location] = [line for line in answer.decode().split("\r\n") if line.lower().startswith("location:")]
    upload_id = location.rpartition("upload_id=")[2]
    body = json.dumps({"bucket": BUCKET, "name": "../../object"}).encode()
    assert status(front.send("PUT", f"{target}&name=../../object&upload_id={upload_id}", b"evil")) == 400
    assert status(front.send("POST", f"{target}&upload_id={upload_id}", body, Content_Type=JSON)) == 200
    assert (front.root / BUCKET / "good").read_bytes() == body


@attack("no-back-door")
@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("PUT", "/_internal/config"),
        ("POST", "/_internal/reseed"),
        ("POST", "/_internal/delete_all"),
        ("GET", "/_internal/healthcheck"),
        ("POST", "/batch/storage/v1"),
        ("POST", f"/{BUCKET}"),
        ("GET", f"/{BUCKET}/seed"),
        ("PUT", f"/{BUCKET}/seed"),
        ("GET", "/object"),
        ("POST", f"/storage/v1/b/{BUCKET}/notificationConfigs"),
        ("GET", "/storage/v1/b//o/object"),
        ("GET", f"//storage/v1/b/{BUCKET}/o"),
        ("GET", "/"),
    ],
)
def test_other_apis_of_the_server_are_closed(front: Front, method: str, target: str) -> None:
    answer = front.send(method, target, b"{}" if method != "GET" else b"", Content_Type=JSON)
    assert status(answer) in (400, 404)
    assert b"access-control" not in answer.lower()
    assert (front.root / BUCKET).is_dir()


def smuggled(front: Front, head: str, body: bytes) -> bytes:
    return exchange(front.port, f"{head}\r\nHost: 127.0.0.1:{front.port}\r\n".encode() + body)


@attack("one-request-is-one-request")
def test_second_request_in_a_body_of_ambiguous_length_is_not_served(front: Front) -> None:
    upload = f"POST /upload/storage/v1/b/{BUCKET}/o?uploadType=media&name=smuggler HTTP/1.1"
    hidden = (
        f"POST /_internal/delete_all HTTP/1.1\r\nHost: 127.0.0.1:{front.port}\r\nContent-Length: 0\r\n\r\n".encode()
    )
    length = b"Content-Length: %d\r\n" % (len(hidden) + 5)
    for framing in (
        length + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n" + length + b"\r\n0\r\n\r\n",
        b"Transfer-Encoding: xchunked\r\n" + length + b"\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"Content-Length: 5\r\n" + length + b"\r\n0\r\n\r\n",
        b"Content-Length: +5\r\n\r\n0\r\n\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    ):
        answer = smuggled(front, upload, framing + hidden)
        assert status(answer) == 400, framing
        assert (front.root / BUCKET).is_dir(), framing


def test_header_of_a_hop_is_not_passed_on(front: Front) -> None:
    answer = front.send(
        "GET", f"/storage/v1/b/{BUCKET}", X_Forwarded_Proto="https", X_Forwarded_Host="evil.example", Upgrade="h2c"
    )
    assert status(answer) == 200
    assert b"evil" not in answer
    assert b"https://" not in answer


def test_upload_that_is_cut_leaves_no_object(front: Front) -> None:
    for framing in (
        b"Content-Length: 1000000\r\n\r\n" + b"x" * 5000,
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ):
        with socket.create_connection(("127.0.0.1", front.port), timeout=60) as connection:
            own_port = connection.getsockname()[1]
            head = f"POST /upload/storage/v1/b/{BUCKET}/o?uploadType=media&name=cut HTTP/1.1"
            connection.sendall(f"{head}\r\nHost: 127.0.0.1:{front.port}\r\n".encode() + framing)
        _wait_for_close(front, own_port)
        assert status(front.send("GET", f"/storage/v1/b/{BUCKET}/o/cut")) == 404
    wait_until(lambda: list((front.root / BUCKET).glob(".cut*")) == [], "the temporary files are removed")


def _wait_for_close(front: Front, client_port: int) -> None:
    """Wait until the server has closed a connection that its client has closed."""
    server = psutil.Process(front.process.pid)
    wait_until(
        lambda: client_port not in {one.raddr.port for one in server.net_connections("tcp") if one.raddr},
        "the server closes the connection",
    )


def test_upload_of_unknown_length_is_whole(front: Front) -> None:
    head = f"POST /upload/storage/v1/b/{BUCKET}/o?uploadType=media&name=chunked HTTP/1.1"
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (b"a" * 300_000, b"b", b"c" * 70_000))
    body = b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunks + b"0\r\n\r\n"
    assert status(smuggled(front, head, body)) == 200
    assert (front.root / BUCKET / "chunked").read_bytes() == b"a" * 300_000 + b"b" + b"c" * 70_000


# --- The server behind it


@attack("no-back-door")
def test_nobody_but_the_front_can_connect_to_the_backend(front: Front) -> None:
    """The kernel answers no connection from any other port, also not while the front makes connections of its own."""
    if not _has_doors():
        pytest.skip("this kernel lets no process filter the connections of its child")
    listening = [one.laddr.ip for one in front.backend.net_connections("tcp") if one.status == "LISTEN"]
    assert listening == ["127.0.0.1"]
    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(front.send, "GET", "/storage/v1/b") for _ in range(100)]
        refused = [pool.submit(_cannot_connect, front.backend_port) for _ in range(20)]
        assert all(one.result() for one in refused)
        assert {status(one.result()) for one in answers} == {200}
    peers = {one.raddr.port for one in front.backend.net_connections("tcp") if one.raddr}
    own = {one.laddr.port for one in psutil.Process(front.process.pid).net_connections("tcp")}
    assert peers <= own


def _cannot_connect(port: int) -> bool:
    with pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", port), timeout=0.5)
    return True


def _has_doors() -> bool:
    """Whether this machine's kernel allows them, by a child that listens."""
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    door = Door.of(child.pid, int(child.stdout.readline()))
    child.communicate(b"\n", timeout=60)
    if door is not None:
        door.close()
    return door is not None


def test_a_closed_door_ends_who_came_before() -> None:
    if not _has_doors():
        pytest.skip("this kernel lets no process filter the connections of its child")
    code = (
        "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)\n"
        "early, own = s.accept()[0], s.accept()[0]; print(flush=True); input()"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    port = int(child.stdout.readline())
    with socket.create_connection(("127.0.0.1", port)) as early, socket.create_connection(("127.0.0.1", port)) as own:
        child.stdout.readline()
        door = Door.of(child.pid, port)
        assert door is not None
        door.end_others(own)
        door.close()
        assert early.recv(1) == b""
        own.setblocking(False)
        with pytest.raises(BlockingIOError):
            own.recv(1)
        child.communicate(b"\n", timeout=60)


@pytest.fixture(scope="module")
def open_front(tmp_path_factory: pytest.TempPathFactory, free_ports, cloud_python: Path) -> Iterator[Front]:
    """A front on a kernel that cannot close the server's port."""
    front = start(tmp_path_factory.mktemp("open"), free_ports(1)[0], cloud_python, door=False)
    yield front
    stop(front)


@attack("no-back-door")
def test_a_backend_whose_port_is_open_talks_to_no_browser(open_front: Front) -> None:
    port = open_front.backend_port
    answer = exchange(
        port, f"GET /storage/v1/b HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode()
    )
    assert answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400", b"\x15\x03"))
    assert b"storage#" not in answer
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(f"https://127.0.0.1:{port}/storage/v1/b", context=ssl.create_default_context())


@attack("no-back-door")
def test_who_does_not_verify_the_certificate_writes_and_reads_nothing_outside(
    open_front: Front, tmp_path: Path
) -> None:
    """A program of this machine can do so where the port is open. The kernel keeps the server in its root."""
    if confined(program=Path(sys.executable), writable=[], readable=[]) is None:
        pytest.skip("this kernel has no Landlock")
    (tmp_path / "secret").write_text("secret")
    careless = ssl.create_default_context()
    careless.check_hostname, careless.verify_mode = False, ssl.VerifyMode.CERT_NONE
    url = f"https://127.0.0.1:{open_front.backend_port}"
    up = "../" * 30 + str(tmp_path).lstrip("/")
    for name in (f"{up}/written", f"{up}/new/written", quote(f"{up}/written", safe="")):
        post = urllib.request.Request(
            f"{url}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={name}",
            data=b"x",
            headers={"Origin": "http://evil.example", "Content-Type": "text/plain"},
        )
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(post, context=careless)
        assert [path.name for path in tmp_path.iterdir()] == ["secret"]
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(
            f"{url}/download/storage/v1/b/{BUCKET}/o/{quote(f'{up}/secret', safe='')}", context=careless
        )


@attack("no-back-door")
def test_key_of_the_backend_is_not_left_on_disk(front: Front) -> None:
    words = front.backend.cmdline()
    key = Path(words[words.index("-private-key-location") + 1])
    assert not key.exists()
    assert not key.parent.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_backend_ends_with_the_front(tmp_path: Path, port: int, cloud_python: Path, number: int) -> None:
    own = start(tmp_path, port, cloud_python)
    backend = own.backend
    os.kill(own.process.pid, number)
    assert own.process.wait(60) == {signal.SIGKILL: -9}.get(signal.Signals(number), own.process.returncode)
    backend.wait(60)


def test_front_ends_with_the_backend(tmp_path: Path, port: int, cloud_python: Path) -> None:
    own = start(tmp_path, port, cloud_python)
    own.backend.kill()
    assert own.process.wait(60) == 1
    assert "fake-gcs-server has ended with code -9" in (tmp_path / "log.txt").read_text()
