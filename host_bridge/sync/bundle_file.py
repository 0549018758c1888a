# SPDX-License-Identifier: Apache-2.0
"""Bundle files: the same records as over a line, on a USB stick (protocol section 5)."""

from pathlib import Path

from firmware.wire.bundle import Bundle
from firmware.wire.layout import WireError, sha256
from host_bridge.crypto import p256
from host_bridge.files import replace_file
from host_bridge.sync.port import MAX_BUNDLE_BYTES


class BundleFileError(Exception):
    """A bundle file cannot be written or read; the message is one sentence for people."""


def write_bundle(path: Path, bundle: Bundle) -> None:
    """Writes `bundle` as a file: the old file or the whole new one, never a part.

    Raises BundleFileError.
    """
    try:
        replace_file(path, bundle.raw)
    except OSError as error:
        raise BundleFileError(f"{path} cannot be written: {error.strerror}.") from None


def read_bundle(path: Path) -> Bundle:
    """The bundle in a file, with its terminal's signature checked; whom to trust is not.

    Raises BundleFileError for anything else.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BUNDLE_BYTES + 1)
    except OSError as error:
        raise BundleFileError(f"{path} cannot be read: {error.strerror}.") from None
    if len(raw) > MAX_BUNDLE_BYTES:
        raise BundleFileError(f"{path} is too large for a bundle.")
    try:
        bundle = Bundle.parse(raw)
    except WireError as error:
        raise BundleFileError(f"{path} is no bundle: {error}.") from None
    if not p256.verify(bundle.terminal.public_key, sha256(bundle.body), bundle.signature):
        raise BundleFileError(f"{path} was changed after its terminal signed it.")
    return bundle
