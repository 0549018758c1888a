# SPDX-License-Identifier: Apache-2.0
"""`qalta verify`: a token, a bundle, a fraud proof or a denylist, from the root's key alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from firmware.purse.fraud import verify_proof
from firmware.purse.trust import Rejected, Trust
from firmware.purse.verify import check_chain
from firmware.wire.bundle import ITEM_CERTIFICATE, ITEM_SALE, Bundle, PurseExport
from firmware.wire.certificate import (
    ROLE_NAMES,
    ROLE_NOTARY,
    ROLE_PURSE,
    ROLE_TERMINAL,
    Certificate,
)
from firmware.wire.denylist import Denylist
from firmware.wire.fraud_proof import FraudProof
from firmware.wire.layout import PUBLIC_KEY_SIZE, WireError, check_point, key_id
from firmware.wire.note import Note
from firmware.wire.token import parse_tokens
from host_bridge.crypto import p256
from host_bridge.money import format_tiyn
from host_bridge.sync.port import MAX_BUNDLE_BYTES

MAX_FILE_BYTES = MAX_BUNDLE_BYTES  # nothing that is verified is larger


class Unverified(WireError):
    """The file cannot be read, or is nothing that can be verified."""


def verify(
    file: Annotated[Path, typer.Argument(help="A token, bundle, fraud proof or denylist.")],
    root: Annotated[str, typer.Option(help="The root's public key: a file, or 128 hex digits.")],
    certificates: Annotated[
        Path | None,
        typer.Option(help="A folder of certificates, for a token that brings none with it."),
    ] = None,
) -> None:
    """Verify a file on its own, with no network and no database."""
    raw = _read(file)
    trust = Trust(read_root(root), p256.verify)
    if certificates is not None:
        _add_folder(trust, certificates)
    checks = {
        FraudProof.TYPE: _fraud_proof,
        Bundle.TYPE: _bundle,
        Denylist.TYPE: _denylist,
        Note.TYPE: _tokens,
        Certificate.TYPE: _tokens,
    }
    check = checks.get(raw[0]) if raw else None
    if check is None:
        raise Unverified(f"{file} is no token, bundle, fraud proof or denylist.")
    try:
        lines = check(trust, raw)
    except (WireError, Rejected) as error:
        raise Unverified(f"{file} is not to be believed: {error}.") from None
    console = Console(highlight=False, soft_wrap=True)
    console.print("[green]verified[/]")
    for line in lines:
        console.print(line, markup=False)


def _add_folder(trust: Trust, folder: Path) -> None:
    for certificate in certificates_in(folder):
        trust.add(certificate)


def certificates_in(folder: Path) -> list[Certificate]:
    """The certificates in a folder, unchecked; files of other kinds are passed over."""
    if not folder.is_dir():
        raise Unverified(f"{folder} is no folder of certificates.")
    files = [_read(path) for path in sorted(folder.iterdir()) if path.is_file()]
    kind = bytes([Certificate.TYPE])
    return [Certificate.parse(data) for data in files if data.startswith(kind)]


def read_root(text: str) -> bytes:
    """A root's public key from 128 hex digits, or from a file of them or of the 64 bytes."""
    raw = text.encode()
    if Path(text).is_file():
        raw = _read(Path(text))
    if len(raw) != PUBLIC_KEY_SIZE:
        try:
            raw = bytes.fromhex(raw.decode().strip())
        except ValueError:
            raise Unverified(f"'{text}' is no root key: neither a file nor hex digits.") from None
    try:
        check_point(raw)
    except WireError:
        raise Unverified(f"'{text}' is no root key of P-256.") from None
    return raw


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise Unverified(f"{path} cannot be read: {error.strerror}.") from None
    if len(raw) > MAX_FILE_BYTES:
        raise Unverified(f"{path} is larger than {MAX_FILE_BYTES} bytes.")
    return raw


def _fraud_proof(trust: Trust, raw: bytes) -> list[str]:
    proof = FraudProof.parse(raw)
    signer = verify_proof(trust.root, p256.verify, proof)
    first, second = proof.first, proof.second
    start, end = max(first.start, second.start), min(first.end, second.end)
    return [
        f"fraud proof: key {key_id(signer).hex()} signed two transfers of the same units",
        f"units {start} to {end} of {first.parent.hex()}: {format_tiyn(end - start)} spent twice",
        f"  once as payment {first.payment_id.hex()} to {first.payee.hex()}",
        f"  once as payment {second.payment_id.hex()} to {second.payee.hex()}",
    ]


def _denylist(trust: Trust, raw: bytes) -> list[str]:
    denylist = Denylist.parse(raw)
    notary = trust.find(denylist.notary, ROLE_NOTARY)
    if not trust.signed(notary.public_key, denylist):
        raise Rejected("signature", "it is not signed by the notary")
    count = f"{len(denylist.keys)} keys and {len(denylist.notes)} notes"
    return [f"denylist: epoch {denylist.epoch}, {count}"]


def _tokens(trust: Trust, raw: bytes) -> list[str]:
    """Certificates of the file's own, if it has any, then the tokens of one payment."""
    size = Certificate.LAYOUT.size
    while raw[:1] == bytes([Certificate.TYPE]):
        trust.add(Certificate.parse(raw[:size]))
        raw = raw[size:]
    lines = []
    for token in parse_tokens(raw):
        check_chain(trust, token)
        transfer = token.transfer
        lines.append(
            f"token: {format_tiyn(token.amount_tiyn)} of note {token.note.note_id.hex()}, "
            f"hop {len(token.transfers)}, payment {transfer.payment_id.hex()}"
        )
    return lines


def _bundle(trust: Trust, raw: bytes) -> list[str]:
    """A terminal's signature over everything, then each payment and each purse's journal."""
    bundle = Bundle.parse(raw)
    trust.add(bundle.bank)
    for kind, data in bundle.items:
        if kind == ITEM_CERTIFICATE:
            trust.add(Certificate.parse(data))
    trust.check_holder(bundle.terminal, ROLE_TERMINAL, bundle.created_at)
    if not trust.signed(bundle.terminal.public_key, bundle):
        raise Rejected("signature", "it is not signed by its terminal")
    lines = [f"bundle: of {bundle.terminal.name or 'a terminal'}, {len(bundle.items)} items"]
    for kind, data in bundle.items:
        if kind == ITEM_SALE:
            lines += _tokens(trust, data)
        elif kind == ITEM_CERTIFICATE:
            certificate = Certificate.parse(data)
            lines.append(f"certificate: {ROLE_NAMES[certificate.role]} {certificate.name}")
        else:
            lines.append(_export(trust, PurseExport.parse(data)))
    return lines


def _export(trust: Trust, export: PurseExport) -> str:
    statement = export.statement
    trust.check_holder(export.certificate, ROLE_PURSE, export.certificate.not_before)
    if not trust.signed(export.certificate.public_key, statement):
        raise Rejected("signature", "a purse's statement is not signed by the purse")
    if not export.is_whole:
        raise Rejected("chain", "a purse's journal does not lead to what it states")
    return f"journal: purse {statement.serial.hex()}, {len(export.entries)} payments, whole"
