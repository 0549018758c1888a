# SPDX-License-Identifier: Apache-2.0
"""PAY and RECOVER: refused, paid, repeated, torn; what a token says and what it hides."""

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from firmware.wire.apdu import CLA_QALTA, INS_PAY, PAY_DATA, Command
from firmware.wire.certificate import ROLE_TERMINAL
from firmware.wire.transfer import CVM_NONE, CVM_PIN, SEALED
from host_bridge.crypto.keys import SigningKey
from host_bridge.session.purse import PayRequest
from host_bridge.transport.base import LinkLost
from tests.card.bench import OK, Bench, pay_command, refusal, whole_answer
from tests.doubles.desk import DAY, NOW, PIN


def _changed(request: PayRequest, **changes: object) -> Command:
    fields = {**PAY_DATA.unpack(request.data), **changes}
    return Command(CLA_QALTA, INS_PAY, data=PAY_DATA.pack(fields))


def unsealed(sealed: bytes) -> dict[str, object]:
    """What a transfer hides, read with the desk's view key (16 zero bytes)."""
    cipher = Cipher(algorithms.AES(bytes(16)), modes.ECB()).decryptor()
    return SEALED.unpack(cipher.update(sealed) + cipher.finalize())


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"amount": 0}, 0x6A80),
        ({"amount": 1_000_001}, 0x6982),  # over the limit without PIN, before the funds
        ({"amount": 0xFFFFFFFF}, 0x9402),
        ({"currency": 840}, 0x9407),
        ({"currency": 0}, 0x9407),
        ({"purpose": 7}, 0x9406),  # the shop takes general money only
        ({"payee": bytes(200)}, 0x9408),
    ],
)
def test_refused(changes: dict[str, object], word: int, bench: Bench) -> None:
    before = bench.card.flash()
    assert bench.word(_changed(bench.desk.request(500), **changes)) == word
    assert bench.card.flash() == before
    assert bench.balance() == 1_000_000


def test_more_than_there_is(shown: Bench) -> None:
    before = shown.card.flash()
    assert refusal(shown.session.pay, shown.desk.request(1_000_001)) == 0x9401
    assert shown.card.flash() == before
    shown.pay(shown.desk.request(1_000_000))
    assert shown.balance() == 0
    assert refusal(shown.session.pay, shown.desk.request(1)) == 0x9401


def test_an_empty_card(empty: Bench) -> None:
    before = empty.card.flash()
    assert refusal(empty.session.pay, empty.desk.request(1)) == 0x9401
    assert empty.card.flash() == before


def test_paid(bench: Bench) -> None:
    request = bench.desk.request(500)
    (token,) = bench.pay(request)
    transfer = token.transfer
    assert (transfer.start, transfer.end, transfer.seq) == (0, 500, 0)
    assert (transfer.cvm, transfer.time, transfer.flags) == (CVM_NONE, request.time, 0)
    assert not token.hops
    assert unsealed(transfer.sealed) == {"counter": 1, "offline_total": 500, "chain": bytes(8)}
    assert bench.balance() == 999_500
    (second,) = bench.pay(bench.desk.request(1))
    assert (second.transfer.start, second.transfer.end, second.transfer.seq) == (500, 501, 1)
    hidden = unsealed(second.transfer.sealed)
    assert (hidden["counter"], hidden["offline_total"]) == (2, 501)
    assert hidden["chain"] == bench.card.purse.journal.chain_at(1)[:8]


def test_with_pin(shown: Bench) -> None:
    (token,) = shown.pay(shown.desk.request(900_000))
    assert token.transfer.cvm == CVM_PIN


def test_two_payments_cannot_be_linked_by_what_is_sealed(bench: Bench) -> None:
    sealed = {bench.pay(bench.desk.request(1))[0].transfer.sealed for _ in range(5)}
    assert len(sealed) == 5


def test_again_is_the_same_answer(bench: Bench) -> None:
    """I3: the same PAY, in the same tap, in another, after a cut: one debit, the same bytes."""
    command = pay_command(bench.desk.request(500))
    answer = whole_answer(bench, command)
    after = bench.card.flash()
    assert whole_answer(bench, command) == answer
    bench.tap()
    assert whole_answer(bench, command) == answer
    bench.boot()
    assert whole_answer(bench, command) == answer
    assert bench.card.flash() == after
    assert bench.balance() == 999_500


def test_again_though_limits_no_longer_allow_it(shown: Bench) -> None:
    request = shown.desk.request(1_000_000)
    first = shown.pay(request)
    shown.session.set_policy(shown.desk.policy(max_payment=1, banned_operations=1))
    shown.tap()
    assert [token.raw for token in shown.pay(request)] == [token.raw for token in first]


