"""The labs that are measured.  Their guests are paused and diskless: QEMU with its NICs, no more."""

from __future__ import annotations

PAUSED = "qemu_args: [-S], memory: 16M, accel: tcg"
NICS_A_GUEST = 25
NICS_A_BRIDGE = 100


def bridge_count(nics: int) -> int:
    return -(-nics // NICS_A_BRIDGE)


def guest_sizes(nics: int) -> list[int]:
    """How many NICs each guest has."""
    full, rest = divmod(nics, NICS_A_GUEST)
    return [NICS_A_GUEST] * full + [rest] * (rest > 0)


def many_nics(nics: int) -> str:
    """A lab of so many NICs on bridges of 100."""
    lines = ["lab: big", "networks:"]
    lines += [f"  n{net}: {{kind: host-only, dhcp: false, dns: false, subnet: 10.77.{net}.0/24}}"
              for net in range(bridge_count(nics))]  # fmt: skip
    lines.append("guests:")
    first = 0
    for guest, size in enumerate(guest_sizes(nics)):
        names = ", ".join(f"n{(first + number) // NICS_A_BRIDGE}" for number in range(size))
        lines.append(f"  g{guest}: {{{PAUSED}, nics: [{names}]}}")
        first += size
    return "\n".join(lines) + "\n"


def one_network(nics: int) -> str:
    """The same on one network, whatever it takes of bridges."""
    lines = [
        "lab: big",
        "networks:",
        "  lan: {kind: host-only, dhcp: false, dns: false, subnet: 10.77.0.0/16}",
        "guests:",
    ]
    for guest, size in enumerate(guest_sizes(nics)):
        lines.append(f"  g{guest}: {{{PAUSED}, nics: [{', '.join(['lan'] * size)}]}}")
    return "\n".join(lines) + "\n"


def many_networks(networks: int, guests: int) -> str:
    """A lab for the planner alone."""
    lines = ["lab: wide", "networks:"]
    lines += [f"  n{net}: {{kind: host-only, subnet: 10.{net // 250}.{net % 250}.0/24}}" for net in range(networks)]
    lines.append("guests:")
    lines += [f"  g{guest}: {{{PAUSED}, nics: [n{guest % networks}]}}" for guest in range(guests)]
    return "\n".join(lines) + "\n"


SMALL = f"""\
lab: small
networks:
  lan: {{kind: host-only, subnet: 10.79.0.0/24}}
guests:
  a: {{{PAUSED}, nics: [lan]}}
"""
