# SPDX-License-Identifier: Apache-2.0
"""P04: the trace prints APDUs, and never a PIN, a PUK, a key or a secured payload."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware.wire import apdu
from firmware.wire.apdu import CLA_ISO, CLA_QALTA, COMMAND_NAMES, Command
from firmware.wire.certificate import ROLE_PURSE
from host_bridge.session.exchange import CardError, Exchange
from host_bridge.session.issuer import IssuerSession, Personalisation
from host_bridge.session.purse import PurseSession
from host_bridge.session.secure_channel import DEFAULT_KEYS, ChannelKeys
from host_bridge.transport import trace
from host_bridge.transport.base import LinkLost
from host_bridge.transport.trace import LOGGER, Traced, redacted, show_traffic
from tests.doubles.desk import Desk
from tests.doubles.in_process import InProcessCard
from tests.links.test_processors import ScriptedCard

PIN = "73910468"
NEW_PIN = "640285917"
PUK = "90817263"
VIEW_KEY = bytes.fromhex("c0ffee00c0ffee01c0ffee02c0ffee03")
KEYS = ChannelKeys(b"canary-key-enc-1", b"canary-key-mac-2", b"canary-key-dek-3")
CANARIES = [
    *(text.encode() for text in (PIN, NEW_PIN, PUK)),
    VIEW_KEY,
    KEYS.enc,
    KEYS.mac,
    KEYS.dek,
    DEFAULT_KEYS.enc,
]


@pytest.fixture
def printed() -> Iterator[io.StringIO]:
    """What the trace prints."""
    stream = io.StringIO()
    handler = show_traffic(stream)
    yield stream
    logger = logging.getLogger(LOGGER)
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def scanned(text: str) -> list[bytes]:
    """The canaries in a text: as hex in either case, with or without spaces, and as they are."""
    squeezed = text.lower().replace(" ", "").replace(":", "")
    return [
        canary
        for canary in CANARIES
        if canary.hex() in squeezed or canary.decode("latin-1").lower() in text.lower()
    ]


def personalised(card: Traced, desk: Desk) -> None:
    session = IssuerSession(card)
    session.select()
    session.open(DEFAULT_KEYS)
    certificate = desk.certify(desk.bank_key, session.identity_key(), ROLE_PURSE)
    session.personalise(
        Personalisation(
            root=desk.root.public_key,
            bank=desk.bank,
            purse=certificate,
            view_key=VIEW_KEY,
            pin=PIN,
            puk=PUK,
            policy=desk.policy(),
            channel_keys=KEYS,
        )
    )


def test_p04_no_canary_in_a_whole_life(printed: io.StringIO, tmp_path: Path) -> None:
    """Personalised, opened by PIN, blocked, unblocked by PUK, PIN changed: all of it traced."""
    inner = InProcessCard(tmp_path / "card")
    secured: list[bytes] = []
    transmit = inner.transmit

    def recording(command: bytes) -> bytes:
        answer = transmit(command)
        if command[0] & 0x0C:
            secured.extend(payload for payload in (command[5:-1], answer[:-2]) if payload)
        return answer

    inner.transmit = recording  # type: ignore[method-assign]
    card = Traced(inner)
    personalised(card, Desk())
    card.reset()
    session = PurseSession(card)
    session.select()
    session.verify_pin(PIN)
    assert session.balance() == {0: 0}
    session.change_pin(PIN, NEW_PIN)
    for _ in range(3):
        with pytest.raises(CardError):
            session.verify_pin(PIN)
    session.unblock_pin(PUK, NEW_PIN)
    session.verify_pin(NEW_PIN)
    told = printed.getvalue()
    assert scanned(told) == []
    assert len(secured) > 15
    assert not [payload for payload in secured if payload.hex() in told]
    for name in ("STORE DATA", "EXTERNAL AUTHENTICATE", "VERIFY", "RESET RETRY COUNTER"):
        assert name in told, "they were sent, and only withheld"
    assert apdu.AID.hex() in told, "what is no secret is shown"


def test_the_scan_finds_a_canary_that_is_printed(
    printed: io.StringIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same life with nothing withheld: the scan is not blind."""
    monkeypatch.setattr(trace, "may_be_shown", lambda command: True)
    card = Traced(InProcessCard(tmp_path / "card"))
    personalised(card, Desk())
    session = PurseSession(card)
    session.select()
    session.verify_pin(PIN)
    assert PIN.encode() in scanned(printed.getvalue())


@pytest.mark.parametrize("chaining", [0, apdu.CLA_CHAINED])
@pytest.mark.parametrize("cla", range(0, 256, 4))
def test_data_are_shown_of_listed_commands_alone(cla: int, chaining: int) -> None:
    secret = PIN.encode()
    shown = set()
    for ins in range(256):
        command = bytes([cla | chaining, ins, 0, 0, len(secret)]) + secret
        told = redacted(command)
        assert told.startswith(command[:4].hex())
        if secret.hex() in told:
            shown.add(ins)
        else:
            assert told == f"{command[:4].hex()} [withheld]", "nor how long it is"
    assert not shown & {
        apdu.INS_VERIFY,
        apdu.INS_CHANGE_REFERENCE_DATA,
        apdu.INS_RESET_RETRY_COUNTER,
        apdu.INS_INITIALIZE_UPDATE,
        apdu.INS_EXTERNAL_AUTHENTICATE,
        apdu.INS_STORE_DATA,
    }
    assert bool(shown) == (cla & ~apdu.CLA_CHAINED in (CLA_ISO, CLA_QALTA))


def test_what_get_response_fetches_is_as_secret_as_what_was_asked(printed: io.StringIO) -> None:
    answers = [b"\x61\x04", b"\xca\xfe\xba\xbe\x90\x00"]
    card = Traced(ScriptedCard(lambda command, number: answers[number % 2]))
    Exchange(card).send(Command(0x84, 0x50, le=256))
    assert "cafebabe" not in printed.getvalue()
    assert "[withheld] 9000" in printed.getvalue()
    Exchange(card).send(Command(CLA_QALTA, apdu.INS_RECOVER, le=256))
    assert "cafebabe 9000" in printed.getvalue()


def test_a_get_response_with_data_hides_them() -> None:
    command = bytes([0, apdu.INS_GET_RESPONSE, 0, 0, 8]) + PIN.encode()
    assert scanned(trace.Redactor().command(command)) == []


def test_a_short_or_broken_command_breaks_no_trace(printed: io.StringIO) -> None:
    card = Traced(ScriptedCard(lambda command, number: b"\x67\x00"))
    for command in (b"", b"\x00", b"\x00\x20\x00", b"\x00\x20\x00\x81"):
        card.transmit(command)
    assert printed.getvalue().count("< 6700") == 4


def test_a_lost_link_is_told(printed: io.StringIO) -> None:
    def lost(command: bytes, number: int) -> bytes:
        raise LinkLost("The card left the reader.")

    with pytest.raises(LinkLost):
        Traced(ScriptedCard(lost)).transmit(b"\x00\xa4\x04\x00")
    assert "! The card left the reader." in printed.getvalue()


def test_nobody_is_told_who_did_not_ask(caplog: pytest.LogCaptureFixture) -> None:
    """Not at DEBUG either: TRAFFIC is a level of its own."""
    assert not trace.is_shown()
    caplog.set_level(logging.DEBUG)
    Traced(ScriptedCard(lambda command, number: b"\x90\x00")).transmit(b"\x00\xa4\x04\x00")
    assert caplog.records == []
    assert set(COMMAND_NAMES) >= trace._OPEN - {0xB0, 0xB2, 0xCA}
