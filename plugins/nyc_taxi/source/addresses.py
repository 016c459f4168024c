"""Which addresses a source may lead to: a public one never leads into a private network."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

# Prefixes of IPv6 addresses that hold an IPv4 address in the last 32 bits: behind a gateway (RFC 6052, RFC 8215), or in
# the older forms (RFC 4291, RFC 7915).
_TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"), IPv6Network("::ffff:0:0:0/96"))
_LOCALLY_TRANSLATED = IPv6Network("64:ff9b:1::/48")
# Domains that no public DNS serves: RFC 6761, 6762 (appendix G), 8375; "internal" is reserved by ICANN, "svc" is
# Kubernetes'.
_PRIVATE_DOMAINS = (
    *("localhost", "local", "internal", "home.arpa", "intranet", "private", "corp", "home", "lan", "svc"),
)


class PrivateAddressError(Exception):
    """A source leads to a host that is not public, although it must be.

    Attributes:
        host: the host.
    """

    def __init__(self, host: str, address: str = "") -> None:
        why = f"has the address {address}, which is not public" if address else "is no name of the public DNS"
        super().__init__(f"{host} {why}")
        self.host = host


class AddressGuard:
    """Decides to which addresses the requests to one source may connect.

    The first host is the one that the operator configured. It is public, unless it is an address, has a name that only
    a private network can have, or the operator says so. What it resolves to does not decide: whoever has its DNS could
    change that from one task to the next (DNS rebinding). A public source must stay on public addresses. A source in a
    private network may redirect within it, and out of it, but not back.

    Args:
        private: whether the operator says that the source is in a private network, whatever its name.
    """

    def __init__(self, *, private: bool = False) -> None:
        self._private = private
        self._public_source = False
        self._public_only = False
        self._first = True

    def begin(self, host: str) -> None:
        """Begin a request to the source's host; the hosts that follow are those of its redirects."""
        self._public_only = self._public_source or not (self._private or may_be_private(host))
        self._first = True

    def check_name(self, host: str, port: int) -> None:
        """Check the addresses of a host before a connection to it is opened.

        Raises:
            PrivateAddressError: one of them is not public, although it must be.
        """
        if self._public_only:
            for address in _resolve(host, port):
                self._check(host, address)

    def check_connected(self, host: str, address: str) -> None:
        """Check the address of an open connection; what the name resolves to may have changed since the first check.

        Raises:
            PrivateAddressError: it is not public, although it must be.
        """
        self._check(host, address)
        self._passed(public=is_public(address))

    def check_proxied(self, host: str, port: int) -> None:
        """Check a host to which a proxy connects. A name that only the proxy can resolve counts as what it looks like.

        Raises:
            PrivateAddressError: it resolves to an address that is not public, or is no name of the public DNS, although
                it must be public.
        """
        addresses = _resolve(host, port)
        if self._public_only and not addresses and may_be_private(host):
            raise PrivateAddressError(host)
        for address in addresses:
            self._check(host, address)
        self._passed(public=all(map(is_public, addresses)))

    def _passed(self, *, public: bool) -> None:
        self._public_only = self._public_only or public
        if self._first:
            self._public_source = self._public_source or public
        self._first = False

    def _check(self, host: str, address: str) -> None:
        if self._public_only and not is_public(address):
            raise PrivateAddressError(host, address)


def may_be_private(host: str) -> bool:
    """Return whether a host may be in a private network: it is an address, or no name of the public DNS."""
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        name = host.rstrip(".").lower()
        return "." not in name or name.endswith(tuple(f".{domain}" for domain in _PRIVATE_DOMAINS))
    return True


def is_public(address: str) -> bool:
    """Return whether an IP address is one of the public internet, also if IPv6 only wraps an IPv4 address."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        if ip in _LOCALLY_TRANSLATED or ip.is_site_local:
            return False
        ip = _wrapped(ip) or ip
    return ip.is_global and not ip.is_multicast


def _wrapped(ip: IPv6Address) -> IPv4Address | None:
    if any(ip in network for network in _TRANSLATED):
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)


def _resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host; none if it cannot be resolved, which the connection then reports."""
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        return []
