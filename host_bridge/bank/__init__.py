# SPDX-License-Identifier: Apache-2.0
"""The reference bank: what devices are provisioned against and sync to, in one SQLite file."""

from host_bridge.bank.founding import FoundingPlan
from host_bridge.bank.reference import ReferenceBank

__all__ = ["FoundingPlan", "ReferenceBank"]
