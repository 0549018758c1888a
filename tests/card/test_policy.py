# SPDX-License-Identifier: Apache-2.0
"""SET POLICY: any terminal may bring one, its own bank alone can make one, newer ones count."""

from typing import Any

import pytest

from firmware.wire.policy import Policy
from host_bridge.crypto.keys import SigningKey
from tests.card.bench import OK, Bench, refusal
from tests.doubles.desk import NOW


def test_a_newer_one_without_any_pin(bench: Bench) -> None:
    policy = bench.desk.policy(max_payment=5)
    bench.session.set_policy(policy)
    assert bench.tap().info.policy_version == policy.policy_version
    assert bench.boot().info.policy_version == policy.policy_version
    assert refusal(bench.session.pay, bench.desk.request(6)) == 0x9402


def test_the_same_again(bench: Bench) -> None:
    policy = bench.desk.policy()
    bench.session.set_policy(policy)
    after = bench.card.flash()
    bench.session.set_policy(policy)
    bench.boot()
    bench.session.set_policy(policy)
    assert bench.card.flash() == after


def test_an_older_one_or_another_of_the_same_version(bench: Bench) -> None:
    """R14: monotonic."""
    older = bench.desk.policy()
    newer = bench.desk.policy()
    bench.session.set_policy(newer)
    after = bench.card.flash()
    twin = bench.desk.policy(policy_version=newer.policy_version, max_payment=1)
    assert refusal(bench.session.set_policy, older) == 0x6985
    assert refusal(bench.session.set_policy, twin) == 0x6985
    bench.boot()
    assert refusal(bench.session.set_policy, older) == 0x6985
    assert bench.card.flash() == after


def test_the_highest_version_is_the_last(bench: Bench) -> None:
    """A bank that gave its last number away can give no other; nothing wraps around."""
    last = bench.desk.policy(policy_version=0xFFFFFFFF)
    bench.session.set_policy(last)
    assert refusal(bench.session.set_policy, bench.desk.policy(policy_version=1)) == 0x6985


@pytest.mark.parametrize("who", ["other bank", "forger", "shop", "issuer"])
def test_somebody_elses(who: str, bench: Bench) -> None:
    desk = bench.desk
    signer = {
        "other bank": desk.other_bank_key,
        "forger": SigningKey.generate(),
        "shop": desk.shop_key,
        "issuer": desk.issuer_key,
    }[who]
    before = bench.card.flash()
    assert refusal(bench.session.set_policy, desk.policy(signer=signer)) == 0x6A80
    bank: Any = desk.bank_key.key_id
    in_the_banks_name = desk.policy(signer=signer, bank=bank)
    assert refusal(bench.session.set_policy, in_the_banks_name) == 0x6A80
    assert refusal(bench.session.set_policy, desk.policy(currency=840)) == 0x6A80
    assert bench.card.flash() == before


def test_every_bit_counts(bench: Bench) -> None:
    """A policy with any bit turned over, or cut anywhere, changes nothing."""
    policy = bench.desk.policy()
    before = bench.card.flash()
    for at in range(len(policy.raw) * 8):
        raw = bytearray(policy.raw)
        raw[at // 8] ^= 1 << at % 8
        spoilt = Policy()
        spoilt.raw = bytes(raw)
        assert refusal(bench.session.set_policy, spoilt) == 0x6A80, at
    assert bench.card.flash() == before
    assert refusal(bench.session.set_policy, policy) == OK


def test_a_policy_that_ended_pays_no_more(bench: Bench) -> None:
    bench.session.set_policy(bench.desk.policy(valid_until=NOW - 1, issued_at=NOW - 2))
    assert refusal(bench.session.pay, bench.desk.request(1)) == 0x9405
    bench.session.set_policy(bench.desk.policy())
    assert refusal(bench.session.pay, bench.desk.request(1)) == OK
