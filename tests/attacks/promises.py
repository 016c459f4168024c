"""What the attack tests try to break: one promise a line, by threat; ``docs/security.md`` lists them with their tests.

A test that attacks a promise says so, wherever it lies::

    @attack("names-stay-in-their-bucket")
    def test_...

``python -m tests.attacks.page`` then writes the tables of the page anew.
"""

from __future__ import annotations

import pytest

PROMISES: dict[str, dict[str, str]] = {
    "web-page": {
        "foreign-requests-are-refused": "Requests with a foreign, doubled, missing or malformed `Host`, `Origin` or "
        "`Sec-Fetch-Site` are refused by every server, whatever the method, path and version.",
        "a-page-reads-and-changes-nothing": "In Chromium, a page of another address reads nothing and changes nothing, "
        "and neither does a rebound host name.",
        "one-request-is-one-request": "No request hides a second one from the checks: in a body of ambiguous length, "
        "after another in one connection, or by an absolute address.",
        "no-back-door": "The stack listens on no other port than fake-gcs-server's. On Linux, the kernel lets nobody "
        "but the front connect to it. Elsewhere it serves no web page; where the kernel has Landlock, it writes "
        "nowhere but in its folder.",
        "names-stay-in-their-bucket": "No name of a bucket or an object leads out of its folder: in a path, a "
        "parameter, metadata, a copy or an upload session; plain, encoded, or through a link.",
    },
    "another-user": {
        "sql-reads-no-files": "SQL sent to the embedded BigQuery reads and writes no file outside of the lake and its "
        "own data.",
        "this-machine-only": "Every server listens on 127.0.0.1 only, in the local stack and in containers.",
        "state-is-private": "Secrets, logs, work files and data are readable by the user alone.",
        "secrets-are-asked-for": "Postgres and Airflow ask for generated secrets; no default password exists.",
    },
    "airflow-user": {
        "tokens-are-verified": "Airflow's APIs refuse requests without a token, and with a forged, expired, unsigned "
        "or foreign one.",
        "pages-ask-for-a-login": "The pages that this repository adds to Airflow's UI answer no request without a "
        "login, and show a user only what Airflow shows them.",
        "roles-are-kept": "A user without the right to change something cannot change it.",
        "settings-are-not-shown": "Airflow's configuration and connections show no secret.",
    },
    "run-input": {
        "a-month-is-a-month": "A parameter, partition key or configuration that is not exactly a month, a year or a "
        "flag ends the run, with a sentence that names it.",
        "run-ids-are-harmless": "A run id becomes neither a path, nor SQL, nor a template.",
        "arguments-are-words": "No argument of a command reaches a shell, and none writes control characters to the "
        "terminal.",
    },
    "source": {
        "files-are-data": "Column names, values and file names of a source become neither SQL, nor templates, nor "
        "paths, nor control characters in a message.",
        "a-source-leads-nowhere-else": "A public source leads to no private address, by a redirect, by its DNS or when "
        "a download is resumed, whatever its name has led to before; and no redirect leaves https or takes the login "
        "along.",
        "transfers-are-bounded": "A source that drips, stalls or cuts a body is given up, and half a file is not "
        "taken for a whole one.",
        "headers-are-data": "Header values of a source become neither SQL nor templates nor control characters.",
        "files-are-bounded": "No file of a source takes more than a gigabyte of memory, whatever it unpacks to or "
        "states of itself; it is converted, or refused with a reason.",
    },
    "secrets": {
        "secrets-stay-out-of-records": "No password, key or webhook token appears in logs, rendered templates, XComs, "
        "the audit log or any other table of Airflow's database.",
        "secrets-stay-out-of-processes": "None appears in a command line, and each server gets only those that it "
        "needs.",
        "the-repository-has-none": "The repository contains no secret.",
    },
    "containers": {
        "images-contain-only-code": "An image contains no secret, no repository, no state, and no tool that the "
        "pipeline does not need.",
        "containers-have-few-rights": "Containers run as a user without rights: no capability, no new privilege, no "
        "access to the host, no write access to the code.",
        "compose-is-guarded": "The servers of `docker-compose.yaml` are published on 127.0.0.1 only, Airflow's and the "
        "emulators' behind the guard, and do not start without secrets of your own.",
        "roles-are-apart": "A container has the secrets that it needs and no other: tasks have no way to Airflow's "
        "metadata, its keys or its tokens, and each role of Postgres can connect to its own database alone.",
    },
}
_KNOWN = {name for promises in PROMISES.values() for name in promises}


def attack(promise: str) -> pytest.MarkDecorator:
    """Mark a test as an attack on a promise.

    Raises:
        KeyError: there is no such promise.
    """
    if promise not in _KNOWN:
        raise KeyError(promise)
    return pytest.mark.attack(promise)
