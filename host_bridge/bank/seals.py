# SPDX-License-Identifier: Apache-2.0
"""What a purse seals for its bank alone in each transfer: the place in its own journal."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from firmware.wire.transfer import SEALED, Transfer


@dataclass(frozen=True)
class Seal:
    """The counter of a payment, and the first 8 bytes of the chain's hash before it."""

    counter: int
    chain: bytes


def unsealed(view_key: bytes, body: bytes) -> Seal:
    """What the body of a transfer hides: one AES-128 block under the purse's view key.

    Another key gives other numbers and no error: a seal is a hint, never a proof.
    """
    sealed = Transfer.fields_of(body)["sealed"]
    # One block with a counter in it, never repeated under one key: ECB is the block itself.
    decryptor = Cipher(algorithms.AES(view_key), modes.ECB()).decryptor()
    fields = SEALED.unpack(decryptor.update(sealed) + decryptor.finalize())
    return Seal(fields["counter"], fields["chain"])
