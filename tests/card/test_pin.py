# SPDX-License-Identifier: Apache-2.0
"""VERIFY, CHANGE REFERENCE DATA, RESET RETRY COUNTER: tries, blocks, and what ends a PIN."""

import pytest

from firmware.purse import access
from firmware.wire.apdu import Command
from firmware.wire.limits import PUK_TRIES
from host_bridge.session.exchange import CardRefused
from host_bridge.session.purse import BadPinFormat, WrongPin
from tests.card.bench import OK, SELECT, Bench
from tests.doubles.desk import PIN, PUK
from tests.doubles.power import PowerCut

RIGHT = PIN.encode()
WRONG = b"0000"
NEW = b"123456789012"


def verify(pin: bytes = b"") -> Command:
    return Command(0x00, 0x20, 0, 0x81, pin)


def change(old: bytes, new: bytes) -> Command:
    return Command(0x00, 0x24, 0, 0x81, bytes([len(old)]) + old + new)


def unblock(puk: bytes, new: bytes) -> Command:
    return Command(0x00, 0x2C, 0, 0x81, puk + new)


BALANCE = Command(0x80, 0x3A)


@pytest.mark.parametrize("pin", [b"123", b"1234567890123", b"12a4", b"25 0", b"\x02\x05\x08\x00"])
def test_no_pin(pin: bytes, shown: Bench) -> None:
    """What cannot be a PIN costs no try and changes nothing."""
    before = shown.card.flash()
    assert shown.word(verify(pin)) == 0x6A80
    assert shown.word(change(RIGHT, pin)) == 0x6A80
    assert shown.word(change(pin, RIGHT)) == 0x6A80
    assert shown.word(unblock(PUK.encode(), pin)) == 0x6A80
    assert shown.card.flash() == before


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x04", b"\x042580", b"\xff2580", b"\x0525801"])
def test_change_lengths(data: bytes, bench: Bench) -> None:
    assert bench.word(Command(0x00, 0x24, 0, 0x81, data)) == 0x6700


def test_three_tries(bench: Bench) -> None:
    assert bench.word(verify()) == 0x63C3
    assert bench.word(verify(WRONG)) == 0x63C2
    assert bench.word(verify()) == 0x63C2, "asking costs nothing"
    assert bench.word(verify(WRONG)) == 0x63C1
    bench.boot()
    assert bench.word(verify(WRONG)) == 0x6983
    for command in (verify(RIGHT), verify(WRONG), verify(), change(RIGHT, NEW)):
        assert bench.word(command) == 0x6983
    assert bench.word(BALANCE) == 0x6982


def test_the_right_pin_gives_the_tries_back(bench: Bench) -> None:
    for _ in range(3):
        assert bench.word(verify(WRONG)) == 0x63C2
        assert bench.word(verify(RIGHT)) == OK
        assert bench.word(verify()) == OK, "it is verified"
        bench.tap()
        assert bench.word(verify()) == 0x63C3


def test_wrong_and_malformed_pins_take_the_right_one_back(shown: Bench) -> None:
    assert shown.word(BALANCE) == OK
    assert shown.word(verify(WRONG)) == 0x63C2
    assert shown.word(BALANCE) == 0x6982
    assert shown.word(verify(RIGHT)) == OK
    assert shown.word(verify(b"1")) == 0x6A80
    assert shown.word(BALANCE) == 0x6982


def test_a_pin_lasts_for_one_tap(shown: Bench) -> None:
    assert shown.word(SELECT) == OK
    assert shown.word(BALANCE) == 0x6982
    shown.session.verify_pin(PIN)
    shown.tap()
    assert shown.word(BALANCE) == 0x6982


@pytest.mark.parametrize("ending", [change(RIGHT, NEW), unblock(PUK.encode(), NEW)])
def test_a_new_pin_must_be_shown(ending: Command, shown: Bench) -> None:
    assert shown.word(ending) == OK
    assert shown.word(BALANCE) == 0x6982
    assert shown.word(verify(RIGHT)) == 0x63C2
    assert shown.word(verify(NEW)) == OK
    shown.boot()
    assert shown.word(verify(NEW)) == OK


