# SPDX-License-Identifier: Apache-2.0
"""S13, S08: a board whose littlefs does not mount, or is full; MicroPython on an image."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from boards.VIRTUAL.board import VirtualBoard
from boards.VIRTUAL.partitions import read_partitions
from firmware.purse import stored
from firmware.wire import apdu
from firmware.wire.apdu import LIFECYCLE_ACTIVE, LIFECYCLE_DAMAGED, Command
from host_bridge.crypto.keys import SigningKey
from host_bridge.session.purse import PurseSession
from host_bridge.transport.virtual import VirtualTransport
from provisioning.image import build_image, compile_firmware, write_image
from tests.card.bench import Bench, refusal
from tests.doubles.desk import PIN, Desk

VFS = read_partitions()["vfs"]
TIMEOUT_S = 30.0
BITS = pytest.mark.parametrize("bits", [64, 32])


def image_of(bench: Bench, path: Path, filler: int = 0) -> None:
    """A board's image of a card that was lived with in this process."""
    flash = bench.card.flash()
    files = {name[4:]: data for name, data in flash.items() if name.startswith("vfs/")}
    if filler:
        files["filler"] = bytes(filler)
    write_image(path, compile_firmware(), files)
    content = bytearray(path.read_bytes())
    for name in ("state", "counter", "journal"):
        part = read_partitions()[name]
        content[part.offset : part.end] = flash[f"{name}.bin"]
    path.write_bytes(content)


@contextmanager
def tap(image: Path, bits: int) -> Iterator[PurseSession]:
    """The board, switched on for one tap."""
    with VirtualTransport(
        VirtualBoard(image, bits=bits, log=image.with_suffix(".log")), timeout_s=TIMEOUT_S
    ) as card:
        session = PurseSession(card)
        session.select()
        yield session


@pytest.fixture
def paid(bench: Bench) -> Bench:
    """A card that has paid once."""
    bench.pay(bench.desk.request(500))
    return bench


@BITS
@pytest.mark.parametrize("how", ["garbage", "zeros", "erased"])
def test_s13_a_littlefs_that_does_not_mount(
    how: str, bits: int, paid: Bench, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """It boots, answers, says that it is damaged, pays nothing, and formats nothing (I8)."""
    request.getfixturevalue("micropython" if bits == 64 else "micropython32")
    image = tmp_path / "card.img"
    image_of(paid, image)
    good = image.read_bytes()
    bad = {
        "garbage": random.Random(13).randbytes(VFS.size),
        "zeros": bytes(VFS.size),
        "erased": b"\xff" * VFS.size,
    }[how]
    image.write_bytes(good[: VFS.offset] + bad + good[VFS.end :])
    before = image.read_bytes()
    for _ in range(2):
        with tap(image, bits) as session:
            assert session.info is not None and session.info.lifecycle == LIFECYCLE_DAMAGED
            assert refusal(session.pay, paid.desk.request(1)) == 0x6985
            session.verify_pin(PIN)  # its state is no file, and can be read
            data = apdu.STORED_INDEX.pack({"index": 0})
            answer = session._exchange.send(
                Command(apdu.CLA_QALTA, apdu.INS_EXPORT, apdu.P1_EXPORT_STORED, 0, data, 256)
            )
            assert answer[0] == stored.INTENT
        assert image.read_bytes()[VFS.offset : VFS.end] == before[VFS.offset : VFS.end]
    assert "cannot be mounted" in image.with_suffix(".log").read_text()
    now = image.read_bytes()
    image.write_bytes(now[: VFS.offset] + good[VFS.offset : VFS.end] + now[VFS.end :])
    with tap(image, bits) as session:
        assert session.info is not None and session.info.lifecycle == LIFECYCLE_ACTIVE
        session.pay(paid.desk.request(1))


def test_s08_a_full_littlefs(paid: Bench, tmp_path: Path) -> None:
    """LOAD, SET POLICY and PRESENT say so and change nothing; PAY does not need it."""
    paid.session.verify_pin(PIN)
    desk = paid.desk
    key = paid.session.generate_key(bytes(16)).public_key
    paid.session.present(desk.issuer)
    image = tmp_path / "card.img"
    filler = VFS.size - 4096
    while True:  # ends: an empty file fits
        try:
            image_of(paid, image, filler)
            break
        except Exception:
            filler -= 4096
    with tap(image, 64) as session:
        refused = 0
        for _ in range(20):
            bank = desk.certify(desk.root, SigningKey.generate(), 3)
            for word in (
                refusal(session.present, bank),
                refusal(session.set_policy, desk.policy()),
            ):
                assert word in (0x9000, 0x6581, 0x6A84), f"{word:04X}"
                refused += word != 0x9000
        assert refused, "the file system was not full"
        note = desk.note(key, 50)
        assert refusal(session.load, note) in (0x6581, 0x6A84, 0x9000)
        session.pay(desk.request(3))
        session.verify_pin(PIN)
        balance = session.balance()[0]
    with tap(image, 64) as session:
        session.verify_pin(PIN)
        assert session.balance()[0] == balance
        session.pay(desk.request(3))


@pytest.mark.parametrize("gone", ["vfs", "copies"])
def test_s13_one_of_the_two_file_systems(gone: str, tmp_path: Path) -> None:
    """S13: the other one has every record: it pays, no unit twice, and takes a new note."""
    desk, image = Desk(), tmp_path / "card.img"
    build_image(image)
    with VirtualTransport(VirtualBoard(image), timeout_s=TIMEOUT_S) as card:
        desk.personalise(card)
        session = PurseSession(card)
        session.select()
        desk.load(session, 1_000)
        first = session.pay(desk.request(400))
    partition = read_partitions()[gone]
    content = bytearray(image.read_bytes())
    content[partition.offset : partition.end] = bytes(partition.size)
    image.write_bytes(content)
    with VirtualTransport(VirtualBoard(image), timeout_s=TIMEOUT_S) as card:
        session = PurseSession(card)
        assert session.select().lifecycle == LIFECYCLE_ACTIVE
        second = session.pay(desk.request(500))
        assert second[0].transfer.start == first[0].transfer.end
        session.verify_pin(PIN)
        assert session.balance() == {0: 100}
        desk.load(session, 30)
        assert session.balance() == {0: 130}
    after = image.read_bytes()
    assert not any(after[partition.offset : partition.end]), "nobody formats what may hold money"
