# SPDX-License-Identifier: Apache-2.0
"""The rules of money: on a purse what may leave it, for a payee what may be believed.

No I/O and no hardware: stores, elements and signature checks are handed in as objects. A
till, a wallet, the bank and `qalta verify` use the very same verification.
"""
