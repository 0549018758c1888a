# SPDX-License-Identifier: Apache-2.0
"""Founding, register, policies, and who may issue, load, label and redeem (checklist ROLE)."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from firmware.purse.trust import Trust
from firmware.wire.certificate import ROLE_PURSE, ROLE_TERMINAL
from firmware.wire.journal import KeyAttestation
from host_bridge.bank import FoundingPlan, ReferenceBank
from host_bridge.crypto import p256
from host_bridge.crypto.keys import SigningKey
from host_bridge.sync.port import BankRefused
from tests.doubles.paper_purse import PaperPurse, spoiled
from tests.platform.town import HEALTH, Town


def attested(town: Town, purse: PaperPurse) -> KeyAttestation:
    return purse.attest(SigningKey.generate(), town.bank.challenge())


def test_everything_is_signed_under_the_root(town: Town) -> None:
    directory = town.bank.directory()
    trust = Trust(directory.root, p256.verify)
    for certificate in directory.certificates:
        trust.add(certificate)
    assert len(trust.known) == 5
    assert town.bank.names == ["issuer", "notary", "bank-a", "bank-b", "health"]
    trust.check_holder(town.purse().papers, ROLE_PURSE, town.now)
    trust.check_holder(town.clinic.certificate, ROLE_TERMINAL, town.now)
    assert town.clinic.certificate.name == "Klinika"
    assert town.clinic.certificate.mcc == 8062
    assert town.clinic.certificate.accepts(HEALTH)
    assert directory.time == town.now


def test_keys_and_database_are_for_their_owner_alone(town: Town) -> None:
    for path in [town.folder / "bank.sqlite", *(town.folder / "keys").iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE((town.folder / "keys").stat().st_mode) == 0o700
    assert len(list((town.folder / "keys").iterdir())) == 7


def test_the_same_randomness_founds_the_same_bank(tmp_path: Path) -> None:
    one, other = Town(tmp_path / "one"), Town(tmp_path / "other")
    assert one.bank.root_public_key == other.bank.root_public_key
    assert one.bank.policy("bank-a") == other.bank.policy("bank-a")
    one.bank.close()
    other.bank.close()


def test_opened_again_it_is_the_same_bank(town: Town) -> None:
    purse = town.purse()
    town.pay(purse, town.cafe, town.load(purse, 1_000), 100)
    before = town.end_state()
    again = ReferenceBank(town.folder, clock=lambda: town.now)
    assert again.balances() == before["balances"]
    assert again.certificate_of("bank-a") == town.bank.certificate_of("bank-a")
    again.close()


def test_folders_that_are_no_bank(tmp_path: Path) -> None:
    with pytest.raises(BankRefused, match="no bank"):
        ReferenceBank(tmp_path)
    (tmp_path / "bank.sqlite").write_bytes(b"not a database, not at all" * 50)
    with pytest.raises(BankRefused, match="not a bank's database"):
        ReferenceBank(tmp_path)
    with pytest.raises(BankRefused, match="not empty"):
        ReferenceBank.found(tmp_path)


def test_a_key_that_was_swapped(town: Town) -> None:
    SigningKey.generate().save(town.folder / "keys" / "issuer.pem")
    with pytest.raises(BankRefused, match="not the one in its certificate"):
        ReferenceBank(town.folder)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("banks = 3", "banks"),
        ("[[banks]]\nname = '../evil'", "name"),
        ("[[banks]]\nname = 'x'\nfoo = 1", "foo"),
        ("[[banks]]\nname = 'x'\ncorrespondent_tiyn = -1", "correspondent_tiyn"),
        ("not toml", "not TOML"),
    ],
)
def test_bad_plans(tmp_path: Path, text: str, sentence: str) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(text)
    with pytest.raises(BankRefused, match=sentence):
        FoundingPlan.read(plan)


def test_a_plan_from_a_file(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(
        """
        grace_days = 5
        [[banks]]
        name = "first"
        correspondent_tiyn = 500
        [banks.notes]
        hop_limit = 2
        [banks.policy]
        max_payment = 77
        [[authorities]]
        name = "school"
        bank = "first"
        purposes = [2, 3]
        """
    )
    bank = ReferenceBank.found(tmp_path / "bank", FoundingPlan.read(plan))
    assert bank.policy("first").limits.max_payment == 77
    assert bank.certificate_of("school").purposes == (2, 3, 0, 0)
    bank.close()


# ---------------------------------------------------------------------- register


def test_registering_twice(town: Town) -> None:
    town.bank.add_client("bank-a", "alibek", "Alibek", "KYC-1")
    with pytest.raises(BankRefused, match="other data"):
        town.bank.add_client("bank-a", "alibek", "Somebody", "KYC-1")


@pytest.mark.parametrize("client_id", ["", "../x", "a b", "а" * 3, "x" * 33, "-a"])
def test_ids_that_are_none(town: Town, client_id: str) -> None:
    with pytest.raises(BankRefused, match="not a client's id"):
        town.bank.add_client("bank-a", client_id, "Name", "KYC")


def test_names_and_categories(town: Town) -> None:
    with pytest.raises(BankRefused, match="does not fit"):
        town.bank.add_merchant("bank-a", "long", "Қазақстан халық банкі", "KYC")
    with pytest.raises(BankRefused, match="characters"):
        town.bank.add_client("bank-a", "x", "tab\there", "KYC")
    with pytest.raises(BankRefused, match="category"):
        town.bank.add_merchant("bank-a", "x", "X", "KYC", mcc=10_000)
    with pytest.raises(BankRefused, match="purposes"):
        town.bank.add_merchant("bank-a", "x", "X", "KYC", purposes=[0xFFFF])


def test_one_key_one_certificate(town: Town) -> None:
    purse = town.purse()
    key = purse.identity.public_key
    again = town.bank.certify_purse("bank-a", "alibek", key, tier=0, view_key=purse.view_key)
    assert again == purse.papers
    with pytest.raises(BankRefused, match="somebody else"):
        town.bank.certify_purse("bank-b", "bahtiyar", key, tier=0, view_key=purse.view_key)
    with pytest.raises(BankRefused, match="somebody else"):
        town.bank.certify_terminal("bank-b", "cafe", key)


def test_a_personalisation_begun_anew_brings_a_view_key_of_its_own(town: Town) -> None:
    """The card has the newest one; under an older one its journal would be unreadable."""
    purse = town.purse()
    key = purse.identity.public_key
    purse.view_key = bytes(16)
    town.bank.certify_purse("bank-a", "alibek", key, tier=0, view_key=purse.view_key)
    town.pay(purse, town.cafe, town.load(purse, 10_000), 100)
    town.bank.upload_export(purse.export(town.bank.challenge()))
    assert town.bank.findings() == []
    with pytest.raises(BankRefused, match="in use already"):
        town.bank.certify_purse("bank-a", "alibek", key, tier=0, view_key=bytes(range(16)))


def test_what_cannot_be_certified(town: Town) -> None:
    view_key = bytes(16)
    with pytest.raises(BankRefused, match="curve"):
        town.bank.certify_purse("bank-a", "alibek", bytes(64), tier=0, view_key=view_key)
    good = SigningKey.generate().public_key
    with pytest.raises(BankRefused, match="view key"):
        town.bank.certify_purse("bank-a", "alibek", good, tier=0, view_key=b"")
    with pytest.raises(BankRefused, match="tier"):
        town.bank.certify_purse("bank-a", "alibek", good, tier=4, view_key=view_key)
    with pytest.raises(BankRefused, match="no client of"):
        town.bank.certify_purse("bank-b", "alibek", good, tier=0, view_key=view_key)
    with pytest.raises(BankRefused, match="not a merchant"):
        town.bank.certify_terminal("bank-a", "alibek", good)


def test_policies_only_grow_newer(town: Town) -> None:
    first = town.bank.policy("bank-a")
    second = town.bank.new_policy("bank-a", max_payment=5, emergency=True, banned_purposes=(3,))
    assert (first.policy_version, second.policy_version) == (1, 2)
    assert town.bank.policy("bank-a") == second
    assert second.banned_purposes[0] == 3
    third = town.bank.new_policy("bank-a", emergency=False)
    assert third.limits.max_payment == 5
    assert town.bank.policy("bank-b").policy_version == 1
    with pytest.raises(BankRefused, match="no limit called 'max_fun'"):
        town.bank.new_policy("bank-a", max_fun=1)
    with pytest.raises(BankRefused, match="not a policy"):
        town.bank.new_policy("bank-a", max_payment=-1)
    with pytest.raises(BankRefused, match="no bank called"):
        town.bank.new_policy("health", max_payment=1)


# ---------------------------------------------------------------------- money


def test_a_load_is_paid_once_for_a_key(town: Town) -> None:
    """Reliability case T14."""
    purse = town.purse()
    attestation = attested(town, purse)
    note = town.bank.load("bank-a", purse.papers.serial, attestation, 10_000)
    assert (note.value, note.purpose, note.min_tier) == (10_000, 0, 0)
    assert town.bank.load("bank-a", purse.papers.serial, attestation, 10_000) == note
    assert town.line("alibek")["current_tiyn"] == 290_000
    # The card was cut off and attests the same key over another challenge.
    fields = KeyAttestation.LAYOUT.unpack(attestation.raw)
    for name in ("type", "version", "signature", "reserved"):
        del fields[name]
    fields["challenge"] = town.bank.challenge()
    again = KeyAttestation.issue(purse.identity.sign, **fields)
    assert town.bank.load("bank-a", purse.papers.serial, again, 10_000) == note
    town.assert_sound()


def test_attestations_that_are_refused(town: Town) -> None:
    purse, other = town.purse(), town.purse()
    good = attested(town, purse)

    def load(attestation: KeyAttestation, serial: bytes = purse.papers.serial) -> None:
        town.bank.load("bank-a", serial, attestation, 1_000)

    with pytest.raises(BankRefused, match="not by this purse"):
        load(KeyAttestation.parse(good.body + spoiled(good.signature)))
    with pytest.raises(BankRefused, match="not by this purse"):
        load(good, other.papers.serial)
    with pytest.raises(BankRefused, match="challenge"):
        load(purse.attest(SigningKey.generate(), bytes(16)))
    load(good)
    with pytest.raises(BankRefused, match="challenge"):
        load(purse.attest(SigningKey.generate(), good.challenge))
    with pytest.raises(BankRefused, match="no purse"):
        load(good, bytes(16))
    assert town.line("alibek")["current_tiyn"] == 299_000
    town.assert_sound()


@pytest.mark.parametrize("amount", [0, -1, 300_001, 2**32, 2**63])
def test_amounts_that_are_refused(town: Town, amount: int) -> None:
    """Reliability case B11; a refusal leaves the challenge and the account as they were."""
    purse = town.purse()
    attestation = attested(town, purse)
    before = town.end_state()
    with pytest.raises(BankRefused):
        town.bank.load("bank-a", purse.papers.serial, attestation, amount)
    with pytest.raises(BankRefused):
        town.bank.label("health", purse.papers.serial, attestation, amount, HEALTH)
    with pytest.raises(BankRefused):
        town.bank.redeem("cafe", amount)
    with pytest.raises(BankRefused):
        town.bank.issue("bank-a", amount if amount != 300_001 else 10**7)
    assert town.end_state() == before
    town.bank.load("bank-a", purse.papers.serial, attestation, 1)


def test_a_purse_is_not_filled_over_its_limit(town: Town) -> None:
    town.bank.new_policy("bank-a", max_balance=10_000)
    purse = town.purse()
    town.load(purse, 9_000)
    with pytest.raises(BankRefused, match="more than 100,00 ₸"):
        town.load(purse, 1_001)
    town.load(purse, 1_000)


def test_a_bank_without_digital_tenge(town: Town) -> None:
    town.bank.new_policy("bank-a", max_balance=10**9)
    town.bank.deposit("alibek", 1_000_000)
    purse = town.purse()
    with pytest.raises(BankRefused, match="digital tenge"):
        town.load(purse, 800_001)
    town.load(purse, 800_000)
    town.assert_sound()


def test_who_may_do_what(town: Town) -> None:
    purse = town.purse()
    serial = purse.papers.serial
    with pytest.raises(BankRefused, match="Only a public authority"):  # ROLE-09
        town.bank.load("bank-a", serial, attested(town, purse), 100, HEALTH)
    with pytest.raises(BankRefused, match="may not label"):  # ROLE-08
        town.bank.label("health", serial, attested(town, purse), 100, HEALTH + 1)
    with pytest.raises(BankRefused, match="may not label"):
        town.bank.label("health", serial, attested(town, purse), 100, 0)
    with pytest.raises(BankRefused, match="no authority called"):
        town.bank.label("bank-a", serial, attested(town, purse), 100, HEALTH)
    with pytest.raises(BankRefused, match="not served"):  # ROLE-07
        town.bank.load("bank-b", serial, attested(town, purse), 100)
    for name in ("health", "issuer", "cafe"):  # ROLE-02
        with pytest.raises(BankRefused, match="no bank called"):
            town.bank.issue(name, 100)


def test_a_label_is_paid_from_the_budget(town: Town) -> None:
    purse = town.purse("bank-b", "bahtiyar")
    piece = town.label(purse, 150_000)
    assert piece.note.purpose == HEALTH
    accounts = {one.title: dict(one.assets + one.liabilities) for one in town.bank.accounts()}
    assert accounts["bank-a"]["Budget of health"] == 50_000
    assert accounts["bank-a"]["Digital wallet (DT)"] == 650_000
    with pytest.raises(BankRefused, match="has only 500,00 ₸"):
        town.label(purse, 50_001)
    town.assert_sound()


def test_redemption_is_at_par_and_once(town: Town) -> None:
    purse = town.purse()
    town.bank.upload_sale(town.pay(purse, town.cafe, town.load(purse, 10_000), 4_000))
    for _ in range(2):
        town.bank.redeem("cafe", 3_000, reference=b"evening")
    assert (town.wallet("cafe"), town.line("cafe")["current_tiyn"]) == (1_000, 3_000)
    assert town.bank.totals().reserves == 1_600_000 - 10_000 + 3_000
    with pytest.raises(BankRefused, match="another posting"):
        town.bank.redeem("cafe", 500, reference=b"evening")
    with pytest.raises(BankRefused, match="has only 10,00 ₸"):
        town.bank.redeem("cafe", 1_001)
    town.assert_sound()


def test_references_are_each_owners_own(town: Town) -> None:
    for client_id in ("alibek", "bahtiyar", "alibek"):
        town.bank.deposit(client_id, 100, reference=b"1")
    assert town.line("alibek")["current_tiyn"] == 300_100
    assert town.line("bahtiyar")["current_tiyn"] == 300_100
