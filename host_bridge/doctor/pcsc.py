# SPDX-License-Identifier: Apache-2.0
"""Checks of the way to a PC/SC reader: service, permission, serial driver, entry, reader, card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from host_bridge.doctor.finding import Finding, bad, good, lacking
from host_bridge.pcscd.service import Answer, Service
from host_bridge.transport.pcsc_context import ReaderInfo

_INSTALL = "sudo apt install pcscd libccid"
_NO_DRIVER = "There is no driver for serial readers, so that the reader board cannot be used."


def check_pcscd(service: Service, *, needed: bool) -> Finding:
    """Whether pcscd is installed and listens."""
    if service.program is None and service.answer is not Answer.LISTENS:
        sentence = "pcscd, the system's PC/SC service, is not installed."
        return lacking("pcscd", sentence, _INSTALL, needed=needed)
    if service.answer is Answer.DENIED:
        sentence = f"No permission to reach pcscd at {service.socket}."
        return bad("pcscd", sentence, service.restart_command)
    if service.answer is not Answer.LISTENS:
        return lacking("pcscd", "pcscd does not run.", service.start_command, needed=needed)
    return good("pcscd", f"pcscd listens at {service.socket}")


def check_driver(driver: Path | None, *, needed: bool) -> Finding:
    """libccid's driver for serial readers."""
    if driver is None:
        return lacking("driver", _NO_DRIVER, "sudo apt install libccid", needed=needed)
    return good("driver", str(driver))


def check_entry(entry: Path, port: str | None, port_exists: bool, install: str) -> Finding:
    """Our entry in pcscd's configuration; `port` is None where there is none."""
    if port is None:
        return good("entry", "no reader board is entered for pcscd")
    if not port_exists:
        sentence = f"The reader board is not plugged in, or no longer at {port}."
        return lacking("entry", sentence, install, needed=False)
    return good("entry", f"{entry} names {port}")


def check_permission(refused: str, user: str) -> Finding:
    """Whether pcscd lets this user in; `refused` is its refusal, empty where it did not."""
    if refused:
        sentence = f"pcscd lets {user} in only at the machine itself, not from afar ({refused})."
        return bad("permission", sentence, polkit_command(user))
    return good("permission", f"pcscd lets {user} in")


def polkit_command(user: str) -> str:
    """Writes the polkit rule that lets `user` use readers, also over ssh (pcsc-lite's README)."""
    rule = (
        "polkit.addRule(function(action, subject) {"
        ' if (action.id.indexOf("org.debian.pcsc-lite.") == 0'
        f' && subject.user == "{user}") return polkit.Result.YES; }});'
    )
    return f"echo '{rule}' | sudo tee /etc/polkit-1/rules.d/60-qalta.rules"


def check_readers(
    readers: Sequence[ReaderInfo],
    failed: str,
    entry_port: str | None,
    restart: str,
    *,
    needed: bool,
) -> Finding:
    """Whether there is a reader; `entry_port` is where our entry says that one is.

    `failed` is what PC/SC said instead of naming readers, empty if it named them.
    """
    if failed:
        return lacking("reader", failed, restart, needed=needed)
    if readers:
        return good("reader", ", ".join(reader.name for reader in readers))
    if entry_port is not None:
        sentence = f"pcscd shows no reader, though one is entered at {entry_port}."
        return lacking("reader", sentence, restart, needed=needed)
    return lacking("reader", "No PC/SC reader is plugged in.", needed=needed)


def check_card(readers: Sequence[ReaderInfo]) -> Finding:
    """Whether a reader has a card, and whether it speaks."""
    for reader in readers:
        if reader.is_mute:
            sentence = f"The card in {reader.name} does not answer: turn it, or lay it down again."
            return lacking("card", sentence, needed=False)
    for reader in readers:
        if reader.has_card:
            return good("card", f"in {reader.name}, ATR {reader.atr.hex(' ').upper()}")
    return good("card", "no card is in a reader")
