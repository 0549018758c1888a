# SPDX-License-Identifier: Apache-2.0
"""A card in this process on a bench: the desk that issued it, its sessions, its raw APDUs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from firmware.purse.trust import Trust
from firmware.purse.verify import Expectation, check_payment
from firmware.wire import apdu
from firmware.wire.apdu import CLA_ISO, CLA_QALTA, Command, split_answer
from firmware.wire.token import Token, parse_tokens
from firmware.wire.transfer import Transfer
from host_bridge.crypto import p256
from host_bridge.session.exchange import CardRefused
from host_bridge.session.purse import PayRequest, PurseSession
from tests.doubles.desk import Desk
from tests.doubles.in_process import InProcessCard
from tests.doubles.power import PowerSupply

OK = 0x9000
COUNT = 8  # the kind of record in which a software element counts
_MOST_RESTS = 100
_ELEMENT = ("vfs/element", "counter.bin")
SELECT = Command(CLA_ISO, apdu.INS_SELECT, apdu.P1_SELECT_BY_NAME, 0, apdu.AID)


@dataclass(frozen=True)
class Issued:
    """A personalised card's flash, to be copied, and the desk that knows its keys."""

    desk: Desk
    folder: Path

    def bench(self, folder: Path, supply: PowerSupply | None = None) -> Bench:
        """A copy of the card, on a bench of its own."""
        shutil.copytree(self.folder, folder)
        return Bench(self.desk, folder, supply)


class Bench:
    """One card; `session` is a tap that has begun with SELECT."""

    def __init__(self, desk: Desk, folder: Path, supply: PowerSupply | None = None) -> None:
        self.desk = desk
        self.folder = folder
        self.card = InProcessCard(folder, supply)
        self.taken: list[Transfer] = []
        self.tap()

    def tap(self) -> PurseSession:
        """A new tap."""
        self.card.reset()
        self.session = PurseSession(self.card)
        self.session.select()
        return self.session

    def boot(self) -> PurseSession:
        """Power comes back, and a new tap begins."""
        self.card.boot()
        return self.tap()

    def ask(self, command: Command) -> tuple[bytes, int]:
        """Data and status word of one raw APDU."""
        return split_answer(self.card.application.process(command.raw))

    def word(self, command: Command) -> int:
        """The status word of one raw APDU."""
        return self.ask(command)[1]

    def twin(self, folder: Path, supply: PowerSupply | None = None) -> Bench:
        """Another card with the same flash."""
        shutil.copytree(self.folder, folder)
        return Bench(self.desk, folder, supply)

    def pay(self, request: PayRequest) -> list[Token]:
        """Pays, and verifies the answer as a till does that remembers every transfer."""
        return self.verified(request, self.session.pay(request))

    def verified(self, request: PayRequest, tokens: list[Token]) -> list[Token]:
        """Checks an answer to PAY or RECOVER; its runs meet no run of another payment (I6)."""
        others = [taken for taken in self.taken if taken.payment_id != request.payment_id]
        expected = Expectation(
            request.payee,
            request.payment_id,
            request.amount_tiyn,
            request.time,
            request.time,
        )
        check_payment(self.trust(), None, expected, tokens, others)
        self.taken = others + [token.transfer for token in tokens]
        return tokens

    def trust(self) -> Trust:
        """What every till of this desk believes."""
        trust = Trust(self.desk.root.public_key, p256.verify)
        for certificate in (
            self.desk.issuer,
            self.desk.authority,
            self.desk.bank,
            self.desk.other_bank,
        ):
            trust.add(certificate)
        return trust

    def rested(self) -> None:
        """Whatever waits until nobody does is done; there is an end to it."""
        for _ in range(_MOST_RESTS):
            if not self.card.application.rest():
                return
        raise AssertionError("it never rests")

    def set_counter(self, value: int) -> None:
        """From the next boot on the element's counter stands there."""
        self.card.memory.counter.append(COUNT, value.to_bytes(4, "big"))

    def put_back(self, earlier: dict[str, bytes]) -> None:
        """Makes the purse's memory that of an earlier `card.flash()`; its element stays."""
        for name in self.card.flash():
            if not name.startswith(_ELEMENT):
                (self.folder / name).unlink()
        for name, data in earlier.items():
            if not name.startswith(_ELEMENT):
                (self.folder / name).write_bytes(data)

    def balance(self, purpose: int = 0) -> int:
        """Tiyn of a purpose, read past the PIN."""
        return self.card.purse.balance().get(purpose, 0)


def pay_command(request: PayRequest) -> Command:
    """The raw PAY of a request."""
    return Command(CLA_QALTA, apdu.INS_PAY, data=request.data)


def whole_answer(bench: Bench, command: Command) -> bytes:
    """The data of an answer that comes in parts, `61xx` collected by hand."""
    data, word = bench.ask(command)
    while word >> 8 == 0x61:
        part, word = bench.ask(Command(CLA_ISO, apdu.INS_GET_RESPONSE, le=word & 0xFF or 256))
        data += part
    assert word == OK, f"{word:04X}"
    return data


def refusal(call, *arguments: object) -> int:  # type: ignore[no-untyped-def]
    """The status word that a session's verb is refused with; 9000 if it is not."""
    try:
        call(*arguments)
    except CardRefused as refused:
        return refused.word
    return OK


def tokens_of(data: bytes) -> list[Token]:
    """The tokens in an answer's data."""
    return parse_tokens(data)
