# SPDX-License-Identifier: Apache-2.0
"""Installing a till: from what the bank's clerk hands over to a folder that sells.

The clerk's package is a folder: `till.toml`, `terminal.pem`, `terminal.cert` and, under
`directory/`, the certificates of issuer, banks, authorities and notary and the denylist.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

from firmware.purse.trust import Rejected, Trust
from firmware.wire.certificate import ROLE_TERMINAL, Certificate
from firmware.wire.denylist import Denylist
from firmware.wire.layout import PUBLIC_KEY_SIZE, WireError, check_point
from host_bridge.crypto import p256
from host_bridge.crypto.keys import KeyFileError, SigningKey
from host_bridge.files import replace_file
from host_bridge.sync.port import Directory
from pos_terminal.database import Database
from pos_terminal.errors import TillError
from pos_terminal.trust_store import TrustStore

BOOKS = "books.sqlite"
UTC_OFFSET_MINUTES = 300  # Kazakhstan
_SETTINGS = "till.toml"
_KEY = "terminal.pem"
_CERTIFICATE = "terminal.cert"
_DIRECTORY = "directory"
_DENYLIST = "denylist.bin"
_MAX_FILE_BYTES = 128 * 1024
_MAX_CERTIFICATES = 256
_MAX_OFFSET_MINUTES = 14 * 60


@dataclass(frozen=True)
class Setup:
    """Who a till is. `root` is pinned: a bank under another root is never believed."""

    root: bytes
    key: SigningKey
    certificate: Certificate
    bank_url: str = ""
    utc_offset_minutes: int = UTC_OFFSET_MINUTES


def install_till(folder: Path, setup: Setup, directory: Directory) -> None:
    """Makes a till in `folder`, which holds none yet.

    Raises TillError where key, certificates and root do not belong together, and then leaves
    no till behind. An installation that was cut off is simply done again.
    """
    if (folder / _SETTINGS).exists():
        raise TillError(f"There is a till in {folder} already.")
    _check(setup, directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        setup.key.save(folder / _KEY)
        replace_file(folder / _CERTIFICATE, setup.certificate.raw)
        database = Database(folder / BOOKS)
        try:
            TrustStore(setup.root, database).refresh(directory)
        finally:
            database.close()
        replace_file(folder / _SETTINGS, _settings(setup).encode())
    except (OSError, KeyFileError) as error:
        raise TillError(f"The till cannot be installed in {folder}: {error}") from None


def load_setup(folder: Path) -> Setup:
    """Who the till in `folder` is. Raises TillError if there is none, or it is damaged."""
    if not (folder / _SETTINGS).is_file():
        raise TillError(f"There is no till in {folder}: 'qalta pos init' makes one.")
    try:
        settings = tomllib.loads(_read(folder / _SETTINGS).decode())
        root = bytes.fromhex(settings["root"])
        url = settings.get("bank_url", "")
        offset = settings.get("utc_offset_minutes", UTC_OFFSET_MINUTES)
        if len(root) != PUBLIC_KEY_SIZE or not isinstance(url, str) or not _is_offset(offset):
            raise ValueError
        check_point(root)
        key = SigningKey.load(folder / _KEY)
    except KeyFileError as error:
        raise TillError(str(error)) from None
    except (KeyError, TypeError, ValueError):
        raise TillError(f"{folder / _SETTINGS} is not the settings of a till.") from None
    return Setup(root, key, _certificate(folder / _CERTIFICATE), url, offset)


def write_package(folder: Path, setup: Setup, directory: Directory) -> None:
    """What a bank's clerk hands over: the files that `read_package` reads. Raises TillError."""
    _check(setup, directory)
    try:
        (folder / _DIRECTORY).mkdir(parents=True, exist_ok=True)
        setup.key.save(folder / _KEY)
        replace_file(folder / _CERTIFICATE, setup.certificate.raw)
        for certificate in directory.certificates:
            name = f"{certificate.key_id.hex()}.cert"
            replace_file(folder / _DIRECTORY / name, certificate.raw)
        if directory.denylist is not None:
            replace_file(folder / _DIRECTORY / _DENYLIST, directory.denylist.raw)
        replace_file(folder / _SETTINGS, _settings(setup).encode())
    except (OSError, KeyFileError) as error:
        raise TillError(f"The package cannot be written to {folder}: {error}") from None


def read_package(folder: Path, now: int) -> tuple[Setup, Directory]:
    """A clerk's package. `now` is the till's clock. Raises TillError, in one sentence."""
    if not folder.is_dir():
        raise TillError(f"There is no folder {folder}.")
    setup = load_setup(folder)
    files = sorted((folder / _DIRECTORY).glob("*.cert"))
    if len(files) > _MAX_CERTIFICATES:
        raise TillError(f"{folder} has more than {_MAX_CERTIFICATES} certificates.")
    denylist = None
    path = folder / _DIRECTORY / _DENYLIST
    if path.exists():
        try:
            denylist = Denylist.parse(_read(path))
        except WireError as error:
            raise TillError(f"{path} is no denylist: {error}.") from None
    return setup, Directory(setup.root, tuple(map(_certificate, files)), denylist, now)


def _check(setup: Setup, directory: Directory) -> None:
    if setup.certificate.public_key != setup.key.public_key:
        raise TillError("The terminal's certificate is not that of its key.")
    if directory.root != setup.root:
        raise TillError("The certificates are of another root than the till's.")
    if not _is_offset(setup.utc_offset_minutes):
        raise TillError("The offset from UTC is out of range.")
    trust = Trust(setup.root, p256.verify)
    try:
        for certificate in directory.certificates:
            trust.add(certificate)
        trust.check_holder(setup.certificate, ROLE_TERMINAL, directory.time)
    except Rejected as rejected:
        raise TillError(f"A certificate is not good: {rejected.sentence}.") from None


def _settings(setup: Setup) -> str:
    return (
        "# A Qalta till; the file may be read by anyone, its root must not be changed.\n"
        f'root = "{setup.root.hex()}"\n'
        f"bank_url = {json.dumps(setup.bank_url)}\n"
        f"utc_offset_minutes = {setup.utc_offset_minutes}\n"
    )


def _is_offset(minutes: object) -> bool:
    return type(minutes) is int and abs(minutes) <= _MAX_OFFSET_MINUTES


def _certificate(path: Path) -> Certificate:
    try:
        certificate: Certificate = Certificate.parse(_read(path))
    except WireError as error:
        raise TillError(f"{path} is no certificate: {error}.") from None
    return certificate


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise TillError(f"{path} cannot be read: {error.strerror}.") from None
    if len(raw) > _MAX_FILE_BYTES:
        raise TillError(f"{path} is too large to be what it should be.")
    return raw
