"""The address of a client behind proxies: `X-Forwarded-For`, as far as proxies that are trusted have written it.

Each proxy adds the address that it sees at the end, and passes on what the client wrote before it. So it is read from
the end, up to the first address that is not one of a trusted proxy.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from llmproxy.answer import Headers

Network = IPv4Network | IPv6Network
_MOST_KNOWN = 1024
_MOST_HOPS = 32
_LONGEST = 64


class TrustedProxies:
    """Finds addresses behind proxies in `networks`."""

    __slots__ = ("_known", "_networks")

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks
        self._known: dict[str, bool] = {}

    def client_address(self, peer: str, headers: Headers) -> str:
        """Return the address of the client: `peer`, or the right-most one in X-Forwarded-For that is not trusted."""
        if not self._is_trusted(peer):
            return peer
        address = peer
        hops = ",".join(headers.getall("X-Forwarded-For", ())).split(",")
        for hop in reversed(hops[-_MOST_HOPS:]):
            parsed = _parse(hop)
            if parsed is None:  # what stands before it is not worth more
                return address
            address = str(parsed)
            if not self._is_trusted(address):
                return address
        return address

    def _is_trusted(self, address: str) -> bool:
        known = self._known.get(address)
        if known is None:
            parsed = _parse(address)
            known = parsed is not None and any(parsed in network for network in self._networks)
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[address] = known
        return known


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address, of which some proxies write the port too; None when it is not one."""
    text = text.strip().strip('"')
    if len(text) > _LONGEST:
        return None
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
