"""What the commands of the local stack take from the shell that they are started in.

A shell can hold settings of other systems: another Airflow, another Postgres, a Google Cloud project, a proxy. None may
reach the processes of the local stack. So each command first replaces its own environment by :func:`adopt`:

- From the shell come the variables that describe this machine and its user (``PATH``, ``HOME``, proxies, certificates),
  and those of the local stack itself, which ``.env.example`` lists. Nothing else, and no connection.
- From the project's own ``.env`` comes everything but what would lead elsewhere: to another database, server or code.
- Only ``.env`` leads to Google Cloud: with its connection, project, bucket and location come from that file, too.
- Requests to this machine never go through a proxy. A SOCKS proxy is not used: httpx, by which Airflow's tasks reach
  their server, fails to start with one, and so it does with entries of ``NO_PROXY`` that it cannot read.

Both environments import this module, so it uses only the standard library.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

from local.cloud.settings import HOST, env_file, load_env_file, read_env_file

GOOGLE_CONNECTION = "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT"
"""The user's own connection to Google Cloud, which replaces the emulators; only ``.env`` may set it."""

OWN = frozenset(
    {
        *("LOCAL_DIR", "LOCAL_ENV_FILE", "START_TIMEOUT", "EXECUTOR", "WORKERS"),
        *("AIRFLOW_PORT", "GCS_PORT", "BIGQUERY_PORT", "POSTGRES_PORT", "SOURCE_PORT", "REDIS_PORT", "PREFECT_PORT"),
        *("GCP_PROJECT", "BIGQUERY_LOCATION", "LAKE_BUCKET"),
        *("SOURCE", "SOURCE_LAYOUT", "SOURCE_LAST_MONTH", "SYNTHETIC_ROWS"),
    }
)
"""The variables of the local stack that the shell may set."""

_PLACES = ("GCP_PROJECT", "BIGQUERY_LOCATION", "LAKE_BUCKET")
"""Names within the emulators; on Google Cloud, a name of another system would be a real project or bucket."""

_MACHINE = re.compile(
    r"HOME|USER|LOGNAME|SHELL|PATH|PWD|TERM|COLORTERM|COLUMNS|LINES|NO_COLOR|TZ|TMPDIR|LANG|LANGUAGE|LC_\w+"
    r"|XDG_\w+|LD_LIBRARY_PATH|LD_PRELOAD|DYLD_\w+|OBJC_DISABLE_INITIALIZE_FORK_SAFETY"
    # Certificates: a company's proxy signs with its own.
    r"|(\w+_)?(SSL_CERT_(FILE|DIR)|CA_BUNDLE|CA_CERTS)|GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"
    r"|(?i:(http|https|all|no)_proxy)"
)
_GOOGLE = re.compile(r"GOOGLE_\w+|CLOUDSDK_\w+|GCLOUD_PROJECT|GCE_METADATA_\w+")
# Worth a note when they are not used: the user may have meant them for the local stack.
_OF_OTHER_SYSTEMS = re.compile(r"AIRFLOW_\w+|PG[A-Z]\w*|GOOGLE_\w+|(STORAGE|BIGQUERY)_EMULATOR_HOST")
_SOCKS = re.compile(r"socks\w*://.*", re.IGNORECASE)
_PROXY = re.compile(r"(http|https|all)_proxy", re.IGNORECASE)
# A host, also with a port or a wildcard; a network of IPv4; an address of IPv6.
_NO_PROXY_ENTRY = re.compile(r"[\w.*-]+(:\d+)?|[\d.]+/\d+|[0-9a-fA-F:]+")
_LOCAL_HOSTS = (HOST, "localhost", "::1")


