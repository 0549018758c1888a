# SPDX-License-Identifier: Apache-2.0
"""Double spends: found as two transfers that overlap, proved to anyone (protocol section 3)."""

from firmware.purse.trust import Rejected, Trust
from firmware.wire.certificate import ROLE_BANK, ROLE_PURSE
from firmware.wire.fraud_proof import FraudProof
from firmware.wire.layout import sha256
from firmware.wire.note import Note

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from firmware.purse.trust import Verify


def verify_proof(root: bytes, verify: "Verify", proof: FraudProof) -> bytes:
    """The public key of the one who spent twice, from the root's public key alone.

    `verify(public_key, digest, signature) -> bool`. Raises Rejected if the proof proves
    nothing: records that the root does not stand behind, transfers of different parents, of
    the same body, without overlap, or not signed by that one key.
    """
    trust = Trust(root, verify)
    trust.add(proof.authority)
    if isinstance(proof.evidence, Note):
        trust.check_note(proof.evidence)
        if proof.first.parent != proof.evidence.record_id:
            raise Rejected("chain", "the transfers do not spend the note of the proof")
    else:
        holder = proof.evidence
        bank = trust.find(holder.issuer, ROLE_BANK)
        if holder.role != ROLE_PURSE or not trust.signed(bank.public_key, holder):
            raise Rejected("signature", "the holder's certificate is not signed by its bank")
    first, second = proof.first, proof.second
    if first.record_id == second.record_id:
        raise Rejected("same", "both transfers are the same one")
    if not first.overlaps(second):
        raise Rejected("no-overlap", "the transfers do not spend the same units")
    for transfer in (first, second):
        if not verify(proof.signer, sha256(transfer.body), transfer.signature):
            raise Rejected("signature", "a transfer is not signed by the accused key")
    return proof.signer
