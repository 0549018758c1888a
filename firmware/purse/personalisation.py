# SPDX-License-Identifier: Apache-2.0
"""What makes a blank card a purse: the items of STORE DATA, in any order, then ACTIVATE."""

from firmware.purse.access import check_pin_format, check_puk_format
from firmware.purse.ports import Store
from firmware.purse.purse import Purse
from firmware.wire import apdu, status
from firmware.wire.layout import WireError
from firmware.wire.status import Refusal

_CHANNEL_KEYS = "channel-keys"


class Personalisation:
    """The items of one purse, before it is ACTIVE.

    The caller has checked that it may, and that the channel's keys are fit for it.
    """

    def __init__(self, store: Store, purse: Purse) -> None:
        self._store = store
        self._purse = purse

    def store(self, item: int, data: bytes) -> None:
        """Keeps one item. Raises Refusal: 6A86 for an unknown one, 6A80 or 6700 for bad data."""
        profile, access = self._purse.profile, self._purse.access
        actions = {
            apdu.ITEM_ROOT: profile.store_root,
            apdu.ITEM_BANK: profile.store_bank,
            apdu.ITEM_PURSE: profile.store_purse,
            apdu.ITEM_VIEW_KEY: profile.store_view_key,
            apdu.ITEM_POLICY: profile.store_policy,
            apdu.ITEM_PIN: lambda pin: access.give_pin(check_pin_format(pin)),
            apdu.ITEM_PUK: lambda puk: access.give_puk(check_puk_format(puk)),
            apdu.ITEM_CHANNEL_KEYS: lambda keys: self._store.replace(_CHANNEL_KEYS, keys),
            apdu.ITEM_ACTIVATE: self._activate,
        }
        action = actions.get(item)
        if action is None:
            raise Refusal(status.WRONG_P1P2)
        try:
            action(data)
        except WireError:
            raise Refusal(status.WRONG_DATA) from None

    def channel_keys(self) -> "bytes | None":
        """The keys that this card's issuer gave it; None while it has the ones it came with."""
        return self._store.read(_CHANNEL_KEYS)

    def _activate(self, data: bytes) -> None:
        """A card with the public first keys, or without PIN and PUK, never becomes a purse."""
        if data:
            raise Refusal(status.WRONG_LENGTH)
        if self.channel_keys() is None or not self._purse.access.is_set:
            raise Refusal(status.CONDITIONS_NOT_MET)
        self._purse.profile.activate()
