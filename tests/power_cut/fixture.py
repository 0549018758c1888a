# SPDX-License-Identifier: Apache-2.0
"""The worlds and operations that the harness plays, as one JSON file.

A world is a card's flash at a moment: `steps` over another world, or the moment of a cut within
an operation; `fill` then says which logs are used up to the end of a sector. An operation is
`prelude` and `act` on a world; after a cut in `act` the card is asked `resume`, `act` again, and
`then`. All of them are lists of (command, answer) in hex. What an operation may sign and what it
leaves is told by a ledger that does not ask the card (`ledger`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from firmware.wire import apdu, status
from firmware.wire.apdu import CLA_QALTA, Command
from firmware.wire.certificate import ROLE_PURSE
from firmware.wire.limits import JOURNAL_CAPACITY, TOKEN_KEYS
from host_bridge.crypto import p256
from host_bridge.session.issuer import IssuerSession, Personalisation
from host_bridge.session.secure_channel import DEFAULT_KEYS, diversify
from tests.doubles.desk import PIN, PUK, Desk
from tests.power_cut import story as tale
from tests.power_cut.old_cards import NAMES as OLD
from tests.power_cut.old_cards import OldCard
from tests.power_cut.story import BALANCE, KEYS, NEW_KEY, SELECT, STATEMENT, Draws, Story, verify

NEW_PIN = "4321"
WRONG_PIN = "0000"
_NOTES = (300, 400, 500, 600)
_POLICY = {"max_offline_count": 200, "pinless_total": 5_000_000}
_EARLY, _LATE = 9, 5  # payments before and after the first acknowledgement
_ROUNDS = (45, 45)  # payments between acknowledgements, until the first sector may go
_SECTORS = 18  # of the journal, that are used up before its ring wraps


def write_fixture(path: Path, folder: Path) -> None:
    """Plays everything on CPython and writes it down; `folder` is for the cards."""
    with pytest.MonkeyPatch.context() as patch:
        path.write_text(json.dumps(_Fixture(Draws(patch), folder).whole()))


class _Fixture:
    def __init__(self, draws: Draws, folder: Path) -> None:
        self.desk = Desk()
        self.four = self.desk.request(1_400)  # from all four notes
        self.draws, self.folder = draws, folder
        self.blank = Story(self.desk, draws, folder / "blank")
        self.worlds: list[dict[str, Any]] = []
        self.operations: list[dict[str, Any]] = []

    def whole(self) -> dict[str, Any]:
        active, personalisation = self._personalise()
        money = self._money(active)
        self._money_operations(money)
        self._pin_operations(money)
        self._torn_operations(money)
        self._sector_operations(money)
        self._full_operations(active)
        self._wrapping_operations(active)
        self._crowded_operations(active)
        old = [OldCard(name, self.draws, self.folder) for name in OLD]
        self.worlds += [card.world for card in old]
        self.operations += [card.operation for card in old]
        return {
            "keys": [key.hex() for key in KEYS],
            "identities": [KEYS[0].hex(), *(card.identity.hex() for card in old)],
            "personalisation": personalisation,
            "worlds": self.worlds,
            "operations": self.operations,
        }

    def _personalise(self) -> tuple[Story, dict[str, Any]]:
        certificate = self.desk.certify(self.desk.bank_key, p256.public_key(KEYS[0]), ROLE_PURSE)
        keys = diversify(bytes(32), certificate.serial)
        content = Personalisation(
            root=self.desk.root.public_key,
            bank=self.desk.bank,
            purse=certificate,
            view_key=bytes(16),
            pin=PIN,
            puk=PUK,
            policy=self.desk.policy(**_POLICY),
            channel_keys=keys,
        )
        active = self.blank.fork("active")
        session = IssuerSession(active.card)
        session.select()
        session.open(DEFAULT_KEYS)
        session.identity_key()
        session.personalise(content)
        active.drawn = 1
        issuer = Command(CLA_QALTA, apdu.INS_PRESENT_CERTIFICATE, data=self.desk.issuer.raw)
        goes_on = active.fork("goes-on")
        goes_on.say(SELECT, issuer)
        goes_on.loads(1_000)
        goes_on.pays(10)
        common = {
            "world": "blank",
            "drawn": 0,
            "digests": _digests(goes_on),
            "left": [0, 0],
            "made": [],
        }
        first = {"name": "first_boot", "kind": "first", "then": [], **common}
        personalise = {"name": "personalise", "kind": "personalise", "then": goes_on.steps}
        self.operations += [first, {**personalise, **common}]
        items = [(item, data.hex()) for item, data in content.items()]
        channel_keys = dict(content.items())[apdu.ITEM_CHANNEL_KEYS].hex()
        active.say(SELECT, issuer)
        self._world("active", "", active)
        return active, {"items": items, "channel_keys": channel_keys}

    def _money(self, active: Story) -> Story:
        money = active.fork("money")
        money.say(SELECT)
        for value in _NOTES:
            money.loads(value)
        for number in range(_EARLY):
            money.pays(1 + number)
        money.say(money.acknowledgement())
        for number in range(_LATE):
            money.pays(20 + number)
        self._world("money", "active", money)
        return money

    def _money_operations(self, money: Story) -> None:
        desk = self.desk
        shown = [SELECT, verify(PIN)]
        one, four = desk.request(50), self.four
        self._operation("pay_one", "pay", money, [SELECT], [tale.pay(one)])
        self._operation("pay_four", "pay", money, [SELECT], [tale.pay(four)])
        key = money.fork("key")
        key.say(*shown, NEW_KEY)
        load = key.note(700)
        self._operation("load", "plain", money, [*shown, NEW_KEY], [load], [SELECT])
        self._operation("generate_key", "plain", money, shown, [NEW_KEY])
        policy = Command(CLA_QALTA, apdu.INS_SET_POLICY, data=desk.policy(**_POLICY).raw)
        self._operation("set_policy", "plain", money, [SELECT], [policy])
        authority = Command(CLA_QALTA, apdu.INS_PRESENT_CERTIFICATE, data=desk.authority.raw)
        self._operation("present", "plain", money, [SELECT], [authority])
        word = money.acknowledgement(2)
        self._operation("acknowledge", "plain", money, [SELECT], [word])

    def _pin_operations(self, money: Story, world: str = "", end: str = "") -> None:
        acts = {
            "verify": [verify(PIN)],
            "verify_wrong": [verify(WRONG_PIN)],
            "change_pin": [tale.change(PIN, NEW_PIN)],
            "unblock_pin": [tale.unblock(NEW_PIN)],
        }
        for name, act in acts.items():
            new = NEW_PIN if name in ("change_pin", "unblock_pin") else PIN
            pins = [verify(pin).raw.hex() for pin in (PIN, new)]
            more = {"pins": pins, "tries": verify("").raw.hex()}
            more["unblock"] = tale.unblock(PIN).raw.hex()
            self._operation(name + end, "pin", money, [SELECT], act, world=world, more=more)

    def _torn_operations(self, money: Story) -> None:
        """On what a cut within the payment from four notes left behind."""
        four = self.operations[[row["name"] for row in self.operations].index("pay_four")]
        for name in ("intent_left", "intent_taken", "unsigned"):
            self.worlds.append({"name": name, "cut": "pay_four", "drawn": money.drawn})
        left = four["left"][1]  # either is completed
        for name in ("intent_left", "intent_taken"):
            row = {**four, "name": "boot_" + name, "kind": "boot", "world": name}
            self.operations.append({**row, "left": [left, left]})
        unsigned = money.fork("unsigned")
        unsigned.say(SELECT, tale.pay(self.four))
        unsigned.last_payment = self.four.payment_id
        recovered = [tale.recover(self.four.payment_id)]
        self._operation("recover", "plain", unsigned, [SELECT], recovered, world="unsigned")
        export = [STATEMENT, *(tale.entry(index) for index in range(_LATE + 1))]
        shown = [SELECT, verify(PIN)]
        self._operation("export", "plain", unsigned, shown, export, world="unsigned")

    def _sector_operations(self, money: Story) -> None:
        """Where the next record does not fit into its sector any more."""
        for log, sectors in (("journal", 0), ("state", 0), ("counter", 0), ("counter", 1)):
            name = f"{log}_end" + ("_twice" if sectors else "")
            world = {"name": name, "from": "money", "steps": [], "fill": [[log, sectors]]}
            self.worlds.append({**world, "drawn": money.drawn})
        every = {"name": "every_end", "from": "money", "steps": [], "drawn": money.drawn}
        self.worlds.append({**every, "fill": [["state", 0], ["counter", 0], ["journal", 2]]})
        for name in ("journal_end", "counter_end", "counter_end_twice", "every_end"):
            acts = [tale.pay(self.desk.request(50))]
            self._operation(f"pay_{name}", "pay", money, [SELECT], acts, world=name)
        self._pin_operations(money, "state_end", "_state_end")
        word = money.acknowledgement(2)
        self._operation("ack_state_end", "plain", money, [SELECT], [word], world="state_end")

    def _full_operations(self, active: Story) -> None:
        full = active.fork("full")
        full.say(SELECT)
        full.loads(100_000)
        for number in range(JOURNAL_CAPACITY - 1):
            full.pays(1 + number)
        self._world("full", "active", full)
        last = self.desk.request(50)
        self._operation("pay_last", "pay", full, [SELECT], [tale.pay(last)])
        self._operation("acknowledge_full", "plain", full, [SELECT], [full.acknowledgement()])

    def _wrapping_operations(self, active: Story) -> None:
        """The journal's ring is about to close: its oldest sector is given up for a new one."""
        long = active.fork("long")
        long.say(SELECT)
        long.loads(100_000)
        for round_, count in enumerate(_ROUNDS):
            for number in range(count):
                long.pays(1 + number)
            long.say(long.acknowledgement(1 + round_))
        for number in range(_LATE):
            long.pays(20 + number)
        self._world("long", "active", long)
        world = {"name": "wrapping", "from": "long", "steps": [], "drawn": long.drawn}
        self.worlds.append({**world, "fill": [["journal", _SECTORS]]})
        acts = [tale.pay(self.desk.request(50))]
        self._operation("pay_wrapping", "pay", long, [SELECT], acts, world="wrapping")

    def _crowded_operations(self, active: Story) -> None:
        """Every slot has a note; the first one is spent and forgotten, and its slot used again."""
        crowded = active.fork("crowded")
        crowded.say(SELECT)
        for _ in range(TOKEN_KEYS):
            crowded.loads(100)
        crowded.pays(100)
        for _ in range(_EARLY):
            crowded.pays(1)
        crowded.say(crowded.acknowledgement())
        self._world("crowded", "active", crowded)
        self._operation("reuse_slot", "plain", crowded, [SELECT, verify(PIN)], [NEW_KEY])

    def _world(self, name: str, base: str, story: Story) -> None:
        world = {"name": name, "from": base, "steps": story.steps, "drawn": story.drawn}
        self.worlds.append(world)

    def _operation(  # type: ignore[no-untyped-def]
        self, name, kind, story, prelude, act, resume=None, *, world="", more=()
    ) -> None:
        card = story.fork("operation")
        row = {"name": name, "kind": kind, "world": world or story.folder.name}
        row["prelude"] = card.say(*prelude)
        row["drawn"] = story.drawn
        before, known = card.ledger.left, _digests(card)
        row["act"] = card.say(*act)
        row["left"] = [before, card.ledger.left]
        row["made"] = [digest for digest in _digests(card) if digest not in known]
        if kind == "pay":
            card.last_payment = act[0].data[8:24]
            row["recover"] = card.say(tale.recover(card.last_payment))
        row["resume"] = story.fork("resume").say(*(resume or prelude))
        if kind == "pin":
            card.say(tale.unblock(PIN))
        then = self._goes_on(card)
        row["then"] = then.steps
        row["digests"] = _digests(then)
        self.operations.append({**row, **dict(more)})

    def _goes_on(self, card: Story) -> Story:
        """A payment, an old one recovered, a sync and another payment."""
        then = card.fork("then")
        waiting = len(card.card.purse.journal.waiting)
        is_full = waiting == JOURNAL_CAPACITY
        then.say(SELECT, verify(PIN), BALANCE)
        then.pays(7, status.JOURNAL_FULL if is_full else status.OK)
        then.say(tale.recover(card.last_payment), STATEMENT, tale.entry(0))
        then.say(then.acknowledgement(3), BALANCE)
        then.pays(8)
        return then


def _digests(story: Story) -> list[str]:
    """Everything that the token keys of this card may ever sign."""
    return [digest.hex() for digest in story.ledger.runs]
