# SPDX-License-Identifier: Apache-2.0
"""Cuts within one operation, and what must hold after each. Runs on MicroPython and on CPython.

The rules (reliability I1, I2, I3, I9, I10, I11): the board boots; what it holds is the state
before the operation or the one after, and the one after once it has answered or signed; no token
key signs anything that a card which was never cut would not sign; the same command again gives
the very answer of such a card; and so does everything that follows.
"""

import random

from firmware.wire import apdu, status
from tests.power_cut.board import (
    ANSWERED,
    LOCKED,
    NOTICED,
    Board,
    Violation,
)
from tests.power_cut.channel import Channel
from tests.power_cut.nor_flash import SECTOR_SIZE, Write

# What became of the write at the cut.
CLEAN = "clean"  # nothing of it
TORN = "torn"  # the first part of it
WEAK = "weak"  # some of its bits, anywhere in it
FLIP = "flip"  # all of it, and one bit of its sector turned over
ROT = "rot"  # all of it, and one bit turned over in a sector that the operation wrote
TWICE = "twice "  # before a mode: the second of two cuts
BACK = "back"  # no cut: an older flash is put back, while the element has gone on
OTHER = "back other"  # the same, and what the element counted was another payment

_THOROUGH = 12  # after one of so many cuts, and after each clean one, life goes on for a while
_FROM_BOOT = ("boot", "first", "personalise")  # kinds that begin with power coming back
_BALANCE = 3  # where it is among the facts
_LIFECYCLE = -4  # and in the answer to SELECT: the flags and the status word follow


