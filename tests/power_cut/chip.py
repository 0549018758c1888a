# SPDX-License-Identifier: Apache-2.0
"""The same cuts on a card whose element is a chip: between and within its commands, too.

The chip stands on a simulated bus (`tests/doubles`) and keeps its keys and its counter when the
flash does not. What it signs is new each time, so that an outside ledger judges the answers. The
power fails by an exception here, at a write of the flash or at a transaction of the bus.
"""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass

from firmware.hal.atecc608_element import AteccElement
from firmware.wire import apdu, status
from firmware.wire.apdu import CLA_ISO, CLA_QALTA, Command
from firmware.wire.limits import COUNTER_JUMP, JOURNAL_CAPACITY
from host_bridge.closing import Closing
from host_bridge.crypto import p256
from host_bridge.session.purse import PurseSession
from host_bridge.transport.base import Traffic
from tests.doubles.atecc608 import Eeprom
from tests.doubles.desk import NOW, PIN
from tests.doubles.power import AFTER, BEFORE, PowerCut
from tests.hal.bench import TIER, ChipBench, TierDesk
from tests.power_cut.board import LOCKED, UNNOTICED, Board, Crypto, Violation
from tests.power_cut.harness import VIOLATED, Result
from tests.power_cut.ledger import Ledger
from tests.power_cut.nor_flash import SECTOR_SIZE, NorFlash, Write
from tests.power_cut.story import SELECT, pay, recover
from tests.power_cut.trials import BACK, CLEAN, FLIP, TORN, TWICE, WEAK

STEPS = (0, 1, 2, 7, 16)  # what an increment that loses its power has added; 16 is COUNTER_JUMP
_MODES = (CLEAN, TORN, WEAK, FLIP)
_TIMES = {CLEAN: 1, TORN: 5, WEAK: 5, FLIP: 20}  # at each write
_SEED = 20_261_121
_PART = 0x61
_LIFECYCLE_AT = -2  # in the answer to SELECT, in front of the flags
_SIGN = 0x41  # opcode
_INCREMENT = (0x24, 0x01)  # opcode and mode
_WINDOW = 14  # transactions that an increment may take, with all that asks whether it is over
_NEVER = 0


class FailingFlash(NorFlash):
    """A flash that loses its power at the write number `at`, counted from 1; 0: never."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0
        self.at = _NEVER
        self.mode = CLEAN

    def fail(self, at: int, mode: str) -> None:
        """Arms it."""
        self.writes, self.at, self.mode = 0, at, mode

    def write(self, write: Write) -> None:
        """Carries out a write, or as much of it as the power lasts for."""
        self.writes += 1
        if self.writes == self.at:
            if self.mode == TORN:
                write.tear(self, random)
            elif self.mode == WEAK:
                write.weaken(self, random)
            elif self.mode == FLIP:
                super().write(write)
                self.flip_bit(write.sector, SECTOR_SIZE, random)
            raise PowerCut
        super().write(write)


class ChipBoard(Board, Closing):
    """A board with a chip; a transport, too, for the host's sessions."""

    def __init__(self) -> None:
        super().__init__(Crypto([], []))
        self.flash = FailingFlash()
        self.crypto.log = self.flash.log
        self.crypto.verify = p256.verify  # type: ignore[method-assign]
        self.traffic = Traffic()
        self.bench = ChipBench().configured()
        self.format()

    def build_element(self) -> AteccElement:
        """The chip."""
        return AteccElement(self.bench.chip)

    def power(self) -> None:
        """The power was gone and is back, for the board and for the chip."""
        self.bench.bus.cut(_NEVER, "")
        self.bench.double.cut_power()
        self.bench.boot()
        self.flash.at = _NEVER
        self.boot()

    def put(self, image: bytes, eeprom: Eeprom) -> None:
        """Another flash and another chip; the power is still off."""
        self.flash.fill(image)
        self.bench = ChipBench(eeprom)

    def transmit(self, command: bytes) -> bytes:
        """As a transport does."""
        return self.ask(command)

    def reset(self) -> str:
        """A new tap."""
        self.application.reset()
        return "a board in RAM"

    def close(self) -> None:
        """Nothing to let go."""

    def whole(self, command: Command) -> tuple[bytes, int]:
        """Data and status word of a command whose answer may come in parts."""
        answer = self.ask(command.raw)
        data = answer[:-2]
        while answer[-2] == _PART:
            answer = self.ask(Command(CLA_ISO, apdu.INS_GET_RESPONSE, le=answer[-1] or 256).raw)
            data += answer[:-2]
        return data, int.from_bytes(answer[-2:], "big")