def test_the_same_id_for_something_else(bench: Bench) -> None:
    """R03: a till whose random numbers repeat is refused, and pays nobody twice."""
    desk = bench.desk
    request = desk.request(500)
    bench.pay(request)
    after = bench.card.flash()
    assert bench.word(_changed(request, amount=501)) == 0x6A80
    assert bench.word(_changed(request, payee=desk.clinic.raw)) == 0x6A80
    assert bench.card.flash() == after


def test_torn_answer(bench: Bench) -> None:
    """T02: the debit is stored, the answer lost; RECOVER gives it, in any later tap."""
    request = bench.desk.request(500)
    bench.card.lose_next_answer = True
    with pytest.raises(LinkLost):
        bench.session.pay(request)
    assert bench.balance() == 999_500
    bench.tap()
    tokens = bench.verified(request, bench.session.recover(request.payment_id))
    bench.boot()
    again = bench.session.recover(request.payment_id)
    assert [token.raw for token in again] == [token.raw for token in tokens]
    assert [token.raw for token in bench.session.pay(request)] == [tokens[0].raw]
    assert bench.balance() == 999_500


def test_an_element_that_signs_with_random_nonces(bench: Bench) -> None:
    """A chip's signatures differ each time; the answer that was stored is the one given again."""
    element = bench.card.element
    private = int.from_bytes(bench.card.memory.keys.must_read("key.01")[:32], "big")
    key = ec.derive_private_key(private, ec.SECP256R1())

    def sign(slot: int, digest: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256()))))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    assert sign(1, bytes(32)) != sign(1, bytes(32))
    element.sign = sign  # type: ignore[method-assign]
    request = bench.desk.request(500)
    (token,) = bench.pay(request)
    assert bench.session.recover(request.payment_id)[0].raw == token.raw
    assert bench.session.pay(request)[0].raw == token.raw
    bench.boot()
    assert bench.session.recover(request.payment_id)[0].raw == token.raw


@pytest.mark.parametrize("payment_id", [bytes(16), b"\xff" * 16])
def test_recover_unknown(payment_id: bytes, bench: Bench) -> None:
    """T01, T12: no such payment; the till may pay with the same id."""
    bench.pay(bench.desk.request(500))
    assert refusal(bench.session.recover, payment_id) == 0x6A88
    bench.pay(bench.desk.request(1, payment_id=payment_id))
    assert bench.session.recover(payment_id)


def test_counter_at_its_end(bench: Bench) -> None:
    """T17: it refuses to pay, and can still be asked, recovered and synced."""
    bench.set_counter(2_097_150)
    bench.card.purse.journal.void_intent(2_097_150)
    bench.boot()
    last = bench.desk.request(500)
    tokens = bench.pay(last)
    before = bench.card.flash()
    assert refusal(bench.session.pay, bench.desk.request(1)) == 0x940E
    assert bench.card.flash() == before
    bench.boot()
    assert bench.session.recover(last.payment_id)[0].raw == tokens[0].raw
    bench.session.verify_pin(PIN)
    export = bench.session.export(bytes(16))
    assert export.statement.counter == export.entries[-1].counter == 2_097_151
    bench.session.acknowledge(bench.desk.acknowledge(export))
    assert refusal(bench.session.pay, bench.desk.request(1)) == 0x940E


def test_a_counter_that_jumps_pays_nothing_and_goes_on(bench: Bench) -> None:
    """S11: a chip's counter may jump where its power failed."""
    element = bench.card.element
    advance = element.advance
    element.advance = lambda: (advance(), advance())[1]  # type: ignore[method-assign]
    request = bench.desk.request(500)
    assert refusal(bench.session.pay, request) == 0x6F00
    assert bench.balance() == 1_000_000
    bench.boot()
    assert bench.balance() == 1_000_000, "refused is refused"
    assert refusal(bench.session.recover, request.payment_id) == 0x6A88
    bench.pay(request)
    bench.boot()
    assert bench.balance() == 999_500
    assert bench.session.recover(request.payment_id)


@pytest.mark.parametrize("days", [0, 1, 30])
def test_transfer_time_is_the_payees(days: int, bench: Bench) -> None:
    """A till whose clock is behind what the payer's bank has signed: the till's time is used."""
    desk = bench.desk
    long_ago = {"not_before": NOW - 30 * DAY}
    old = desk.certify(desk.bank_key, SigningKey.generate(), ROLE_TERMINAL, **long_ago)
    request = desk.request(500, old, time=NOW - days * DAY)
    assert refusal(bench.session.pay, request) == OK
    assert bench.session.recover(request.payment_id)[0].transfer.time == request.time


@pytest.mark.parametrize("time", [0, 1, NOW - 20 * 365 * DAY, NOW - DAY - 1])
def test_a_time_before_the_payee_was_certified(time: int, bench: Bench) -> None:
    """S16, I2: the till's bank would refuse that transfer, and the money be nobody's."""
    before = bench.card.flash()
    assert refusal(bench.session.pay, bench.desk.request(500, time=time)) == 0x9408
    assert bench.card.flash() == before
