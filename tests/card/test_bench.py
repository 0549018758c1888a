# SPDX-License-Identifier: Apache-2.0
"""The bench's own check, which many tests of the card lean on."""

import pytest

from firmware.purse.trust import Rejected
from firmware.wire.transfer import Transfer
from tests.card.bench import Bench


def test_bench_verifies(bench: Bench) -> None:
    """A token whose run was taken before, by another payment, is found."""
    request = bench.desk.request(5)
    tokens = bench.pay(request)
    earlier = Transfer.parse(tokens[0].transfer.raw)
    earlier.payment_id = bytes(16)
    bench.taken = [earlier]
    with pytest.raises(Rejected, match="spent here before"):
        bench.verified(request, tokens)