class Trial:
    """One operation on one image of the flash, run once without a cut.

    `log` are its writes, and between them ANSWERED and the digests that token keys signed;
    `cuts` are the places in it where the power may go.
    """

    def __init__(self, board: Board, operation: dict, personalisation: dict, image: bytes) -> None:
        self._board = board
        self._operation = operation
        self._personalisation = personalisation
        self._kind = operation["kind"]
        self._start = image
        self._digests = set(operation["digests"])
        self.reason = ""  # why the newest cut ended as it did, where the purse noticed something
        self.flipped = ""  # the partition in which it turned a bit over
        self._power_on(image)
        if self._kind not in _FROM_BOOT:
            board.play(operation["prelude"])
            self._start = bytes(board.flash.memory)
            board.flash.log.clear()
        self.before = board.facts()
        if self._kind == "personalise":
            self._personalise()
        elif self._kind not in _FROM_BOOT:
            board.play(operation["act"])
        self.after = board.facts()
        self.log = list(board.flash.log)
        self.cuts = [at for at in range(len(self.log)) if isinstance(self.log[at], Write)]
        self._end = bytes(board.flash.memory)  # the flash, when it is over
        self._check_after(self._is_durable(len(self.log)), True)  # power goes right behind it
        self._later = bytes(board.flash.memory)  # when life has gone on for a while

    def _power_on(self, image: bytes) -> None:
        self._board.crypto.begin(0)
        self._board.flash.fill(image)
        self._boot()

    def personalised(self) -> None:
        """Leaves the board on and personalised, and does nothing else."""
        self._power_on(self._start)
        self._personalise()

    def flash_at(self, at: int) -> bytes:
        """The flash when the power went before the write `at`."""
        self._cut(self._start, self.log, at, CLEAN)
        return bytes(self._board.flash.memory)

    def state_at(self, at: int) -> "tuple[object, ...]":
        """What the card that lost its power before the write `at` holds when it is booted."""
        self._cut(self._start, self.log, at, CLEAN)
        self._boot()
        return self._board.facts()

    def cut(self, mode: str, at: int, seed: int) -> str:
        """Does one case. Returns what the card held, or raises Violation."""
        random.seed(seed)
        self._board.crypto.begin(seed)
        self.flipped = ""
        if mode == BACK:
            return self._put_back(at)
        if mode == OTHER:
            return self._put_back_under_another(at)
        try:
            if mode.startswith(TWICE):
                return self._cut_twice(mode[len(TWICE) :], at)
            self._cut(self._start, self.log, at, mode)
            written = self.log[: at + (mode in (FLIP, ROT))]
            return self._check_after(self._is_durable(len(written)), _is_thorough(mode))
        except Violation as violation:
            if violation.kind not in NOTICED:
                raise
            self.reason = str(violation)
            return violation.kind

    def _is_durable(self, at: int) -> bool:
        """Whether somebody was told, or something was signed, before this place."""
        if self._kind in _FROM_BOOT:
            return False
        return any(not isinstance(entry, Write) for entry in self.log[:at])

    def _cut_twice(self, mode: str, at: int) -> str:
        """Cuts, and cuts again somewhere while the card boots and is asked for the same again."""
        flash = self._board.flash
        self._cut(self._start, self.log, at, (CLEAN, TORN, WEAK)[random.randrange(3)])
        start = bytes(flash.memory)
        self._boot()
        self._board.resume(self._operation["resume"])
        self._board.play(self._operation["act"])
        log = list(flash.log)
        # SELECT and the PIN are answered in front of it, and tell nothing of it.
        answers = len(self._operation["resume"])
        cuts = [place for place in range(len(log)) if isinstance(log[place], Write)]
        durable = self._is_durable(at)
        if cuts:
            second = cuts[random.randrange(len(cuts))]
            self._cut(start, log, second, mode)
            told = [entry for entry in log[:second] if not isinstance(entry, Write)]
            durable = durable or len(told) > answers or any(e != ANSWERED for e in told)
        return self._check_after(durable, _is_thorough(mode))

    # -- what a cut leaves -------------------------------------------------------------------

    def _cut(self, start: bytes, log: list, at: int, mode: str) -> None:
        flash = self._board.flash
        flash.fill(start)
        for entry in log[:at]:
            if isinstance(entry, Write):
                entry.apply(flash)
        if mode == ROT:
            self._rot([entry for entry in log[: at + 1] if isinstance(entry, Write)])
        elif at == len(log) or mode == CLEAN:
            return
        elif mode == TORN:
            log[at].tear(flash, random)
        elif mode == WEAK:
            log[at].weaken(flash, random)
        else:
            log[at].apply(flash)
            self._flip(log[at])

    def _rot(self, written: list) -> None:
        """Turns over one bit of any sector that was written, the newest write done."""
        written[-1].apply(self._board.flash)
        self._flip(written[random.randrange(len(written))])

    def _flip(self, write: Write) -> None:
        """Turns over one bit of its sector; every other time, of the very bytes it wrote."""
        start, size = write.sector, SECTOR_SIZE
        if random.getrandbits(1) and not write.is_erase:
            start, size = write.start, len(write.data)
        self._board.flash.flip_bit(start, size, random)
        self.flipped = write.where

    # -- what is made of it ------------------------------------------------------------------

    def _check_after(self, durable: bool, thorough: bool) -> str:
        board, operation = self._board, self._operation
        self._boot()
        found = board.facts()
        if found not in (self.before, self.after):
            text = f"the state is neither before nor after: {_difference(self, found)}"
            raise Violation(text, board.what_is_wrong())
        if durable and found != self.after:
            raise Violation("it had signed or answered, and nothing has come of it")
        self._check_balance(found)
        if self._kind == "first" and thorough:
            self._personalise()
        elif self._kind == "personalise":
            if found == self.before:
                self._personalise()
            board.crypto.drawn = 1
        elif self._kind == "pin":
            self._check_pin(durable)
        elif self._kind != "first":
            self._check_again(found)
        if thorough:
            board.play(operation["then"])
        self._check_signed()
        if self.before == self.after:
            return "same"
        return "before" if found == self.before else "after"

    def _check_balance(self, found: "tuple[object, ...]") -> None:
        """I1, I2: the card has what was loaded, less what it signed away, by another's account."""
        if len(found) > _BALANCE:
            left = sum([amount for _, amount in found[_BALANCE]])
            if left != self._operation["left"][found == self.after]:
                raise Violation(f"{left} tiyn are left, and should not be")

    def _check_signed(self) -> None:
        """I1: no key has signed what a card that was never cut would not."""
        if not self._board.crypto.signed <= self._digests:
            raise Violation("a token key signed units that belong to other payments", "double")

    def _check_again(self, found: "tuple[object, ...]") -> None:
        """The same command gives the same answer and is carried out once (I3)."""
        board, operation = self._board, self._operation
        board.resume(operation["resume"])
        recover = operation.get("recover", [])
        if self._kind == "pay" and found == self.before:
            if board.word(recover[0][0]) != status.NOT_FOUND:
                raise Violation("RECOVER knows a payment that the purse does not have")
        elif self._kind == "pay":
            board.play(recover)
        board.play(operation["act"])
        if self._kind != "boot" and board.facts() != self.after:
            raise Violation(
                "the same command once more led to another state", board.what_is_wrong()
            )
        board.play(recover)

    def _check_pin(self, durable: bool) -> None:
        """Either the old PIN or the new one is right, the new one once it was answered.

        At most one try is gone, and none once the right PIN was answered.
        """
        board, operation = self._board, self._operation
        board.resume(operation["resume"])
        worst = status.TRIES_LEFT | 2
        tries = board.word(operation["tries"])
        is_right = operation["act"][-1][1][-2:] == status.OK.to_bytes(2, "big")
        if tries not in (worst, status.TRIES_LEFT | 3) or (
            durable and is_right and tries == worst
        ):
            raise Violation(f"the PIN's tries are {tries:04x}")
        old, new = [board.word(pin) == status.OK for pin in operation["pins"]]
        if operation["pins"][0] != operation["pins"][1] and old == new:
            raise Violation("not just one PIN is right")
        if not new and (durable or not old):
            raise Violation("the PIN is not right")
        if board.word(operation["unblock"]) != status.OK:
            raise Violation("the PUK is not right")

    # -- an older flash is put back (I11) ----------------------------------------------------

    def _put_back(self, at: int) -> str:
        """The flash as it was within the operation; the counter as it is now, or was later."""
        newer = (self._end, self._later)[random.randrange(2)]
        return self._judge_old(at, newer)

    def _put_back_under_another(self, at: int) -> str:
        """A cut, another payment, and the flash as that cut had left it."""
        board = self._board
        self._cut(self._start, self.log, at, CLEAN)
        self._boot()
        board.resume(self._operation["resume"])
        before = board.facts() == self.before
        pays = [pair for pair in self._operation["then"] if pair[0][1] == apdu.INS_PAY]
        board.ask(pays[0][0])
        if not before or not board.crypto.signed:
            return "same"  # the payment had been made, and this one is another behind it
        outcome = self._judge_old(at, bytes(board.flash.memory))
        if self._board.crypto.signed & set(self._operation["made"]):
            raise Violation("the units of one payment were signed for another", "double")
        if outcome != LOCKED:
            raise Violation("a payment took the number of another one")
        return outcome

    def _judge_old(self, at: int, newer: bytes) -> str:
        """Puts the flash of a place under a newer counter: noticed, or no harm is done."""
        board = self._board
        self._cut(self._start, self.log, at, CLEAN)
        board.flash.put_back(newer, ("counter",))
        self._boot()
        if board.purse.damage:
            raise Violation("an older flash: " + board.purse.damage)
        found = board.facts()
        if found == self.after and newer is self._end:
            return "same"  # the payment that took the counter is in it, or is completed by it
        selected = board.ask(self._operation["resume"][0][0])
        word = board.word(self._operation["act"][0][0])
        if selected[_LIFECYCLE] != apdu.LIFECYCLE_SYNC_ONLY or word == status.OK:
            text = f"an older flash went unnoticed, and was answered {word:04x}"
            raise Violation(text)
        return LOCKED

    def _boot(self) -> None:
        self._board.crypto.drawn = self._operation["drawn"]
        self._board.boot()

    def _personalise(self) -> None:
        """From SELECT to ACTIVATE, wherever the card stopped before."""
        ask = self._board.ask
        ask(apdu.Command(0, apdu.INS_SELECT, apdu.P1_SELECT_BY_NAME, 0, apdu.AID).raw)
        channel = Channel(ask, self._personalisation["channel_keys"])
        words = [channel.send(apdu.INS_GENERATE_KEY, apdu.P1_IDENTITY_KEY)[1]]
        for item, data in self._personalisation["items"]:
            words.append(channel.send(apdu.INS_STORE_DATA, item, data)[1])
        words.append(channel.send(apdu.INS_STORE_DATA, apdu.ITEM_ACTIVATE)[1])
        if words.count(status.OK) != len(words):
            raise Violation(f"it cannot be personalised: {words}")


def _is_thorough(mode: str) -> bool:
    return mode == CLEAN or random.randrange(_THOROUGH) == 0


def _difference(trial: Trial, found: "tuple[object, ...]") -> str:
    if len(found) == 1:
        return str(found[0])
    pairs = [(trial.before, "before"), (trial.after, "after")]
    texts = []
    for state, name in pairs:
        where = [at for at in range(min(len(state), len(found))) if state[at] != found[at]]
        values = [(state[at], found[at]) for at in where[:2]]
        texts.append(f"not {name} in {values}")
    return "; ".join(texts)
