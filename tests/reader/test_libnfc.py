# SPDX-License-Identifier: Apache-2.0
"""libnfc, which knows the real PN532, takes the double for one: Debian's own programs judge."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from host_bridge.transport.base import LinkLost
from tests.doubles.pn532 import Pn532Double
from tests.doubles.pn532_cards import PlainCard
from tests.doubles.pn532_isodep_card import IsoDepCard
from tests.doubles.pn532_port import Pn532Port
from tests.doubles.pn532_target import OtherReader

_DEADLINE_S = 60.0


class Silent:
    """A card that says nothing but 9000."""

    def transmit(self, command: bytes) -> bytes:
        return b"\x90\x00"

    def reset(self) -> None:
        pass


def program(name: str) -> str:
    """Where one of libnfc's programs is; the test fails without it."""
    path = shutil.which(name)
    if path is None:
        pytest.fail(f"{name} is not installed: it comes with Debian's package libnfc-bin.")
    return path


def environment(port: Pn532Port) -> dict[str, str]:
    """What tells libnfc where the chip is."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LIBNFC_DEFAULT_DEVICE": f"pn532_uart:{port.path}",
    }


def run(name: str, chip: Pn532Double, *arguments: str) -> str:
    """Runs a program with the chip; what it printed."""
    with Pn532Port(chip) as port:
        done = subprocess.run(
            [program(name), *arguments],
            env=environment(port),
            capture_output=True,
            text=True,
            timeout=_DEADLINE_S,
            check=False,
        )
        assert port.failure is None
    assert done.returncode == 0, done.stdout + done.stderr
    # Of what it says here the machine's missing USB buses are the only fault.
    faults = [line for line in done.stderr.splitlines() if "usbbus" not in line]
    assert not faults
    return " ".join(done.stdout.split())


def test_nfc_list_sees_the_chip_and_a_card() -> None:
    chip = Pn532Double()
    card = IsoDepCard(Silent(), bytes.fromhex("04112233445566"))
    card.historical = b"Qalta"
    chip.field.put(card)
    said = run("nfc-list", chip, "-v")
    assert "NFC device: user defined default device opened" in said
    assert "1 ISO14443A passive target(s) found" in said
    assert "UID (NFCID1): 04 11 22 33 44 55 66" in said
    assert "SAK (SEL_RES): 20 * Compliant with ISO/IEC 14443-4" in said
    assert "ATS: 75 80 80 00 51 61 6c 74 61" in said
    assert "Frame Waiting Time: 77.33 ms" in said


def test_nfc_list_sees_a_card_of_another_kind() -> None:
    chip = Pn532Double()
    chip.field.put(PlainCard(bytes.fromhex("cafe0102")))
    said = run("nfc-list", chip)
    assert "UID (NFCID1): ca fe 01 02 SAK (SEL_RES): 08" in said


def test_nfc_list_sees_an_empty_field() -> None:
    said = run("nfc-list", Pn532Double(), "-v")
    assert "0 ISO14443A passive target(s) found" in said


def test_nfc_scan_device_names_the_chip() -> None:
    said = run("nfc-scan-device", Pn532Double(), "-v")
    assert "chip: PN532 v1.6" in said
    assert "ISO/IEC 14443A (424 kbps, 212 kbps, 106 kbps)" in said


def test_libnfc_as_a_card_is_read_by_the_other_reader() -> None:
    """libnfc's Forum Tag 4 on the double in target mode, as its own specification reads it."""
    chip = Pn532Double()
    other = OtherReader(chip, timeout_s=_DEADLINE_S)
    with Pn532Port(chip) as port:
        tag = subprocess.Popen(
            [program("nfc-emulate-forum-tag4")],
            env=environment(port),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            other.approach()
            assert other.transmit(bytes.fromhex("00a4040007d276000085010100")) == b"\x90\x00"
            assert other.transmit(bytes.fromhex("00a4000c02e103")) == b"\x90\x00"
            capability = other.transmit(bytes.fromhex("00b000000f"))
            assert capability[:3] == b"\x00\x0f\x20" and capability[-2:] == b"\x90\x00"
            other.leave()
            tag.wait(_DEADLINE_S)
            with pytest.raises(LinkLost):
                other.transmit(b"\x00\xb0\x00\x00\x0f")
        finally:
            tag.kill()
            tag.wait()
        assert port.failure is None
