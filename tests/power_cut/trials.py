# SPDX-License-Identifier: Apache-2.0
"""Cuts within one operation, and what must hold after each. Runs on MicroPython (unix).

The rules (reliability I1, I2, I3, I9): the board boots; what it holds is the state before the
operation or the one after; no token is signed that is not debited; the same command again gives
the very answer of a card that was never cut; and so does everything that follows.
"""

import random

from board import ALTERED, Board, Violation
from channel import Channel
from nor_flash import BLOCK_SIZE, flip_bit

from firmware.purse.ports import StorageDamaged
from firmware.wire import apdu, status

# What became of the write at the cut.
CLEAN = "clean"  # nothing of it
TORN = "torn"  # a part of it
FLIP = "flip"  # all of it but one bit
ROT = "rot"  # all of it, and one bit turned over in a block that the operation wrote
_THOROUGH = 5  # after one of so many cuts, and after each clean one, life goes on for a while
_PIN_TRIES = (status.TRIES_LEFT | 3, status.TRIES_LEFT | 2)
_FROM_BOOT = ("boot", "personalise")  # kinds of operation that begin with power coming back


class Trial:
    """One operation on one image of the flash, run once without a cut.

    `log` are its writes, with None for each signature of a token key; `cuts` are the places in
    it where the power may go.
    """

    def __init__(self, board: Board, operation: dict, personalisation: dict, image: bytes) -> None:
        self._board = board
        self._operation = operation
        self._personalisation = personalisation
        self._kind = operation["kind"]
        self._start = image
        self.reason = ""  # why the newest cut ended as it did, where a flipped bit is to blame
        self._boot()
        if self._kind not in _FROM_BOOT:
            board.play(operation["prelude"])
            self._start = bytes(board.memory)
            board.flash.log.clear()
        self.before = board.facts()
        if self._kind == "personalise":
            self._personalise()
        elif self._kind != "boot":
            board.play(operation["act"])
        self.after = board.facts()
        self.log = list(board.flash.log)
        self.cuts = [at for at in range(len(self.log)) if self.log[at] is not None]
        self._check_after(False, True)  # a power cut right behind it is one, too

    def personalised(self) -> None:
        """Leaves the board on and personalised, and does nothing else."""
        self._board.memory[:] = self._start
        self._boot()
        self._personalise()

    def flash_at(self, at: int) -> bytes:
        """The flash when the power went before the write `at`."""
        self._cut(self._start, self.log, at, CLEAN)
        return bytes(self._board.memory)

    def state_at(self, at: int) -> "tuple[object, ...]":
        """What the card that lost its power before the write `at` holds when it is booted."""
        self._cut(self._start, self.log, at, CLEAN)
        self._boot()
        return self._board.facts()

    def cut(self, mode: str, at: int, seed: int) -> str:
        """Cuts once. Returns what the card held, or raises Violation."""
        random.seed(seed)
        self._cut(self._start, self.log, at, mode)
        return self._judged(mode, None in self.log[:at])

    def cut_twice(self, mode: str, at: int, seed: int) -> str:
        """Cuts, and cuts again somewhere while the card boots and is asked for the same again."""
        random.seed(seed)
        self._cut(self._start, self.log, at, CLEAN if random.getrandbits(1) else TORN)
        start = bytes(self._board.memory)
        self._boot()
        self._board.resume(self._operation["resume"])
        self._board.play(self._operation["act"])
        log = list(self._board.flash.log)
        cuts = [place for place in range(len(log)) if log[place] is not None]
        signed = None in self.log[:at]
        if cuts:
            second = cuts[random.randrange(len(cuts))]
            self._cut(start, log, second, mode)
            signed = signed or None in log[:second]
        return self._judged(mode, signed)

    # -- what a cut leaves, and what is made of it -------------------------------------------

    def _cut(self, start: bytes, log: list, at: int, mode: str) -> None:
        memory = self._board.memory
        memory[:] = start
        for write in log[:at]:
            if write is not None:
                write.apply(memory)
        if mode == ROT:
            self._rot([write for write in log[: at + 1] if write is not None])
        elif at == len(log) or mode == CLEAN:
            return
        elif mode == TORN:
            log[at].tear(memory, random)
        else:
            log[at].apply(memory)
            flip_bit(memory, log[at].start, log[at].size, random)

    def _rot(self, written: list) -> None:
        """Turns over one bit of what was written or else of its block, the newest write done."""
        written[-1].apply(self._board.memory)
        write = written[random.randrange(len(written))]
        start, size = write.start, write.size
        if random.getrandbits(1):
            start, size = start - start % BLOCK_SIZE, BLOCK_SIZE
        flip_bit(self._board.memory, start, size, random)

    def _judged(self, mode: str, signed: bool) -> str:
        """What was being written must not matter; what had been written long ago may be lost."""
        thorough = mode == CLEAN or random.randrange(_THOROUGH) == 0
        if mode != ROT:
            return self._check_after(signed, thorough)
        try:
            return self._check_after(signed, thorough)
        except StorageDamaged:
            return "refused"
        except (OSError, ValueError):
            return "no boot"
        except Violation as violation:
            if violation.kind == ALTERED:
                raise
            self.reason = str(violation)
            return violation.kind

    def _check_after(self, signed: bool, thorough: bool) -> str:
        self._boot()
        found = self._board.facts()
        if found not in (self.before, self.after):
            text = f"the state is neither before nor after: {_difference(self, found)}"
            raise Violation(text, self._board.what_is_wrong())
        if signed and found != self.after:
            raise Violation("a token was signed and is not debited")
        if self._kind == "personalise":
            if found == self.before:
                self._personalise()
            self._board.crypto.drawn = 1
        elif self._kind == "pin":
            self._check_pin()
        else:
            self._check_again(found)
        if thorough:
            self._board.play(self._operation["then"])
        if self.before == self.after:
            return "same"
        return "before" if found == self.before else "after"

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
            raise Violation("the same command once more led to another state")
        board.play(recover)

    def _check_pin(self) -> None:
        """Either the old PIN or the new one is right, and at most one try is gone."""
        board, operation = self._board, self._operation
        board.resume(operation["resume"])
        tries = board.word(operation["tries"])
        if tries not in _PIN_TRIES:
            raise Violation(f"the PIN's tries are {tries:04x}")
        if [board.word(pin) for pin in operation["pins"]].count(status.OK) != 1:
            raise Violation("not just one PIN is right")
        if board.word(operation["unblock"]) != status.OK:
            raise Violation("the PUK is not right")

    def _boot(self) -> None:
        self._board.crypto.drawn = self._operation["drawn"]
        self._board.boot()

    def _personalise(self) -> None:
        """From SELECT to ACTIVATE, wherever the card stopped before."""
        process = self._board.application.process
        process(apdu.Command(0, apdu.INS_SELECT, apdu.P1_SELECT_BY_NAME, 0, apdu.AID).raw)
        channel = Channel(process, self._personalisation["channel_keys"])
        words = [channel.send(apdu.INS_GENERATE_KEY, apdu.P1_IDENTITY_KEY)[1]]
        for item, data in self._personalisation["items"]:
            words.append(channel.send(apdu.INS_STORE_DATA, item, data)[1])
        words.append(channel.send(apdu.INS_STORE_DATA, apdu.ITEM_ACTIVATE)[1])
        if words.count(status.OK) != len(words):
            raise Violation(f"it cannot be personalised: {words}")


def _difference(trial: Trial, found: "tuple[object, ...]") -> str:
    pairs = [(trial.before, "before"), (trial.after, "after")]
    texts = []
    for state, name in pairs:
        where = [at for at in range(min(len(state), len(found))) if state[at] != found[at]]
        values = [(state[at], found[at]) for at in where[:2]]
        texts.append(f"not {name} in {values}")
    return "; ".join(texts)
