# SPDX-License-Identifier: Apache-2.0
"""Syncing a card at the till: its journal to the bank, the bank's word back (protocol section 5).

Without a line the journal waits in the outbox, and the acknowledgement, once the till has it,
waits for the card. The till knows a card only at a sync, when its holder has shown the PIN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.sqlite import insert

from firmware.wire.acknowledgement import Acknowledgement
from firmware.wire.bundle import ITEM_EXPORT, PurseExport
from firmware.wire.limits import CHALLENGE_SIZE
from firmware.wire.policy import Policy
from host_bridge.session.exchange import CardError, CardRefused
from host_bridge.session.purse import PurseSession
from host_bridge.sync.outbox import Item, Outbox, is_whole
from host_bridge.sync.port import BankPort, BankRefused, BankUnreachable, PurseSync
from host_bridge.transport.base import TransportError
from pos_terminal.database import Database
from pos_terminal.errors import TillError
from pos_terminal.payment import OpenCard, sentence
from pos_terminal.schema import carried


@dataclass(frozen=True)
class CardSync:
    """What came of syncing a card.

    acknowledged: the card has the bank's word on its whole journal. queued: the journal waits
    in the outbox, sync the card again when the till has had a line.
    """

    serial: bytes
    entries: int
    acknowledged: bool
    policy_version: int | None  # of the policy that the card took, if it took one
    queued: bool


class CardDesk:
    """Where cards are synced. random(n) gives n bytes."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        clock: Callable[[], int],
        random: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock
        self._random = random

    def sync(self, open_card: OpenCard, pin: str, port: BankPort | None) -> CardSync:
        """Syncs one card over `port`, or without one. Raises TillError; nothing is lost by it."""
        try:
            with open_card() as transport:
                session = PurseSession(transport)
                session.select()
                session.verify_pin(pin)
                return self._sync(session, port)
        except (CardError, TransportError, BankRefused) as error:
            raise TillError(sentence(error)) from None

    def keep(self, connection: Connection, sync: PurseSync) -> None:
        """Writes down what is to be carried to a card. An older word replaces no newer one."""
        acknowledgement = sync.acknowledgement
        values = {
            "serial": acknowledgement.serial,
            "acknowledgement": acknowledgement.raw,
            "policy": sync.policy.raw if sync.policy else None,
        }
        older = self._read(connection, acknowledgement.serial)
        if older is None or older.acknowledgement.counter <= acknowledgement.counter:
            connection.execute(
                insert(carried)
                .values(values)
                .on_conflict_do_update(index_elements=["serial"], set_=values)
            )

    def _sync(self, session: PurseSession, port: BankPort | None) -> CardSync:
        serial = session.certificate().serial
        policy_version = self._hand_over(session, serial, must_fit=False)
        export, word = self._exchange(session, port)
        if word is None:
            key = export.statement.serial + export.statement.head
            item = Item(0, ITEM_EXPORT, key, export.raw)
            with self._database.transaction() as connection:
                self._outbox.put(connection, item, self._clock())
        else:
            with self._database.transaction() as connection:
                self.keep(connection, word)
            policy_version = self._hand_over(session, serial, must_fit=True) or policy_version
        whole = word is not None and is_whole(word, export)
        return CardSync(serial, len(export.entries), whole, policy_version, word is None)

    def _exchange(
        self, session: PurseSession, port: BankPort | None
    ) -> tuple[PurseExport, PurseSync | None]:
        """The card's export, and the bank's word on it where there is a line."""
        if port is not None:
            try:
                export = session.export(port.challenge())
            except BankUnreachable:
                port = None
            else:
                try:
                    return export, port.upload_export(export)
                except BankUnreachable:
                    return export, None
        return session.export(self._random(CHALLENGE_SIZE)), None

    def _hand_over(self, session: PurseSession, serial: bytes, *, must_fit: bool) -> int | None:
        """Gives the card what is carried for it; returns the version of a policy that it took.

        It is carried until the card has answered: a card that leaves too early gets it at its
        next sync. Word of an earlier sync may be stale by now, so the card may refuse that.
        """
        with self._database.transaction() as connection:
            word = self._read(connection, serial)
        if word is None:
            return None
        version = None
        try:
            session.acknowledge(word.acknowledgement)
            if word.policy is not None:
                session.set_policy(word.policy)
                version = word.policy.policy_version
        except CardRefused:
            if must_fit:
                raise
        with self._database.transaction() as connection:
            connection.execute(delete(carried).where(carried.c.serial == serial))
        return version

    def _read(self, connection: Connection, serial: bytes) -> PurseSync | None:
        row = connection.execute(select(carried).where(carried.c.serial == serial)).one_or_none()
        if row is None:
            return None
        policy = None if row.policy is None else Policy.parse(row.policy)
        return PurseSync(Acknowledgement.parse(row.acknowledgement), policy)
