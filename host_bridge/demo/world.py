# SPDX-License-Identifier: Apache-2.0
"""The world of a scenario: bank, tills and cards as its file has them, ready to be played."""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from firmware.wire.journal import KeyAttestation
from firmware.wire.note import Note
from host_bridge.bank import ReferenceBank
from host_bridge.bank.founding import AuthorityPlan, BankPlan, FoundingPlan
from host_bridge.crypto.keys import SigningKey
from host_bridge.demo import scenario as plan
from host_bridge.demo.cards import Card, CardMaker
from host_bridge.demo.scenario import Scenario
from host_bridge.sync.port import BankPort, BankUnreachable
from pos_terminal.install import Setup, install_till
from pos_terminal.till import Till
from provisioning.personalise import Order, Wanted, load, personalise, random_puk

_OPENING = datetime.time(6, 0)  # when the world is set up, before the first step of the day

Progress = Callable[[str], None]


class Clock:
    """The one clock of a scenario: it stands where the last step put it."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        """Unix seconds."""
        return self.now


class Line:
    """A till's line to the bank, which can be down."""

    def __init__(self, bank: BankPort) -> None:
        self._bank = bank
        self.is_up = True

    def __getattr__(self, name: str) -> Any:
        if not self.is_up:
            raise BankUnreachable("there is no line to the bank")
        return getattr(self._bank, name)


class CounterBank:
    """A bank that pays a load out of its counter's wallet, and is itself in all else."""

    def __init__(self, bank: ReferenceBank, counter_id: str) -> None:
        self._bank = bank
        self._counter_id = counter_id

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bank, name)

    def load(
        self, bank_name: str, serial: bytes, attestation: KeyAttestation, amount_tiyn: int
    ) -> Note:
        """A note for the purse, from what the counter took."""
        return self._bank.pass_on(self._counter_id, serial, attestation, amount_tiyn)


@dataclass
class Holder:
    """A card in somebody's hands."""

    card: Card
    client_id: str
    bank_name: str
    pin: str = field(repr=False)
    serial: bytes
    is_copy: bool = False


class World:
    """Everything that a scenario needs, in one folder."""

    def __init__(self, scenario: Scenario, folder: Path, cards: CardMaker) -> None:
        self.scenario = scenario
        self.folder = folder
        self.clock = Clock(scenario.at(_OPENING))
        self.holders: dict[str, Holder] = {}
        self.tills: dict[str, Till] = {}
        self.lines: dict[str, Line] = {}
        self.passed_on: dict[str, int] = {}  # tiyn by the bank's counter, out of its wallet again
        self._cards = cards
        self._master_key = secrets.token_bytes(32)
        self.bank = ReferenceBank.found(
            folder / "bank", _founding_plan(scenario), clock=self.clock
        )

    def set_up(self, progress: Progress) -> None:
        """Opens accounts, installs tills, makes cards and loads them."""
        self._open_accounts()
        for till in self.scenario.till:
            progress(f"installing till {till.id}")
            self._install(till)
        for card in self.scenario.card:
            progress(f"personalising card {card.id}")
            self._make(card)

    def _open_accounts(self) -> None:
        bank = self.bank
        for client in self.scenario.client:
            bank.add_client(client.bank, client.id, client.name, f"KYC-{client.id}")
        for merchant in self.scenario.merchant:
            purposes = [self.scenario.purposes[name] for name in merchant.purposes]
            bank.add_merchant(
                merchant.bank,
                merchant.id,
                merchant.name,
                f"KYC-{merchant.id}",
                mcc=merchant.mcc,
                purposes=purposes,
            )
        for one in self.scenario.bank:
            current = {x.id: x.current for x in self.scenario.client if x.bank == one.name}
            bank.open_books(one.name, correspondent_tiyn=one.correspondent, current_tiyn=current)
            bank.issue(one.name, one.issue)

    def _install(self, till: plan.Till) -> None:
        merchant = next(one for one in self.scenario.merchant if one.id == till.merchant)
        key = SigningKey.generate()
        certificate = self.bank.certify_terminal(merchant.bank, merchant.id, key.public_key)
        folder = self.folder / "tills" / till.id
        setup = Setup(self.bank.root_public_key, key, certificate)
        install_till(folder, setup, self.bank.directory())
        self.tills[till.id] = Till.open(folder, clock=self.clock)
        self.lines[till.id] = Line(self.bank)

    def _make(self, card: plan.Card) -> None:
        client = next(one for one in self.scenario.client if one.id == card.client)
        blank = self._cards.blank(card.id, card.bits)
        order = Order(client.bank, client.id, card.pin, random_puk(), self._master_key)
        with blank.open() as transport:
            certificate = personalise(transport, self.bank, order)
            for part in card.load:
                purpose = self.scenario.purposes[part.purpose] if part.purpose else 0
                wanted = Wanted(part.amount, purpose, part.authority)
                load(transport, self.bank, client.bank, card.pin, wanted)
        holder = Holder(blank, client.id, client.bank, card.pin, certificate.serial)
        self.holders[card.id] = holder

    def clone(self, card_id: str, copy_id: str) -> None:
        """A thief's copy of a card, with everything that was in its memory."""
        victim = self.holders[card_id]
        copy = victim.card.copy(copy_id)
        self.holders[copy_id] = Holder(
            copy, victim.client_id, victim.bank_name, victim.pin, victim.serial, is_copy=True
        )

    def pass_on(self, counter_id: str, to_card: str, amount_tiyn: int) -> None:
        """What a bank's counter took becomes a note on another card."""
        receiver = self.holders[to_card]
        source = CounterBank(self.bank, counter_id)
        with receiver.card.open() as transport:
            load(transport, source, receiver.bank_name, receiver.pin, Wanted(amount_tiyn))
        self.passed_on[counter_id] = self.passed_on.get(counter_id, 0) + amount_tiyn

    def client_name(self, card_id: str) -> str:
        """Who holds a card, as people know them."""
        client_id = self.holders[card_id].client_id
        return next(one.name for one in self.scenario.client if one.id == client_id)

    def merchant_of(self, till_id: str) -> plan.Merchant:
        """Whose till it is."""
        till = next(one for one in self.scenario.till if one.id == till_id)
        return next(one for one in self.scenario.merchant if one.id == till.merchant)

    def close(self) -> None:
        """Cards off, tills closed, bank closed."""
        for holder in self.holders.values():
            holder.card.close()
        for till in self.tills.values():
            till.close()
        self.bank.close()


def _founding_plan(scenario: Scenario) -> FoundingPlan:
    banks = tuple(BankPlan(name=bank.name, policy=dict(scenario.policy)) for bank in scenario.bank)
    authorities = tuple(
        AuthorityPlan(
            name=one.name,
            bank=one.bank,
            purposes=tuple(scenario.purposes[name] for name in one.purposes),
            budget_tiyn=one.budget,
        )
        for one in scenario.authority
    )
    return FoundingPlan(banks=banks, authorities=authorities)
