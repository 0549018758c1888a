# SPDX-License-Identifier: Apache-2.0
"""A purse of one page, written apart from the firmware: what a till may meet, good and bad.

It speaks the commands of protocol section 4 by the layouts of `firmware.wire` and keeps its
promises about committing and repeating. It can be torn at any command, and it can be told to lie.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from firmware.wire import apdu, status, tlv
from firmware.wire.acknowledgement import Acknowledgement
from firmware.wire.apdu import Command
from firmware.wire.certificate import CURRENCY_KZT, Certificate
from firmware.wire.journal import CHAIN_START, KIND_PAYMENT, JournalEntry, Statement
from firmware.wire.layout import SIGNATURE_SIZE
from firmware.wire.note import Note
from firmware.wire.policy import Policy
from firmware.wire.transfer import Transfer
from host_bridge.closing import Closing
from host_bridge.crypto.keys import SigningKey
from host_bridge.transport.base import LinkLost, LinkTimeout, Traffic

_OK = b"\x90\x00"
_PIECE = 256


class Refuse(Exception):
    """The card answers with a status word."""


class PaperCard(Closing):
    """One purse with its notes. `tear` and `lie` say how the next tap goes wrong.

    tear: (instruction, "before" | "after"): the link is lost there, once. lie: called with the
    honest answer to PAY or RECOVER, gives the bytes that are sent instead.
    """

    def __init__(self, certificate: Certificate, key: SigningKey, *, pin: str = "2580") -> None:
        self.certificate = certificate
        self.key = key
        self.pin = pin
        self.pinless_tiyn = 500_000
        self.known_banks: set[bytes] = set()
        self.notes: list[tuple[Note, SigningKey]] = []
        self.spent: dict[bytes, int] = {}
        self.answers: dict[bytes, bytes] = {}
        self.entries: list[JournalEntry] = []
        self.chain = CHAIN_START
        self.acknowledged = (0, CHAIN_START)
        self.policy_version = 1
        self.lifecycle = apdu.LIFECYCLE_ACTIVE
        self.tear: tuple[int, str] | None = None
        self.lie: Callable[[bytes], bytes] | None = None
        self.refuse_pay: int | None = None
        self.seen: list[int] = []
        self.traffic = Traffic()
        self._power_on()

    @property
    def debits(self) -> int:
        """How many payments it has made."""
        return len(self.answers)

    @property
    def balance_tiyn(self) -> int:
        """What it still holds."""
        return sum(note.value - self.spent.get(note.record_id, 0) for note, _ in self.notes)

    def transmit(self, command: bytes) -> bytes:
        """One APDU, unless this is where the tap is torn."""
        parsed = Command.parse(command)
        self.seen.append(parsed.ins)
        tear = self.tear
        if tear == (parsed.ins, "before"):
            self._lose()
            raise LinkLost("The card was taken away.")
        try:
            answer = self._answer(parsed)
        except Refuse as refused:
            answer = int(refused.args[0]).to_bytes(2, "big")
        if tear == (parsed.ins, "after"):
            self._lose()
            raise LinkTimeout("The card did not answer in time.")
        self.traffic.count(command, answer, 1.0)
        return answer

    def reset(self) -> str:
        """A new tap."""
        self._power_on()
        return "paper"

    def close(self) -> None:
        """The card leaves the field."""
        self._power_on()

    def _power_on(self) -> None:
        self._selected = False
        self._pin_shown = False
        self._left = b""

    def _lose(self) -> None:
        self.tear = None
        self._power_on()

    def _answer(self, command: Command) -> bytes:
        if command.ins == apdu.INS_SELECT:
            self._power_on()
            self._selected = command.data == apdu.AID
            return self._select() + _OK
        if command.ins == apdu.INS_GET_RESPONSE:
            return self._more()
        if not self._selected:
            raise Refuse(status.CONDITIONS_NOT_MET)
        handlers = {
            apdu.INS_VERIFY: self._verify,
            apdu.INS_PRESENT_CERTIFICATE: self._present,
            apdu.INS_PAY: self._pay,
            apdu.INS_RECOVER: self._recover,
            apdu.INS_EXPORT: self._export,
            apdu.INS_ACKNOWLEDGE: self._acknowledge,
            apdu.INS_SET_POLICY: self._set_policy,
        }
        if command.ins not in handlers:
            raise Refuse(status.UNKNOWN_INSTRUCTION)
        self._left = handlers[command.ins](command)
        return self._more()

    def _more(self) -> bytes:
        """The next piece of a long answer, with 61xx where more follows."""
        piece, self._left = self._left[:_PIECE], self._left[_PIECE:]
        rest = min(len(self._left), 0xFF)
        return piece + (bytes([0x61, rest]) if rest else _OK)

    def _select(self) -> bytes:
        fields = {
            "protocol": 1,
            "tier": self.certificate.tier,
            "currency": CURRENCY_KZT,
            "policy_version": self.policy_version,
            "lifecycle": self.lifecycle,
            "flags": 0,
        }
        inner = tlv.encode(tlv.FCI_PROPRIETARY, apdu.SELECT_ANSWER.pack(fields))
        return tlv.encode(tlv.FCI_TEMPLATE, tlv.encode(tlv.DF_NAME, apdu.AID) + inner)

    def _verify(self, command: Command) -> bytes:
        if command.data.decode() != self.pin:
            raise Refuse(status.TRIES_LEFT | 2)
        self._pin_shown = True
        return b""

    def _present(self, command: Command) -> bytes:
        self.known_banks.add(Certificate.parse(command.data).key_id)
        return b""

    def _pay(self, command: Command) -> bytes:
        asked = apdu.PAY_DATA.unpack(command.data)
        payee = Certificate.parse(asked["payee"])  # type: ignore[arg-type]
        amount = int(asked["amount"])  # type: ignore[call-overload]
        payment_id = bytes(asked["payment_id"])  # type: ignore[call-overload]
        if payee.issuer not in self.known_banks:
            raise Refuse(status.NOT_FOUND)
        if payment_id not in self.answers:
            if self.refuse_pay is not None:
                raise Refuse(self.refuse_pay)
            if amount > self.pinless_tiyn and not self._pin_shown:
                raise Refuse(status.NOT_AUTHENTICATED)
            if amount > self.balance_tiyn:
                raise Refuse(status.INSUFFICIENT_FUNDS)
            self.answers[payment_id] = self._spend(amount, asked, payee)
        return self._told(self.answers[payment_id])

    def _recover(self, command: Command) -> bytes:
        if command.data not in self.answers:
            raise Refuse(status.NOT_FOUND)
        return self._told(self.answers[command.data])

    def _told(self, honest: bytes) -> bytes:
        return self.lie(honest) if self.lie else honest

    def _spend(self, amount: int, asked: dict[str, object], payee: Certificate) -> bytes:
        tokens, transfers = b"", []
        for note, key in self.notes:
            start = self.spent.get(note.record_id, 0)
            end = min(note.value, start + amount)
            if end == start:
                continue
            self.spent[note.record_id] = end
            amount -= end - start
            transfer = sign_transfer(
                key,
                parent=note.record_id,
                start=start,
                end=end,
                payee=payee.record_id,
                payment_id=asked["payment_id"],
                time=asked["time"],
            )
            transfers.append(transfer)
            tokens += note.raw + transfer.raw
        self._write_journal(asked, payee, transfers)
        return tokens

    def _write_journal(
        self, asked: dict[str, object], payee: Certificate, transfers: list[Transfer]
    ) -> None:
        fields = {
            "kind": KIND_PAYMENT,
            "counter": self.acknowledged[0] + len(self.entries) + 1,
            "time": asked["time"],
            "amount": asked["amount"],
            "purpose": 0,
            "cvm": 0,
            "payment_id": asked["payment_id"],
            "payee": payee.record_id,
        }
        bodies = [transfer.raw[:-SIGNATURE_SIZE] for transfer in transfers]
        entry = JournalEntry.build(fields, bodies)
        entry.signatures = [transfer.signature for transfer in transfers]
        self.entries.append(entry)
        self.chain = entry.chained(self.chain)

    def _export(self, command: Command) -> bytes:
        if not self._pin_shown:
            raise Refuse(status.NOT_AUTHENTICATED)
        if command.p1 == apdu.P1_EXPORT_CERTIFICATE:
            return self.certificate.raw
        if command.p1 == apdu.P1_EXPORT_ENTRY:
            return self.entries[command.p2].raw
        counter, anchor = self.acknowledged
        statement = Statement.issue(
            self.key.sign,
            entries=len(self.entries),
            serial=self.certificate.serial,
            challenge=command.data,
            counter=counter + len(self.entries),
            acknowledged=counter,
            anchor=anchor,
            head=self.chain,
            policy_version=self.policy_version,
            denylist_epoch=0,
        )
        return bytes(statement.raw)

    def _acknowledge(self, command: Command) -> bytes:
        word = Acknowledgement.parse(command.data)
        done = word.counter - self.acknowledged[0]
        if done > len(self.entries):
            raise Refuse(status.CONDITIONS_NOT_MET)
        if done <= 0:
            return b""
        del self.entries[:done]
        self.acknowledged = (word.counter, word.chain)
        return b""

    def _set_policy(self, command: Command) -> bytes:
        policy = Policy.parse(command.data)
        if policy.policy_version <= self.policy_version:
            raise Refuse(status.CONDITIONS_NOT_MET)
        self.policy_version = policy.policy_version
        return b""


def sign_transfer(key: SigningKey, **fields: object) -> Transfer:
    """A transfer of these fields; what is not given is ordinary."""
    values: dict[str, object] = {
        "seq": 0,
        "cvm": 0,
        "flags": 0,
        "sealed": secrets.token_bytes(16),
    }
    values.update(fields)
    transfer: Transfer = Transfer.issue(key.sign, **values)
    return transfer
