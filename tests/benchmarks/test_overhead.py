"""The processor time of a stack."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.rows.overhead import cpu_by_component, cpu_seconds, leaders

# Burns a quarter of a second in a child that ends, and as much in one that lives on in a session of its own.
_STACK = """
import subprocess, sys, time
burn = "import time\\nwhile time.process_time() < 0.25: pass\\n"
subprocess.run([sys.executable, "-c", burn])
living = subprocess.Popen(
    [sys.executable, "-c", burn + "print(flush=True); input()"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
)
living.stdout.readline()
print("ready", flush=True)
sys.stdin.read()
living.communicate(b"\\n")
"""


def test_children_count_whether_they_have_ended_or_not(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _STACK], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        (tmp_path / "component.json").write_text(json.dumps({"pid": process.pid}))
        seconds = cpu_seconds([tmp_path])
        assert leaders([tmp_path]) == {"component": process.pid}
        assert cpu_by_component([tmp_path])["component"] >= seconds
    assert 0.45 <= seconds < 10  # the system counts each one's in ticks; starting Python takes time, too
    assert process.returncode == 0


def test_a_folder_without_records_is_no_stack(tmp_path: Path) -> None:
    assert cpu_seconds([tmp_path]) == 0
