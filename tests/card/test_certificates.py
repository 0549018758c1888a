# SPDX-License-Identifier: Apache-2.0
"""PRESENT CERTIFICATE, and which payees PAY believes."""

import pytest

from firmware.wire import certificate as roles
from firmware.wire.certificate import Certificate
from firmware.wire.limits import KNOWN_CERTIFICATES
from host_bridge.crypto.keys import SigningKey
from tests.card.bench import OK, Bench, refusal
from tests.doubles.desk import DAY, MEDICAL, NOW, Desk

_FOLDERS = ("purse", "purse-copy")


def under_root(desk: Desk, role: int = roles.ROLE_BANK, **fields: object) -> Certificate:
    return desk.certify(desk.root, SigningKey.generate(), role, **fields)


@pytest.mark.parametrize("role", [1, 5, 6])
def test_the_root_signs_no_such_role(role: int, bench: Bench) -> None:
    before = bench.card.flash()
    assert refusal(bench.session.present, under_root(bench.desk, role)) == 0x9408
    assert bench.card.flash() == before


@pytest.mark.parametrize("role", [2, 3, 4, 7])
def test_a_forged_certificate(role: int, bench: Bench) -> None:
    desk = bench.desk
    forger, key = SigningKey.generate(), SigningKey.generate()
    before = bench.card.flash()
    for issuer in (forger.key_id, desk.root.key_id):
        forged = desk.certify(forger, key, role, issuer=issuer)
        assert refusal(bench.session.present, forged) == 0x9408
    by_a_bank = desk.certify(desk.bank_key, key, role)
    assert refusal(bench.session.present, by_a_bank) == 0x9408
    assert bench.card.flash() == before


@pytest.mark.parametrize("role", [2, 3, 4, 7])
def test_a_good_one_is_remembered_once(role: int, bench: Bench) -> None:
    certificate = under_root(bench.desk, role)
    bench.session.present(certificate)
    after = bench.card.flash()
    for folder in ("purse", "purse-copy"):
        assert f"vfs/{folder}/known.{role}.{certificate.key_id.hex()}" in after
    bench.session.present(certificate)
    bench.boot()
    bench.session.present(certificate)
    assert bench.card.flash() == after


def test_its_own_bank_takes_no_place(bench: Bench) -> None:
    before = bench.card.flash()
    bench.session.present(bench.desk.bank)
    assert bench.card.flash() == before


def remembered(bench: Bench) -> set[bytes]:
    """The KeyIds of the certificates that are on the card's flash."""
    names = [name for name in bench.card.flash() if "/known." in name]
    copies = [{name for name in names if name.startswith(f"vfs/{of}/")} for of in _FOLDERS]
    known = [{bytes.fromhex(name.rsplit(".", 1)[1]) for name in copy} for copy in copies]
    assert known[0] == known[1], "one is there twice, or not at all"
    return known[0]


def test_memory_for_certificates_has_an_end(empty: Bench) -> None:
    """Where it is full the one that ends first makes room: no card outlives whom it trusts."""
    ends = [NOW + DAY * (1 + (number * 7) % 17) for number in range(KNOWN_CERTIFICATES + 1)]
    known = [under_root(empty.desk, not_after=end) for end in ends]
    for certificate in known[:-1]:
        empty.session.present(certificate)
    first = min(known[:-1], key=lambda certificate: certificate.not_after)
    empty.session.present(known[-1])
    for _ in range(2):
        assert remembered(empty) == {c.key_id for c in known if c is not first}
        assert first.raw not in [c.raw for c in empty.card.purse.profile.trust.known]
        empty.boot()
    empty.session.present(first)
    assert first.key_id in remembered(empty)
    assert len(remembered(empty)) == KNOWN_CERTIFICATES


