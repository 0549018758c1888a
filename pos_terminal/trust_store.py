# SPDX-License-Identifier: Apache-2.0
"""What the till believes: its pinned root, certificates under it, the newest denylist."""

from __future__ import annotations

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.sqlite import insert

from firmware.purse.trust import Rejected, Trust
from firmware.wire.certificate import ROLE_NOTARY, Certificate
from firmware.wire.denylist import Denylist
from firmware.wire.layout import WireError
from host_bridge.crypto import p256
from host_bridge.sync.port import Directory
from pos_terminal.database import Database
from pos_terminal.errors import TillError
from pos_terminal.schema import certificates, denylists


class TrustStore:
    """The root's public key, pinned when the till was installed, and what it stands behind."""

    def __init__(self, root: bytes, database: Database) -> None:
        self.root = root
        self._database = database

    def load(self) -> tuple[Trust, Denylist | None]:
        """What to verify tokens with, offline."""
        with self._database.transaction() as connection:
            trust = self._trust(connection)
            raw = connection.scalar(select(denylists.c.denylist))
        return trust, None if raw is None else Denylist.parse(raw)

    def refresh(self, directory: Directory) -> list[str]:
        """Takes in newer certificates and a newer denylist; returns what was not believed.

        Raises TillError, and takes nothing, from a bank under another root (case R15). An older
        denylist is passed over (R14), and so is an older certificate of the same key.
        """
        if directory.root != self.root:
            raise TillError("This bank is under another root than the till; nothing was taken.")
        refused = []
        with self._database.transaction() as connection:
            trust = self._trust(connection)
            for certificate in directory.certificates:
                try:
                    trust.add(certificate)
                except Rejected as rejected:
                    # Not by the name that it gives itself: nobody stands behind that.
                    name = certificate.key_id.hex()
                    refused.append(f"The certificate {name}: {rejected.sentence}.")
                else:
                    _keep_certificate(connection, certificate)
            if directory.denylist is not None:
                try:
                    check_denylist(trust, directory.denylist)
                except Rejected as rejected:
                    refused.append(f"The denylist: {rejected.sentence}.")
                else:
                    _keep_denylist(connection, directory.denylist)
        return refused

    def _trust(self, connection: Connection) -> Trust:
        trust = Trust(self.root, p256.verify)
        try:
            for raw in connection.scalars(select(certificates.c.certificate)):
                trust.add(Certificate.parse(raw))
        except (Rejected, WireError) as error:
            raise TillError(f"The till's books are damaged: {error}.") from None
        return trust


def check_denylist(trust: Trust, denylist: Denylist) -> None:
    """A denylist under its notary under the root. Raises Rejected."""
    notary = trust.find(denylist.notary, ROLE_NOTARY)
    if not notary.valid_at(denylist.issued_at):
        raise Rejected("dates", "it was issued outside its notary's dates")
    if not trust.signed(notary.public_key, denylist):
        raise Rejected("signature", "it is not signed by its notary")


def _keep_certificate(connection: Connection, certificate: Certificate) -> None:
    values = {
        "key_id": certificate.key_id,
        "not_before": certificate.not_before,
        "certificate": certificate.raw,
    }
    statement = insert(certificates).values(values)
    newer = statement.on_conflict_do_update(
        index_elements=["key_id"],
        set_=values,
        where=certificates.c.not_before < certificate.not_before,
    )
    connection.execute(newer)


def _keep_denylist(connection: Connection, denylist: Denylist) -> None:
    newest = connection.scalar(select(func.max(denylists.c.epoch)))
    if newest is not None and denylist.epoch <= newest:
        return
    connection.execute(delete(denylists))
    connection.execute(denylists.insert().values(epoch=denylist.epoch, denylist=denylist.raw))
