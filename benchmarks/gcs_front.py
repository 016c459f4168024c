"""Measures what the front of the GCS emulator costs: ``python -m benchmarks.gcs_front [--rounds N] [--size BYTES]``.

Starts fake-gcs-server twice, once alone with plain HTTP and once behind the front as ``make up`` does, and uploads and
downloads one file in turns with the official client. Prints the median of each, and the processor time of the servers.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from benchmarks.unguarded import gcs_command
from local.cloud.settings import HOST, REPOSITORY

_PYTHON = REPOSITORY / "local/cloud/.venv/bin/python"
_BUCKET = "bench-bucket"


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="Measure the cost of the GCS emulator's front.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=20 * 2**20, help="bytes of the file")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "file").write_bytes(os.urandom(given.size))
        servers = {
            name: stack.enter_context(_server(name, folder / name, folder / "log")) for name in ("direct", "front")
        }
        buckets = {name: _client(port).create_bucket(_BUCKET) for name, (port, _) in servers.items()}
        times = _measure(buckets, folder, given.rounds)
        for action in ("upload", "download"):
            direct, front = (statistics.median(times[name, action]) for name in ("direct", "front"))
            print(f"{action:<9} direct {direct:.3f} s  front {front:.3f} s  {front / direct - 1:+.1%}")
        for name, (_, process) in servers.items():
            print(f"{name:<9} {_cpu_seconds(process) / given.rounds:.3f} s of processor time a round")


def _measure(buckets: dict[str, storage.Bucket], folder: Path, rounds: int) -> dict[tuple[str, str], list[float]]:
    times: dict[tuple[str, str], list[float]] = {}
    for number in range(rounds + 1):
        for name, bucket in buckets.items():
            for action in ("upload", "download"):
                blob = bucket.blob("file")
                begin = time.perf_counter()
                if action == "upload":
                    blob.upload_from_filename(folder / "file")
                else:
                    blob.download_to_filename(folder / "copy")
                if number:  # the first round warms up
                    times.setdefault((name, action), []).append(time.perf_counter() - begin)
            assert (folder / "copy").read_bytes() == (folder / "file").read_bytes()
    return times


@contextmanager
def _server(name: str, root: Path, log: Path) -> Iterator[tuple[int, psutil.Process]]:
    """Run one of the servers during the block; yields its port and process."""
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    if name == "front":
        command = [str(_PYTHON), "-m", "local.cloud.gcs", "--port", str(port), "--root", str(root)]
    else:
        code = "from local.cloud.gcs.backend import binary; print(binary())"
        binary = subprocess.check_output([str(_PYTHON), "-c", code], cwd=REPOSITORY, text=True).strip()
        command = gcs_command(binary, port=port, root=root)
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=output, stderr=output)
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://{HOST}:{port}/storage/v1/b", timeout=5).close()
                break
            except OSError:
                time.sleep(0.05)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def _client(port: int) -> storage.Client:
    return storage.Client(
        project="bench",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": f"http://{HOST}:{port}"},
    )


def _cpu_seconds(process: psutil.Process) -> float:
    family = [process, *process.children(recursive=True)]
    return sum(one.cpu_times().user + one.cpu_times().system for one in family)


if __name__ == "__main__":
    main()