def test_a_pin_is_compared_whole(bench: Bench) -> None:
    for guess in (RIGHT + b"0", RIGHT + b"00000000"):
        assert bench.word(verify(guess)) & 0xFFF0 in (0x63C0, 0x6980)
    bench.session.unblock_pin(PUK, NEW.decode())
    assert bench.word(verify(NEW[:-1])) == 0x63C2


def test_change_takes_a_try_first(bench: Bench) -> None:
    assert bench.word(change(WRONG, NEW)) == 0x63C2
    assert bench.word(change(WRONG, NEW)) == 0x63C1
    assert bench.word(change(RIGHT, NEW)) == OK
    assert bench.word(verify()) == 0x63C3
    assert bench.word(change(RIGHT, NEW)) == 0x63C2


def test_puk_unblocks_and_is_blocked(bench: Bench) -> None:
    for _ in range(3):
        bench.word(verify(WRONG))
    assert bench.word(unblock(PUK.encode(), RIGHT)) == OK
    assert bench.word(verify(RIGHT)) == OK
    for left in range(PUK_TRIES - 1, 0, -1):
        assert bench.word(unblock(b"00000000", NEW)) == 0x63C0 | left
        bench.boot()
    assert bench.word(unblock(b"00000000", NEW)) == 0x6983
    assert bench.word(unblock(PUK.encode(), NEW)) == 0x6983, "for good"
    assert bench.word(verify(RIGHT)) == OK, "the PIN is another reference"


def test_the_right_puk_gives_its_tries_back(bench: Bench) -> None:
    for _ in range(2):
        assert bench.word(unblock(b"00000000", NEW)) == 0x63C9
        assert bench.word(unblock(PUK.encode(), NEW)) == OK


def _cut_at_the_comparison(
    bench: Bench, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object) -> bool:
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(access, "equal", cut)
        with pytest.raises(PowerCut):
            bench.word(command)
    bench.boot()


@pytest.mark.parametrize("guess", [RIGHT, WRONG])
@pytest.mark.parametrize("form", ["verify", "change"])
def test_the_try_is_stored_before_the_comparison(
    guess: bytes, form: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T15: whoever cuts the power once a guess is compared has not won that guess."""
    command = verify(guess) if form == "verify" else change(guess, NEW)
    for tries in (2, 1, 0):
        _cut_at_the_comparison(bench, command, monkeypatch)
        assert bench.word(verify()) == (0x63C0 | tries if tries else 0x6983)
    assert bench.word(verify(RIGHT)) == 0x6983


@pytest.mark.parametrize("guess", [PUK.encode(), b"00000000"])
def test_the_puk_try_is_stored_before_the_comparison(
    guess: bytes, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(PUK_TRIES):
        _cut_at_the_comparison(bench, unblock(guess, NEW), monkeypatch)
    assert bench.word(unblock(PUK.encode(), NEW)) == 0x6983


def test_the_host_says_it_in_words(bench: Bench) -> None:
    session = bench.session
    for pin in ("123", "12345678901234", "١٢٣٤", "12 4", ""):
        with pytest.raises(BadPinFormat, match="a PIN has 4 to 12 digits"):
            session.verify_pin(pin)
    with pytest.raises(WrongPin, match="wrong PIN, 2 tries left") as wrong:
        session.verify_pin("0000")
    assert wrong.value.tries_left == 2
    with pytest.raises(WrongPin, match="wrong PIN, 1 try left"):
        session.change_pin("0000", "1111")
    with pytest.raises(CardRefused, match="blocked"):
        session.verify_pin("0000")
    with pytest.raises(WrongPin, match="wrong PUK, 9 tries left"):
        session.unblock_pin("00000000", "1111")
    session.unblock_pin(PUK, "1111")
    session.change_pin("1111", "2222")
    session.verify_pin("2222")
