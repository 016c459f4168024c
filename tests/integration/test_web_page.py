"""A web page that the user opens while the stack runs: it can read nothing and change nothing, seen in Chromium.

The page is served from other addresses of this machine, 127.0.0.1 and localhost with a port of its own. That gives it
more than a page of the internet has, which browsers keep from this machine more and more. It sends the same requests to
a control server that guards nothing, so that a request that the browser would not send cannot pass for a refused one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage

from local.airflow.environment import AirflowSettings
from local.cloud.settings import REPOSITORY
from tests.attacks.promises import attack
from tests.browser import chromium
from tests.local.forgeries import ask, forged, status, statuses, welcome

BROWSER_SECONDS = 120

PAGE = """<!doctype html><title>page</title><body><script>
const plan = PLAN;
const outcomes = [];
const within = (promise, ms) => Promise.race([promise, new Promise(done => setTimeout(done, ms, "no answer"))]);
const note = (target, kind, outcome) => outcomes.push({target, kind, outcome});
async function tried(target, kind, attempt) {
  try { note(target, kind, await within(attempt(), 20000)); } catch (error) { note(target, kind, "refused"); }
}
const read = async answer => answer.type === "opaque" ? "opaque" : "read: " + (await answer.text()).slice(0, 200);
function element(target, tag, attribute) {
  return new Promise(done => {
    const one = document.createElement(tag);
    one.onload = () => { let seen = "loaded";
      try { if (one.contentDocument && one.contentDocument.body && one.contentDocument.URL !== "about:blank")
        seen = "read: " + one.contentDocument.body.innerText.slice(0, 200); } catch (error) {}
      done(seen); };
    one.onerror = () => done("refused");
    one[attribute] = target;
    document.body.append(one);
  });
}
function form(target, text) {
  return new Promise(done => {
    const frame = document.createElement("iframe");
    frame.name = "frame" + Math.random();
    document.body.append(frame);
    const one = document.createElement("form");
    Object.assign(one, {method: "post", action: target, enctype: "text/plain", target: frame.name});
    const input = document.createElement("input");
    input.name = text.split("=")[0]; input.value = text.split("=").slice(1).join("=");
    one.append(input); document.body.append(one);
    frame.onload = () => done("loaded");
    one.submit();
  });
}
function socket(target) {
  return new Promise(done => {
    const one = new WebSocket(target.replace("http", "ws"));
    one.onopen = () => done("read: open"); one.onerror = () => done("refused");
  });
}
async function attack({target, body}) {
  const post = {method: "POST", body, headers: {"Content-Type": "text/plain"}};
  await Promise.all([
    tried(target, "get", async () => read(await fetch(target))),
    tried(target, "get with cookies", async () => read(await fetch(target, {credentials: "include"}))),
    tried(target, "get no-cors", async () => read(await fetch(target, {mode: "no-cors"}))),
    tried(target, "post", async () => read(await fetch(target, post))),
    tried(target, "post no-cors", async () => read(await fetch(target, {...post, mode: "no-cors"}))),
    tried(target, "post json", async () => read(await fetch(target,
      {...post, headers: {"Content-Type": "application/json"}}))),
    tried(target, "put", async () => read(await fetch(target, {...post, method: "PUT"}))),
    tried(target, "delete", async () => read(await fetch(target, {method: "DELETE"}))),
    tried(target, "beacon", async () => String(navigator.sendBeacon(target, body))),
    tried(target, "form", () => form(target, body)),
    tried(target, "img", () => element(target, "img", "src")),
    tried(target, "script", () => element(target, "script", "src")),
    tried(target, "iframe", () => element(target, "iframe", "src")),
    tried(target, "websocket", () => socket(target)),
  ]);
}
(async () => {
  // All at once: an attempt that is never answered takes its whole time.
  await Promise.all(plan.map(attack));
  await fetch("/report", {method: "POST", body: JSON.stringify(outcomes)});
})();
</script>"""


@dataclass
class Attacker:
    """Serves the page and takes its report; as the control, answers anybody anything and counts the requests."""

    plan: list[dict[str, str]] = field(default_factory=list)
    report: list[dict[str, str]] | None = None
    seen: list[tuple[str, str]] = field(default_factory=list)
    reported: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def serving(self) -> Iterator[int]:
        """Serve on a free port of 127.0.0.1 during the block; yields the port."""
        attacker = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(errors="replace")
                if self.path == "/report":
                    attacker.report = json.loads(body)
                    attacker.reported.set()
                    self.reply(b"")
                elif self.path == "/page":
                    self.reply(PAGE.replace("PLAN", json.dumps(attacker.plan)).encode())
                else:
                    attacker.seen.append((self.command, body))
                    self.reply(b"control")

            do_GET = do_POST = do_PUT = do_DELETE = do_OPTIONS = handle_any

            def reply(self, body: bytes) -> None:
                self.send_response(200)
                for name in ("Origin", "Methods", "Headers"):
                    self.send_header(f"Access-Control-Allow-{name}", "*")
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield server.server_port
            finally:
                server.shutdown()
                thread.join()


@contextmanager
def browser(url: str, profile: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Have Chromium open ``url`` during the block."""
    program = chromium()
    words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    words += ["--disable-background-networking", "--no-proxy-server", f"--user-data-dir={profile}", *options, url]
    process = subprocess.Popen(
        [program, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield process
    finally:
        for child in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []:
            child.terminate()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=120)


@pytest.fixture(scope="module")
def servers(stack: AirflowSettings) -> dict[str, int]:
    """The ports of all HTTP servers of the stack, by name, among them that of the GCS emulator itself."""
    cloud = stack.cloud
    named = {
        "airflow": stack.port,
        "gcs": cloud.gcs_port,
        "bigquery": cloud.bigquery_port,
        "source": cloud.source_port,
    }
    return {name: port for name, port in named.items() if name != "source" or cloud.source not in ("dtc", "tlc")}


@pytest.fixture(scope="module")
def backend_port(stack: AirflowSettings) -> int:
    """The port of fake-gcs-server behind its front."""
    [port] = {port for port, command in listening(stack).items() if "fake-gcs-server" in command}
    return port


def listening(stack: AirflowSettings) -> dict[int, str]:
    """The command lines of all processes of the stack that listen, by port; two have the socket of fake-gcs-server."""
    found: dict[int, str] = defaultdict(str)
    for process in psutil.process_iter():
        try:
            if process.environ().get("LOCAL_DIR") != str(stack.cloud.state_dir):
                continue
            for one in process.net_connections("tcp"):
                if one.status == psutil.CONN_LISTEN:
                    assert one.laddr.ip == "127.0.0.1", process.cmdline()
                    found[one.laddr.port] += " ".join(process.cmdline())
        except psutil.Error:
            continue
    return found


@attack("no-back-door")
@attack("this-machine-only")
def test_stack_has_no_other_ports(stack: AirflowSettings, servers: dict[str, int], backend_port: int) -> None:
    assert set(listening(stack)) == {*servers.values(), stack.cloud.postgres_port, backend_port}


def paths(stack: AirflowSettings) -> dict[str, str]:
    project = stack.cloud.project
    return {
        "airflow": "/api/v2/monitor/health",
        "gcs": "/storage/v1/b",
        "bigquery": f"/bigquery/v2/projects/{project}/datasets",
        "source": "/misc/taxi_zone_lookup.csv",
    }


@attack("foreign-requests-are-refused")
@pytest.mark.parametrize("name", ["airflow", "gcs", "bigquery", "source"])
def test_forged_headers_are_refused_by_every_server(stack: AirflowSettings, servers: dict[str, int], name: str) -> None:
    port, path = servers[name], paths(stack)[name]
    assert {case: code for case, code in statuses(port, path, forged).items() if code not in (400, 403)} == {}
    assert statuses(port, path, welcome) == dict.fromkeys(welcome(port), 200)


@attack("foreign-requests-are-refused")
@pytest.mark.parametrize(
    "path", ["/", "/execution/health", "/auth/token/login", "/auth/login", "/api/v2/version", "/static/x"]
)
def test_no_part_of_airflow_is_left_out(servers: dict[str, int], path: str) -> None:
    port = servers["airflow"]
    assert status(ask(port, path, [("Host", "evil.example")])) == 403
    assert status(ask(port, path, [("Host", f"localhost:{port}"), ("Sec-Fetch-Site", "same-site")])) == 403


@pytest.fixture
def planted(tmp_path: Path) -> Iterator[list[Path]]:
    """Files outside of the lake that a page would write; one is a DAG of this repository, and may not stay there."""
    paths = [tmp_path / "planted.py", REPOSITORY / "dags" / "planted_by_a_page.py"]
    yield paths
    for path in paths:
        path.unlink(missing_ok=True)


def attacks(
    stack: AirflowSettings, servers: dict[str, int], backend_port: int, planted: list[Path]
) -> list[dict[str, str]]:
    """What the page sends: to each server a request that it would answer, and to some what would do harm.

    Among that are requests to write the files ``planted``, outside of the lake.
    """
    cloud = stack.cloud
    bucket = cloud.gcs_root / cloud.lake_bucket
    upload = f"/upload/storage/v1/b/{cloud.lake_bucket}/o?uploadType=media&name="
    outside = [f"{upload}{quote(os.path.relpath(path, bucket), safe='')}" for path in planted]
    harmful = {
        "gcs": [
            *outside,
            f"{upload}page",
            "/_internal/delete_all",
        ],
        "bigquery": [f"/bigquery/v2/projects/{cloud.project}/queries"],
    }
    drop = json.dumps({"query": "DROP TABLE page.kept", "useLegacySql": False, "x": "="})
    bodies = {"bigquery": drop}
    plan = [
        {"target": f"http://{host}:{port}{path}", "body": bodies.get(name, "import os  # = code")}
        for name, port in servers.items()
        for host in ("127.0.0.1", "localhost")
        for path in (paths(stack)[name], *harmful.get(name, []))
    ]
    plan += [
        {"target": f"{scheme}://{host}:{backend_port}{path}", "body": "code"}
        for scheme in ("http", "https")
        for host in ("127.0.0.1", "localhost")
        for path in ("/storage/v1/b", outside[-1])
    ]
    return plan


@attack("a-page-reads-and-changes-nothing")
@pytest.mark.full
@pytest.mark.timeout(280)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_page_reads_and_changes_nothing(
    host: str,
    stack: AirflowSettings,
    servers: dict[str, int],
    backend_port: int,
    planted: list[Path],
    tmp_path: Path,
) -> None:
    lake, warehouse = clients(stack)
    warehouse.create_dataset("page", exists_ok=True)
    warehouse.query_and_wait("CREATE OR REPLACE TABLE page.kept AS SELECT 1 AS one")
    lake.blob("page-kept").upload_from_string(b"kept")
    before = contents(stack, lake, warehouse)
    control, attacker = Attacker(), Attacker()
    with control.serving() as control_port, attacker.serving() as port:
        attacker.plan = attacks(stack, servers, backend_port, planted)
        attacker.plan.append({"target": f"http://127.0.0.1:{control_port}/x", "body": "a=b"})
        with browser(f"http://{host}:{port}/page", tmp_path / "profile"):
            assert attacker.reported.wait(BROWSER_SECONDS), "the page did not report"
    assert attacker.report is not None
    controlled = [one for one in attacker.report if f":{control_port}/" in one["target"]]
    others = [one for one in attacker.report if f":{control_port}/" not in one["target"]]
    check_control(control, controlled)
    assert len(others) == 14 * (len(attacker.plan) - 1)
    assert [one for one in others if one["outcome"].startswith("read")] == []
    assert [path for path in planted if path.exists()] == []
    assert contents(stack, lake, warehouse) == before


def check_control(control: Attacker, outcomes: list[dict[str, str]]) -> None:
    """Check that the same page reads and writes at a server that guards nothing."""
    assert {one["kind"] for one in outcomes if one["outcome"] == "read: control"} >= {"get", "post", "put", "delete"}
    assert {method for method, _ in control.seen} >= {"GET", "POST", "PUT", "DELETE"}
    assert len([body for method, body in control.seen if method == "POST" and body.startswith("a=b")]) >= 5


@attack("a-page-reads-and-changes-nothing")
@pytest.mark.full
@pytest.mark.timeout(280)
@pytest.mark.parametrize("name", ["airflow", "gcs", "bigquery", "source"])
def test_rebound_host_name_reads_nothing(
    name: str, stack: AirflowSettings, servers: dict[str, int], tmp_path: Path
) -> None:
    """After DNS rebinding, a page's own host name leads here, and the browser takes the server for the page's own."""
    # A browser would save a CSV file instead of showing it.
    port, path = servers[name], "/healthz" if name == "source" else paths(stack)[name]
    shown = {}
    for host in ("evil.example", "localhost"):
        options = ("--dump-dom", "--host-resolver-rules=MAP evil.example 127.0.0.1")
        with browser(f"http://{host}:{port}{path}", tmp_path / host, *options) as process:
            shown[host] = process.communicate(timeout=BROWSER_SECONDS)[0].decode()
    assert f"the Host header 'evil.example:{port}' is not this server" in shown["evil.example"]
    assert "the Host header" not in shown["localhost"], "typed by the user, it is served"


def clients(stack: AirflowSettings) -> tuple[storage.Bucket, bigquery.Client]:
    options: dict[str, Any] = {"project": stack.cloud.project, "credentials": AnonymousCredentials()}
    lake = storage.Client(**options, client_options={"api_endpoint": stack.cloud.gcs_url})
    warehouse = bigquery.Client(**options, client_options={"api_endpoint": stack.cloud.bigquery_url})
    return lake.bucket(stack.cloud.lake_bucket), warehouse


def contents(stack: AirflowSettings, lake: storage.Bucket, warehouse: bigquery.Client) -> dict[str, Any]:
    """What the stores hold."""
    return {
        "objects": {(blob.name, blob.generation) for blob in lake.list_blobs()},
        "files": {str(path) for path in stack.cloud.gcs_root.rglob("*")},
        "tables": {str(table.reference) for table in warehouse.list_tables("page")},
        "rows": [tuple(row.values()) for row in warehouse.query_and_wait("SELECT one FROM page.kept")],
        "datasets": {dataset.dataset_id for dataset in warehouse.list_datasets()},
    }
