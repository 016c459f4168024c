"""Sends a request to a source, follows its redirects within limits, and turns a refusal into an error that says why."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from nyc_taxi.common.text import printable
from nyc_taxi.source.addresses import PrivateAddressError
from nyc_taxi.source.connections import Pace, SourceAdapter
from nyc_taxi.source.errors import NotPublishedError, PermanentSourceError, RefusedError, SourceError
from nyc_taxi.source.retry_after import retry_after

_PERMANENT = {
    401: "it asks for a login; set login and password of the connection, or correct them",
    407: "the proxy asks for a login; set it in the proxy's address",
    451: "it may not deliver the file for legal reasons; use another source",
}
# What another try may change: a timeout, a conflict, another server behind the name, a lock, a request too early or one
# too many. Any other 4xx says that the request itself is wrong.
_TRANSIENT_4XX = (408, 409, 421, 423, 425, 429)
_PERMANENT_5XX = (501, 505)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long and how often a request may try; docs/sources.md states the values.

    Attributes:
        connect_seconds: until a connection is open.
        silence_seconds: between two bytes of an answer.
        answer_seconds: until the headers of an answer are complete.
        window_seconds: length of the window in which ``window_bytes`` of a body must arrive.
        window_bytes: the minimum number of bytes in each window.
        redirects: how many redirects are followed.
        resumptions: how often a transfer that broke off is resumed.
        pause_seconds: the wait before the first resumption; it doubles with each.
        longest_pause: the longest wait in seconds that a running task sits out; the retry of the task waits longer.
    """

    connect_seconds: float = 10.0
    silence_seconds: float = 60.0
    answer_seconds: float = 120.0
    window_seconds: float = 60.0
    window_bytes: int = 512 * 1024
    redirects: int = 5
    resumptions: int = 5
    pause_seconds: float = 1.0
    longest_pause: float = 60.0


LIMITS = Limits()


@contextmanager
def answer(
    session: requests.Session,
    url: str,
    *,
    limits: Limits,
    headers: Mapping[str, str] | None = None,
    accepted: Collection[int] = (200,),
) -> Iterator[requests.Response]:
    """Request ``url`` and yield the answer; a network error until the end of the block becomes a SourceError.

    Args:
        session: an HTTP session with the authentication that the source needs.
        url: the file's URL.
        limits: the limits of the request.
        headers: headers of the request in addition to the session's.
        accepted: the status codes that are no error.

    Raises:
        NotPublishedError: the source answers 404 or 410.
        PermanentSourceError: it answers with an error that stays, such as 401 or 451, or redirects too often or to
            where it must not.
        SourceError: it is down, too slow, or answers with any other error.
    """
    # "identity" requests the file uncompressed. A response with another encoding is refused, unless the file's name
    # ends in .gz: then the server only describes the file itself as gzip.
    headers = {"Accept-Encoding": "identity", **(headers or {})}
    try:
        with _follow(session, url, headers, limits) as response:
            _check_status(response, url, accepted)
            yield response
    except PrivateAddressError as error:
        own = error.host == urlsplit(url).hostname
        setting = "private in the connection's extra to true" if own else "the connection's host to that address"
        raise PermanentSourceError(
            f"the source leads from {printable(url)} into a private network: {printable(error)}. If that is meant, set "
            f"{setting}"
        ) from None
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        # Without the original error, whose text may carry escape sequences and signed addresses to the log.
        raise SourceError(
            f"cannot download {printable(url)}: {printable(_reason(error), longest=300)}; check that the source is up"
        ) from None


def _follow(session: requests.Session, url: str, headers: dict[str, str], limits: Limits) -> requests.Response:
    """Return the answer at the end of the redirects.

    requests would follow them, too. But it reads the body of each redirect, however long, and does not limit where a
    redirect leads.
    """
    SourceAdapter.of(session).guard.begin(urlsplit(url).hostname or "")
    here, trusted = url, True
    for _ in range(limits.redirects + 1):
        response = _send(session, here, headers, limits, trusted=trusted)
        try:
            target = session.get_redirect_target(response)
        except ValueError:  # not UTF-8
            target = response.headers["Location"]
        if target is None:
            return response
        response.close()
        there = _redirected(here, target, url)
        trusted = trusted and not session.should_strip_auth(url, there)
        here = there
    raise PermanentSourceError(
        f"the source redirects {printable(url)} more than {limits.redirects} times, perhaps in a circle; open the "
        "address in a browser and set the connection's host to where the files are"
    )


def _send(
    session: requests.Session, url: str, headers: dict[str, str], limits: Limits, *, trusted: bool
) -> requests.Response:
    """Send one request; login, headers and certificate of the connection go only to the source that they are for."""
    adapter = SourceAdapter.of(session)
    if trusted:
        request = session.prepare_request(requests.Request("GET", url, headers=headers))
    else:
        agent = {"User-Agent": str(session.headers.get("User-Agent", ""))}
        request = requests.Request("GET", url, headers={**agent, **headers}).prepare()
    settings = session.merge_environment_settings(request.url or url, {}, True, None, None)
    if not trusted:
        settings["cert"] = None
    with Pace(
        adapter,
        seconds=limits.answer_seconds,
        minimum=1,
        message=f"the source did not answer within {limits.answer_seconds:g} s: {printable(url.partition('?')[0])}",
    ):
        return adapter.send(request, timeout=(limits.connect_seconds, limits.silence_seconds), **settings)


def _redirected(here: str, target: str, url: str) -> str:
    """Return the absolute address that a redirect leads to, if it may lead there."""
    shown = f"the source redirects {printable(url)} to {printable(target.partition('?')[0], longest=200)}"
    try:
        there = urljoin(here, target)
        before, after = urlsplit(here), urlsplit(there)
        valid = after.scheme in ("http", "https") and after.hostname and after.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise PermanentSourceError(f"{shown}, which is no address of the web; tell the source's operator")
    if before.scheme == "https" and after.scheme == "http":
        raise PermanentSourceError(
            f"{shown}, from https to http, where anybody on the way could change the file; tell the source's operator"
        )
    return there


def _check_status(response: requests.Response, url: str, accepted: Collection[int]) -> None:
    status, shown = response.status_code, printable(url)
    if status in (404, 410):
        raise NotPublishedError(f"the source has no {shown} (HTTP {status}): not published, or misspelt")
    if status == 403:
        raise RefusedError(
            f"the source refuses {shown} (HTTP 403): not published, or too many requests",
            retry_after=retry_after(response.headers),
        )
    if status in _PERMANENT:
        raise PermanentSourceError(f"the source refuses {shown} (HTTP {status}): {_PERMANENT[status]}")
    if status not in accepted:
        answered = f"the source answers HTTP {status} {printable(response.reason, longest=100)} for {shown}"
        if _stays(status):
            raise PermanentSourceError(f"{answered}; open the address in a browser and correct the connection's host")
        raise SourceError(answered, retry_after=retry_after(response.headers))
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity" and not url.endswith(".gz"):
        raise SourceError(
            f"the source sends {shown} with Content-Encoding {printable(encoding, longest=100)}, "
            "which was not requested"
        )


def _stays(status: int) -> bool:
    """Whether another try would get the same answer; a redirect is here only if it leads nowhere."""
    if 300 <= status < 500:
        return status not in _TRANSIENT_4XX
    return status in _PERMANENT_5XX


def _reason(error: Exception) -> object:
    """Return the cause of a network error; the outer errors repeat the address with its signed query."""
    inner = error.args[0] if error.args else None
    return getattr(inner, "reason", None) or error
