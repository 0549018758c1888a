# SPDX-License-Identifier: Apache-2.0
"""The purse as its issuer sees it before it is active: personalisation, over a secure channel."""

from __future__ import annotations

from dataclasses import dataclass, field

from firmware.wire import apdu
from firmware.wire.apdu import CLA_QALTA, Command
from firmware.wire.certificate import Certificate
from firmware.wire.layout import PUBLIC_KEY_SIZE, WireError, check_point
from firmware.wire.limits import VIEW_KEY_SIZE
from firmware.wire.policy import Policy
from host_bridge.session.exchange import CardMisbehaved, Exchange
from host_bridge.session.purse import PurseInfo, PurseSession, pin_bytes, puk_bytes
from host_bridge.session.secure_channel import (
    ChannelError,
    ChannelKeys,
    SecuredExchange,
    open_channel,
)
from host_bridge.transport.base import Transport


@dataclass(frozen=True)
class Personalisation:
    """What makes a blank card a purse of one client. Its repr shows no secret.

    `root` is the root's public key; `purse` is the bank's certificate over the identity key that
    `IssuerSession.identity_key` gave; `view_key` is shared with the bank alone; `channel_keys`
    take the place of the keys that the blank card came with.
    """

    root: bytes
    bank: Certificate
    purse: Certificate
    view_key: bytes = field(repr=False)
    pin: str = field(repr=False)
    puk: str = field(repr=False)
    policy: Policy
    channel_keys: ChannelKeys = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.root) != PUBLIC_KEY_SIZE:
            raise ValueError("the root's public key has 64 bytes")
        if len(self.view_key) != VIEW_KEY_SIZE:
            raise ValueError("a view key has 16 bytes")

    def items(self) -> list[tuple[int, bytes]]:
        """(item, data) of each STORE DATA, in order. Raises BadPinFormat.

        The channel keys come last, so that whatever goes wrong before leaves the card one that
        the keys of a blank card still open.
        """
        return [
            (apdu.ITEM_ROOT, self.root),
            (apdu.ITEM_BANK, self.bank.raw),
            (apdu.ITEM_PURSE, self.purse.raw),
            (apdu.ITEM_VIEW_KEY, self.view_key),
            (apdu.ITEM_PIN, pin_bytes(self.pin)),
            (apdu.ITEM_PUK, puk_bytes(self.puk)),
            (apdu.ITEM_POLICY, self.policy.raw),
            (apdu.ITEM_CHANNEL_KEYS, self.channel_keys.raw),
        ]


class IssuerSession:
    """One card on the issuer's desk: `select`, `open`, `identity_key`, then `personalise`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._channel: SecuredExchange | None = None

    def select(self) -> PurseInfo:
        """Selects the purse application; an open channel ends here."""
        self._channel = None
        return PurseSession(self._transport).select()

    def open(self, keys: ChannelKeys) -> None:
        """Opens the secure channel. Raises ChannelError where the card has other keys."""
        self._channel = None
        self._channel = open_channel(Exchange(self._transport), keys)

    def identity_key(self) -> bytes:
        """The public key of the card's identity, 64 bytes, for the bank to certify."""
        answer = self._ask(apdu.INS_GENERATE_KEY, apdu.P1_IDENTITY_KEY)
        if len(answer) != PUBLIC_KEY_SIZE:
            raise CardMisbehaved("the card's identity key is nonsense: its length is wrong")
        try:
            check_point(answer)
        except WireError as error:
            raise CardMisbehaved(f"the card's identity key is nonsense: {error}") from None
        return answer

    def store(self, item: int, data: bytes) -> None:
        """Gives the card one of the ITEM_… that make it a purse."""
        self._ask(apdu.INS_STORE_DATA, item, data)

    def activate(self) -> None:
        """Ends personalisation for good: the card is a purse, and the channel is closed."""
        self.store(apdu.ITEM_ACTIVATE, b"")
        if self._channel is not None:
            self._channel.close()
        self._channel = None

    def personalise(self, personalisation: Personalisation) -> None:
        """Stores everything and activates the card. Nothing is sent if a PIN is malformed.

        Cut before its last step, the card is still blank and may be begun anew, with the new
        channel keys if it took them already. Raises what `SecuredExchange.send` does.
        """
        for item, data in personalisation.items():
            self.store(item, data)
        self.activate()

    def _ask(self, ins: int, p1: int, data: bytes = b"") -> bytes:
        if self._channel is None:
            raise ChannelError("the secure channel to the card is not open")
        return self._channel.send(Command(CLA_QALTA, ins, p1, 0, data))
