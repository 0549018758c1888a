# SPDX-License-Identifier: Apache-2.0
"""A card that pays no more, written apart from the firmware: it gives what it still can read.

It speaks SELECT, VERIFY and EXPORT by the layouts of `firmware.wire`. What is broken on it is
said when it is made; it can also be taken away after so many commands.
"""

from __future__ import annotations

from firmware.wire import apdu, tlv
from firmware.wire.apdu import Command
from firmware.wire.bundle import PurseExport
from host_bridge.closing import Closing
from host_bridge.transport.base import LinkLost, Traffic

_PIECE = 256


class BrokenCard(Closing):
    """records: (kind, payload) of its journal's log, None where one cannot be read.

    export: certificate, statement and entries; `without` names what of it cannot be read:
    "certificate", "statement", "entry.0". pin: None if the PIN is lost with the rest.
    """

    def __init__(
        self,
        records: list[tuple[int, bytes] | None],
        export: PurseExport,
        *,
        without: tuple[str, ...] = (),
        pin: str | None = "2580",
        lifecycle: int = apdu.LIFECYCLE_DAMAGED,
    ) -> None:
        self.records = records
        self.export = export
        self.without = without
        self.pin = pin
        self.lifecycle = lifecycle
        self.commands_left: int | None = None
        self.traffic = Traffic()
        self.pin_shown = False
        self._rest = b""

    def transmit(self, command: bytes) -> bytes:
        """One APDU."""
        if self.commands_left is not None:
            self.commands_left -= 1
            if self.commands_left < 0:
                raise LinkLost("The card was taken away.")
        parsed = Command.parse(command)
        if parsed.ins == apdu.INS_GET_RESPONSE:
            return self._next()
        data, word = self._answer(parsed)
        if word != 0x9000:
            return word.to_bytes(2, "big")
        self._rest = data
        return self._next()

    def reset(self) -> str:
        """A new tap."""
        self.pin_shown = False
        return "broken"

    def close(self) -> None:
        """The card leaves the field."""

    def _next(self) -> bytes:
        piece, self._rest = self._rest[:_PIECE], self._rest[_PIECE:]
        return piece + (bytes([0x61, min(len(self._rest), 255)]) if self._rest else b"\x90\x00")

    def _answer(self, command: Command) -> tuple[bytes, int]:
        if command.ins == apdu.INS_SELECT:
            self.pin_shown = False
            return self._select(), 0x9000
        if command.ins == apdu.INS_VERIFY:
            return self._verify(command)
        if command.ins != apdu.INS_EXPORT:
            return b"", 0x6985
        if self.pin is not None and not self.pin_shown:
            return b"", 0x6982
        if command.p1 == 3:
            return self._stored(int.from_bytes(command.data, "big"))
        return self._exported(command)

    def _select(self) -> bytes:
        state = {"protocol": 1, "tier": 0, "currency": 398, "policy_version": 1, "flags": 0}
        inner = apdu.SELECT_ANSWER.pack(state | {"lifecycle": self.lifecycle})
        name = tlv.encode(tlv.DF_NAME, apdu.AID)
        return tlv.encode(tlv.FCI_TEMPLATE, name + tlv.encode(tlv.FCI_PROPRIETARY, inner))

    def _verify(self, command: Command) -> tuple[bytes, int]:
        if self.pin is None:
            return b"", 0x6581
        if command.data.decode() != self.pin:
            return b"", 0x63C2
        self.pin_shown = True
        return b"", 0x9000

    def _stored(self, index: int) -> tuple[bytes, int]:
        if index >= len(self.records):
            return b"", 0x6A88
        record = self.records[index]
        if record is None:
            return b"", 0x6581
        return bytes([record[0]]) + record[1], 0x9000

    def _exported(self, command: Command) -> tuple[bytes, int]:
        entries = self.export.entries
        if command.p1 == 1 and command.p2 >= len(entries):
            return b"", 0x6A88
        name = ("statement", f"entry.{command.p2}", "certificate")[command.p1]
        if name in self.without:
            return b"", 0x6581
        if command.p1 == 1:
            return entries[command.p2].raw, 0x9000
        given = self.export.statement if command.p1 == 0 else self.export.certificate
        return given.raw, 0x9000
