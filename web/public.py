"""An address -> whether it is on the public internet."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

_GLOBAL = IPv6Network("2000::/3")
_TUNNELS = (IPv6Network("2002::/16"), IPv6Network("2001::/32"))
"""6to4 and Teredo: addresses that hold an IPv4 address of anyone's choice, and that no site is served from."""

_NAT64 = IPv6Network("64:ff9b::/96")
"""How machines without IPv4 reach it: RFC 6052. The last four bytes are the IPv4 address."""


def is_public(text: str) -> bool:
    """False for private, local, shared, reserved and multicast addresses, and for those hidden in IPv6."""
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        return _is_public_v4(address)
    if (inner := address.ipv4_mapped) is not None:
        return _is_public_v4(inner)
    if address in _NAT64:
        return _is_public_v4(IPv4Address(address.packed[-4:]))
    return _is_public_v6(address)


def _is_public_v4(address: IPv4Address) -> bool:
    return address.is_global and not address.is_multicast


def _is_public_v6(address: IPv6Address) -> bool:
    return address in _GLOBAL and address.is_global and not any(address in tunnel for tunnel in _TUNNELS)