def test_a_full_memory_forgets_neither_for_a_forger_nor_its_own_bank(bench: Bench) -> None:
    desk = bench.desk
    own = desk.certify(
        desk.root, desk.bank_key, roles.ROLE_BANK, not_before=NOW, not_after=NOW + 2
    )
    bench.session.present(own)
    for _ in range(KNOWN_CERTIFICATES - 1):
        if len(remembered(bench)) < KNOWN_CERTIFICATES:
            bench.session.present(under_root(desk))
    before = bench.card.flash()
    forged = desk.certify(SigningKey.generate(), desk.shop_key, 3, issuer=desk.root.key_id)
    assert refusal(bench.session.present, forged) == 0x9408
    assert bench.card.flash() == before
    bench.session.present(under_root(desk))
    assert desk.bank_key.key_id in remembered(bench)
    renewed = desk.certify(desk.root, desk.bank_key, roles.ROLE_BANK, not_before=NOW + 1)
    before_renewal = remembered(bench)
    bench.session.present(renewed)
    assert remembered(bench) == before_renewal, "it took its own place"
    bench.pay(desk.request(500))


def test_a_renewed_certificate_takes_the_place_of_the_old_one(bench: Bench) -> None:
    """Also where only its end moved: notes from before stay within its dates then."""
    desk = bench.desk
    key = SigningKey.generate()
    old = desk.certify(desk.root, key, roles.ROLE_BANK, not_after=NOW + DAY)
    payee = desk.certify(key, SigningKey.generate(), roles.ROLE_TERMINAL)
    bench.session.present(old)
    later = desk.request(500, payee, time=NOW + 2 * DAY)
    assert refusal(bench.session.pay, later) == 0x9408
    bench.session.present(desk.certify(desk.root, key, roles.ROLE_BANK, not_after=NOW + 9 * DAY))
    bench.session.present(old)
    for _ in range(2):
        assert refusal(bench.session.pay, later) == OK
        bench.boot()


def test_one_key_with_two_roles(bench: Bench) -> None:
    """A second role of a key, under the root too, takes nothing from the first."""
    desk = bench.desk
    for role in (roles.ROLE_NOTARY, roles.ROLE_AUTHORITY):
        for key in (desk.bank_key, desk.issuer_key):
            bench.session.present(desk.certify(desk.root, key, role, not_before=NOW))
    for _ in range(2):
        bench.pay(desk.request(500))
        desk.load(bench.session, 1_000)
        bench.boot()


def test_unknown_bank_is_presented_and_paid(bench: Bench) -> None:
    """The till of a bank that this card never met: 6A88, its certificate, and it works."""
    request = bench.desk.request(500, bench.desk.far_shop)
    before = bench.card.flash()
    assert refusal(bench.session.pay, request) == 0x6A88
    assert bench.card.flash() == before
    bench.session.present(bench.desk.other_bank)
    bench.pay(request)
    bench.boot()
    bench.pay(bench.desk.request(500, bench.desk.far_shop))


def _role(desk: Desk, role: int) -> Certificate:
    return desk.certify(desk.bank_key, SigningKey.generate(), role)


def _forged(desk: Desk) -> Certificate:
    forger = SigningKey.generate()
    fields = {"issuer": desk.bank_key.key_id}
    return desk.certify(forger, SigningKey.generate(), roles.ROLE_TERMINAL, **fields)


def _flipped(desk: Desk) -> Certificate:
    raw = bytearray(desk.shop.raw)
    raw[100] ^= 1
    return Certificate.parse(bytes(raw))


def _of_currency(desk: Desk) -> Certificate:
    return desk.certify(desk.bank_key, SigningKey.generate(), roles.ROLE_TERMINAL, currency=840)


@pytest.mark.parametrize(
    "payee",
    [
        *[lambda desk, role=role: _role(desk, role) for role in (1, 2, 3, 4, 5, 7)],
        lambda desk: desk.bank,
        lambda desk: desk.issuer,
        _forged,
        _flipped,
        _of_currency,
    ],
)
def test_payees_that_are_not_believed(payee, bench: Bench) -> None:  # type: ignore[no-untyped-def]
    """R13: wrong role, wrong chain, forged, another currency than its bank's."""
    before = bench.card.flash()
    request = bench.desk.request(500, payee(bench.desk), time=NOW + 60)
    request = type(request)(**{**vars(request), "payee": _with_currency(request.payee)})
    assert refusal(bench.session.pay, request) == 0x9408
    assert bench.card.flash() == before