def adopt() -> str:
    """Replace this process's environment by what its command may use, and add ``.env``.

    Returns:
        A note for the user that names the variables of other systems that are not used; empty if there are none.

    Raises:
        ValueError: see :func:`local.cloud.settings.load_env_file`.
    """
    shell = dict(os.environ)
    taken = from_shell(shell)
    if read_env_file(env_file(taken)).get(GOOGLE_CONNECTION):
        # Application-default credentials: the connection need not hold a key.
        taken |= {name: value for name, value in shell.items() if _GOOGLE.fullmatch(name)}
        taken = {name: value for name, value in taken.items() if name not in _PLACES}
    left_out = load_env_file(env=taken)
    socks = _socks_proxies(taken)
    taken = {name: value for name, value in taken.items() if name not in socks}
    taken |= _without_proxy_for_this_machine(taken)
    # Text files are UTF-8, whatever the locale says.
    taken["PYTHONUTF8"] = "1"
    os.environ.clear()
    os.environ.update(taken)
    tempfile.tempdir = None
    # Nobody else may write what the stack runs: its settings, its scripts.
    os.umask(os.umask(0o022) | 0o022)
    unused = [name for name in shell if shell[name] and not taken.get(name) and _OF_OTHER_SYSTEMS.fullmatch(name)]
    unused += [name for name in _PLACES if shell.get(name) and taken.get(name) != shell[name]]
    notes = [
        _note(socks, "this shell or .env, because a proxy must speak HTTP here, and not SOCKS"),
        _note(unused, "this shell; what it should use belongs in .env"),
        # PYTHON*: an editor reads it from the same file.
        _note([name for name in left_out if name[:6] != "PYTHON"], f"{env_file(taken)}, because it has its own"),
    ]
    return "\n".join(note for note in notes if note)


def adopt_for_servers() -> None:
    """As :func:`adopt`, but keep nothing that ``.env`` has for others: Airflow's connections and keys, credentials."""
    adopt()
    kept = {**from_shell(os.environ), "PYTHONUTF8": os.environ["PYTHONUTF8"]}
    os.environ.clear()
    os.environ.update(kept)


def from_shell(shell: Mapping[str, str]) -> dict[str, str]:
    """Return those variables of ``shell`` that a local command takes over."""
    taken = {name: value for name, value in shell.items() if name in OWN or _MACHINE.fullmatch(name)}
    if "TMPDIR" in taken and not _is_usable_folder(taken["TMPDIR"]):
        del taken["TMPDIR"]
    if taken.get("LOCAL_ENV_FILE"):
        taken["LOCAL_ENV_FILE"] = os.path.abspath(taken["LOCAL_ENV_FILE"])  # child processes have other folders
    return taken


def without_other_systems(env: Mapping[str, str]) -> dict[str, str]:
    """Return ``env`` without settings of the local stack and of other systems, for a stack of a program's own."""
    left_out = {*OWN, *_socks_proxies(env)}
    kept = {
        name: value for name, value in env.items() if name not in left_out and not _OF_OTHER_SYSTEMS.fullmatch(name)
    }
    return kept | _without_proxy_for_this_machine(kept)


def _note(names: Collection[str], place: str) -> str:
    return f"note: the local stack does not use {', '.join(sorted(names))} of {place}" if names else ""


def _without_proxy_for_this_machine(env: Mapping[str, str]) -> dict[str, str]:
    """Return ``NO_PROXY`` in both spellings, with this machine's names added, and what cannot be read left out."""
    given = [host.strip().strip("[]") for name in ("no_proxy", "NO_PROXY") for host in env.get(name, "").split(",")]
    hosts = list(dict.fromkeys(host for host in (*given, *_LOCAL_HOSTS) if _NO_PROXY_ENTRY.fullmatch(host)))
    value = "*" if "*" in hosts else ",".join(hosts)
    return {"NO_PROXY": value, "no_proxy": value}


def _socks_proxies(env: Mapping[str, str]) -> list[str]:
    return [name for name, value in env.items() if _PROXY.fullmatch(name) and _SOCKS.fullmatch(value.strip())]


def _is_usable_folder(path: str) -> bool:
    return Path(path).is_absolute() and os.path.isdir(path) and os.access(path, os.W_OK | os.X_OK)
