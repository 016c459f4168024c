"""The client of Airflow's REST API: what it repeats, and what it must not."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from local.airflow.api import TRIES, _messages, _RepeatedReads


class _CutShort(httpx.SyncByteStream):
    """The beginning of an answer, and then a reset."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"{"
        raise httpx.ReadError("[Errno 104] Connection reset by peer")


class _Resets:
    """Fails a number of requests as a server does that closes the connection, at once or within the answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, resets: int, *, within: bool = False) -> None:
        self.sent = 0
        self._within = within
        monkeypatch.setattr(httpx.HTTPTransport, "handle_request", lambda _, request: self._answer(resets))

    def _answer(self, resets: int) -> httpx.Response:
        self.sent += 1
        if self.sent <= resets and self._within:
            return httpx.Response(200, stream=_CutShort())
        if self.sent <= resets:
            raise httpx.ReadError("[Errno 104] Connection reset by peer")
        return httpx.Response(200)


def _send(method: str) -> int:
    with httpx.Client(transport=_RepeatedReads()) as client:
        return client.request(method, "http://127.0.0.1:9/").status_code


@pytest.mark.parametrize("within", [False, True])
def test_a_read_whose_connection_is_reset_is_sent_again(monkeypatch: pytest.MonkeyPatch, within: bool) -> None:
    resets = _Resets(monkeypatch, TRIES - 1, within=within)
    assert _send("GET") == 200
    assert resets.sent == TRIES


@pytest.mark.parametrize(("method", "sent"), [("GET", TRIES), ("POST", 1), ("PATCH", 1)])
def test_what_goes_on_and_what_changes_something_is_an_error(
    monkeypatch: pytest.MonkeyPatch, method: str, sent: int
) -> None:
    resets = _Resets(monkeypatch, TRIES)
    with pytest.raises(httpx.ReadError):
        _send(method)
    assert resets.sent == sent


def test_what_a_log_quotes_does_not_write_to_the_terminal() -> None:
    error = {"exc_type": "ProviderError", "exc_value": "refused \x1b]0;title\x07"}
    record = {"timestamp": "x", "event": "a\x1b[2Jb\nc\u202ed", "reason": "\x1b[1A", "error_detail": [error]}
    assert _messages(record) == [
        r"a\x1b[2Jb",
        r"c\u202ed",
        r"reason: \x1b[1A",
        r"ProviderError: refused \x1b]0;title\x07",
    ]