def _with_currency(payee: Certificate) -> Certificate:
    """The payee as it is; its request still asks for the card's own money."""
    payee.currency = 398
    return payee


def test_a_terminal_as_a_bank_signs_no_terminals(bench: Bench) -> None:
    desk = bench.desk
    under_shop = desk.certify(desk.shop_key, SigningKey.generate(), roles.ROLE_TERMINAL)
    assert refusal(bench.session.pay, desk.request(500, under_shop)) == 0x6A88
    under_issuer = desk.certify(desk.issuer_key, SigningKey.generate(), roles.ROLE_TERMINAL)
    assert refusal(bench.session.pay, desk.request(500, under_issuer)) == 0x6A88
    assert bench.balance() == 1_000_000


@pytest.mark.parametrize(
    ("time", "word"),
    [
        (NOW - 1, 0x9408),  # not yet valid
        (NOW, OK),
        (NOW + DAY, OK),
        (NOW + DAY + 1, 0x9408),  # not valid any more
    ],
)
def test_dates_of_a_payee(time: int, word: int, bench: Bench) -> None:
    desk = bench.desk
    fields = {"not_before": NOW, "not_after": NOW + DAY}
    key = SigningKey.generate()
    payee = desk.certify(desk.bank_key, key, roles.ROLE_TERMINAL, **fields)
    assert refusal(bench.session.pay, desk.request(500, payee, time=time)) == word


def test_a_clock_that_is_set_back_revives_no_payee(bench: Bench) -> None:
    """S16: the purse's time is never before what its bank last signed."""
    desk = bench.desk
    fields = {"not_before": NOW - 20 * DAY, "not_after": NOW - 10 * DAY}
    payee = desk.certify(desk.bank_key, SigningKey.generate(), roles.ROLE_TERMINAL, **fields)
    request = desk.request(500, payee, time=NOW - 15 * DAY)
    assert refusal(bench.session.pay, request) == 0x9408


@pytest.mark.parametrize(("time", "word"), [(NOW + 5 * DAY, OK), (NOW + 5 * DAY + 1, 0x9408)])
def test_dates_of_the_payees_bank(time: int, word: int, bench: Bench) -> None:
    desk = bench.desk
    bank_key = SigningKey.generate()
    fields = {"not_after": NOW + 5 * DAY}
    bank = desk.certify(desk.root, bank_key, roles.ROLE_BANK, **fields)
    payee = desk.certify(bank_key, SigningKey.generate(), roles.ROLE_TERMINAL)
    bench.session.present(bank)
    assert refusal(bench.session.pay, desk.request(500, payee, time=time)) == word


def test_another_currency(bench: Bench) -> None:
    desk = bench.desk
    bank_key = SigningKey.generate()
    bench.session.present(desk.certify(desk.root, bank_key, roles.ROLE_BANK, currency=840))
    payee = desk.certify(bank_key, SigningKey.generate(), roles.ROLE_TERMINAL, currency=840)
    assert refusal(bench.session.pay, desk.request(500, payee)) == 0x9407
    assert refusal(bench.session.pay, desk.request(500, _with_currency(payee))) == 0x9407
    assert bench.balance() == 1_000_000


def test_an_authority_may_not_be_a_bank(bench: Bench) -> None:
    """The same key under another role signs nothing of that role."""
    desk = bench.desk
    bench.session.present(desk.authority)
    payee = desk.certify(desk.authority_key, SigningKey.generate(), roles.ROLE_TERMINAL)
    assert refusal(bench.session.pay, desk.request(500, payee)) == 0x6A88
    assert MEDICAL in desk.authority.purposes
