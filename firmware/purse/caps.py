# SPDX-License-Identifier: Apache-2.0
"""The caps of a policy, held against one payment (protocol sections 3 and 4)."""

from firmware.wire import status
from firmware.wire.limits import JOURNAL_CAPACITY
from firmware.wire.policy import BAN_PAY, Policy
from firmware.wire.status import Refusal


class Since:
    """What a purse has done since its last acknowledgement."""

    def __init__(self) -> None:
        self.total = 0  # tiyn paid
        self.count = 0  # payments
        self.pinless = 0  # tiyn paid without a PIN since the last payment with one

    def add(self, amount: int, with_pin: bool) -> None:
        """Takes note of one payment."""
        self.total += amount
        self.count += 1
        self.pinless = 0 if with_pin else self.pinless + amount


def check(
    policy: Policy, since: Since, amount: int, now: int, last_sync: int, with_pin: bool
) -> None:
    """Refuses, with its own word, the payment that would break a cap; changes nothing."""
    limits = policy.limits
    if policy.bans(BAN_PAY):
        raise Refusal(status.BANNED)
    if amount > limits.max_payment:
        raise Refusal(status.OVER_PAYMENT_LIMIT)
    if now > policy.valid_until or now - last_sync > limits.max_offline_seconds:
        raise Refusal(status.SYNC_OVERDUE)
    if since.total + amount > limits.max_offline_total:
        raise Refusal(status.OFFLINE_TOTAL)
    if since.count + 1 > limits.max_offline_count:
        raise Refusal(status.OFFLINE_COUNT)
    if since.count + 1 > JOURNAL_CAPACITY:
        raise Refusal(status.JOURNAL_FULL)
    if not with_pin and (
        amount > limits.pinless_payment or since.pinless + amount > limits.pinless_total
    ):
        raise Refusal(status.NOT_AUTHENTICATED)