@dataclass
class World:
    """A card at a moment: its flash, its chip, and what somebody else knows of it."""

    image: bytes
    eeprom: Eeprom
    ledger: Ledger


class ChipCuts:
    """One card with four notes and some payments, cut again and again."""

    def __init__(self) -> None:
        random.seed(_SEED)
        self.desk = TierDesk()
        self.board = ChipBoard()
        self.board.power()
        self.desk.personalise(self.board, tier=TIER, max_offline_count=200)
        self.ledger = Ledger()
        session = PurseSession(self.board)
        session.select()
        for value in (300, 400, 500, 600):
            note = self.desk.load(session, value, min_tier=TIER)
            self.ledger.load(note.raw, value)
        for number in range(5):
            self._take(pay(self.desk.request(20 + number)))
        self.world = self._world()
        self._intended = self.board.element.counter() + 1
        session.verify_pin(PIN)
        word = self.desk.acknowledge(session.export(bytes(16)), time=NOW + 1)
        self.request = self.desk.request(1_000)  # from three notes
        acknowledge = Command(CLA_QALTA, apdu.INS_ACKNOWLEDGE, data=word.raw)
        self._intent_left = self._stopped_before(2).image  # its counter not yet taken
        unsigned = self._stopped_before(3)
        self.acts = {
            "chip_pay": (self.world, pay(self.request)),
            "chip_recover": (unsigned, recover(self.request.payment_id)),
            "chip_acknowledge": (self.world, acknowledge),
        }

    def _world(self) -> World:
        eeprom = ChipBench(self.board.bench.double.eeprom).double.eeprom
        return World(bytes(self.board.flash.memory), eeprom, self.ledger.copy())

    def _take(self, command: Command) -> bytes:
        data, word = self.board.whole(command)
        if word != status.OK:
            raise Violation(f"INS {command.ins:02x} is answered {word:04x}")
        self.ledger.take(data)
        return data

    def _stopped_before(self, write: int) -> World:
        """The payment was begun; its writes are intent, commit and signatures."""
        self._begin(self.world)
        self.board.flash.fail(write, CLEAN)
        with contextlib.suppress(PowerCut):
            self.board.ask(pay(self.request).raw)
        self.board.bench.double.cut_power()
        return self._world()

    def _begin(self, world: World) -> None:
        self.board.put(world.image, world.eeprom)
        self.ledger = world.ledger.copy()
        self.board.power()
        self.board.ask(SELECT.raw)
        self.board.flash.fail(_NEVER, CLEAN)
        self.board.bench.bus.cut(_NEVER, "")

    def places(self, name: str) -> tuple[int, int]:
        """How many writes of the flash, and how many transactions on the bus."""
        world, act = self.acts[name]
        self._begin(world)
        bus = self.board.bench.bus
        self._increment = -_WINDOW - 1  # which transaction begins one

        def begins() -> None:
            self._increment = bus.transactions

        self.board.bench.double.before[_INCREMENT] = begins
        self.board.ask(act.raw)
        return self.board.flash.writes, bus.transactions

    def plan(self, name: str) -> list[tuple[str, int, int, int]]:
        """(mode, write or 0, transaction or 0, steps) of every cut.

        How many steps an increment takes matters while the chip is at it.
        """
        writes, transactions = self.places(name)
        cases = []
        for mode in _MODES:
            cases += _TIMES[mode] * [(mode, at, 0, 1) for at in range(1, writes + 1)]
        for at in range(1, transactions + 1):
            counting = 0 <= at - self._increment <= _WINDOW
            for moment in (BEFORE, AFTER):
                cases += [(moment, 0, at, steps) for steps in (STEPS if counting else (1,))]
        return cases + [(TWICE + mode, write, bus, steps) for mode, write, bus, steps in cases]

    def run(self, name: str, case: tuple[str, int, int, int], result: Result) -> None:
        """One case, counted."""
        mode = case[0]
        try:
            outcome = self._cut(name, case)
            if name == "chip_pay":
                result.count(name, BACK, self._put_intent_back())
        except (Violation, AssertionError, OSError, ValueError) as error:
            outcome = "raised" if not isinstance(error, Violation) else error.kind
            result.name(VIOLATED, f"{name} {case}: {type(error).__name__}: {error}")
        result.count(name, mode, outcome)

    def _cut(self, name: str, case: tuple[str, int, int, int]) -> str:
        mode, write, transaction, steps = case
        world, act = self.acts[name]
        self._begin(world)
        self._arm(mode.removeprefix(TWICE), write, transaction, steps)
        with contextlib.suppress(PowerCut):
            self.board.ask(act.raw)
        if mode.startswith(TWICE):
            self._cut_again(act, steps)
        self.board.power()
        outcome = self._check(name)
        self._check_goes_on()
        self._check_older(world)
        return outcome

    def _arm(self, mode: str, write: int, transaction: int, steps: int) -> None:
        self.board.bench.double.torn_steps = steps
        if write:
            self.board.flash.fail(write, mode)
        else:
            self.board.bench.bus.cut(transaction, mode)

    def _cut_again(self, act: Command, steps: int) -> None:
        """In the boot behind the first cut, or while the card is asked for the same again."""
        board = self.board
        board.bench.bus.cut(_NEVER, "")
        board.bench.double.cut_power()
        board.bench.boot()
        board.flash.fail(_NEVER, CLEAN)
        if random.getrandbits(1):
            mode = _MODES[random.randrange(len(_MODES))]
            self._arm(mode, random.randrange(1, 6), 0, steps)
        else:
            self._arm((BEFORE, AFTER)[random.getrandbits(1)], 0, random.randrange(1, 120), steps)
        try:
            board.boot()
            board.ask(SELECT.raw)
            board.ask(act.raw)
        except PowerCut:
            pass

    # -- what must hold ----------------------------------------------------------------------

    def _check(self, name: str) -> str:
        board = self.board
        if board.purse.damage:
            raise Violation(board.purse.damage, board.what_is_wrong())
        board.ask(SELECT.raw)
        if name == "chip_acknowledge":
            waited = len(board.purse.journal.waiting)
            if board.ask(self.acts[name][1].raw) != status.OK.to_bytes(2, "big"):
                raise Violation("the acknowledgement is refused", board.what_is_wrong())
            outcome = "before" if waited else "after"
        else:
            known, word = board.whole(recover(self.request.payment_id))
            outcome = "after" if word == status.OK else "before"
            if word == status.NOT_FOUND and name == "chip_pay":
                known, word = board.whole(pay(self.request))
            if word != status.OK:
                raise Violation(f"it is answered {word:04x}", board.what_is_wrong())
            runs = self.ledger.take(known)
            assert sum(run.end - run.start for run in runs) == self.request.amount_tiyn
            if board.whole(recover(self.request.payment_id))[0] != known:
                raise Violation("another answer than before (I3)", "altered")
        self._check_balance()
        return outcome

    def _check_goes_on(self) -> None:
        self._take(pay(self.desk.request(7)))
        self._check_balance()
        assert len(self.board.purse.journal.waiting) < JOURNAL_CAPACITY

    def _check_balance(self) -> None:
        left = sum(self.board.purse.balance().values())
        if left != self.ledger.left:
            raise Violation(f"{left} tiyn are left, not {self.ledger.left} (I1, I2)")

    def _check_older(self, world: World) -> None:
        """I11: the flash of before the operation, under the chip as it now is."""
        board = self.board
        board.flash.fill(world.image)
        board.power()
        board.bench.double.executed.clear()
        selected, _ = board.whole(SELECT)
        word = board.whole(pay(self.desk.request(7)))[1]
        signed = _SIGN in board.bench.double.executed
        locked = selected[_LIFECYCLE_AT] == apdu.LIFECYCLE_SYNC_ONLY
        if not locked or word != status.CONDITIONS_NOT_MET or signed:
            raise Violation(f"an older flash went unnoticed, and was answered {word:04x}")

    def put_back_after(self, payments: int) -> str:
        """So many payments are made, and then the flash with the intent is put back."""
        self._begin(self.world)
        for _ in range(payments):
            self._take(pay(self.desk.request(1)))
        return self._put_intent_back()

    def _put_intent_back(self) -> str:
        """The same with a flash whose intent had not ended: told, and no fault (COUNTER_JUMP).

        Whether the chip counted for this intent, or for it and others, the card cannot know while
        it is within what one torn increment may add. It must know from there on.
        """
        board = self.board
        counted = board.element.counter() - self._intended
        board.flash.fill(self._intent_left)
        board.power()
        selected, _ = board.whole(SELECT)
        locked = selected[_LIFECYCLE_AT] == apdu.LIFECYCLE_SYNC_ONLY
        if not locked and counted > COUNTER_JUMP:
            raise Violation("an intent that was put back went unnoticed")
        return LOCKED if locked else UNNOTICED
