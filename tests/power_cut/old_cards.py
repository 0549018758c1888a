# SPDX-License-Identifier: Apache-2.0
"""Cards of an earlier storage (`tests/persistence`), whose first boot by this firmware is cut."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Any

from boards.VIRTUAL.partitions import BLOCK_SIZE, read_partitions
from firmware.wire import status
from provisioning.image import mount_files
from tests.persistence import old_images
from tests.power_cut import story as tale
from tests.power_cut.ledger import Ledger
from tests.power_cut.story import BALANCE, SELECT, Draws, Story, verify

_IMAGES = Path(old_images.__file__).with_name("version-1")
NAMES = ("lived", "intent-left", "intent-taken", "unsigned")
_COMPLETED = NAMES[1:]  # whose last payment was not answered, and is made
_RECOVERED = 3  # of the newest payments, at each trial
_VALUE_AT = 20  # in a note
_HEAD, _CRC, _KEY = 1, 4, 32  # of a record of version 1; of a key in one
_LATER = 400  # days: behind whatever its bank has said


class OldCard:
    """One of them: its `world`, and its `operation`, which is to boot it."""

    def __init__(self, name: str, draws: Draws, folder: Path) -> None:
        self._facts = old_images.facts_of(name)
        self._vfs = gzip.decompress((_IMAGES / f"{name}.vfs.gz").read_bytes())
        self._folder = folder / f"old-{name}"
        records = self._extracted()
        story = Story(old_images.old_desk(), draws, self._folder, ledger=_loaded(records))
        self.identity = records["element/key.00"][:_KEY]
        balance = self._facts["balance"]
        left = sum(balance.values()) if isinstance(balance, dict) else int(balance)
        if name in _COMPLETED:
            left -= int(self._facts["payment"]["amount"])
        recovered = self._recovered(story)
        story.ledger.earlier = story.ledger.left - left
        self.world = {"name": self._folder.name, "from": "", "steps": [], "drawn": 0}
        self.world["vfs"] = _sectors(self._vfs)
        row = {"name": "migrate_" + name.replace("-", "_"), "kind": "boot", "drawn": 0}
        row |= {"world": self._folder.name, "act": [], "made": [], "left": [left, left]}
        shown = [SELECT, verify(self._facts["pin"])]
        then = story.fork("then")
        row["resume"] = then.say(*shown, BALANCE)
        row["recover"] = recovered[-_RECOVERED:]
        then.steps = []
        then.say(*shown)
        then.pays(7)
        then.say(then.acknowledgement(_LATER, self._facts["pin"]), BALANCE)
        then.pays(8)
        row |= {"then": then.steps, "digests": [digest.hex() for digest in then.ledger.runs]}
        self.operation: dict[str, Any] = row

    def _extracted(self) -> dict[str, bytes]:
        """Its files are put into the folder; returns its records, without what frames them."""
        files = mount_files(b"\xff" * read_partitions()["vfs"].offset + self._vfs)
        records = {}
        for folder, _, names in files.walk("/"):
            for name in names:
                path = f"{folder}/{name}".lstrip("/")
                with files.open("/" + path, "rb") as file:
                    raw = bytes(file.read())
                target = self._folder / "vfs" / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(raw)
                records[path] = raw[_HEAD:-_CRC]
        return records

    def _recovered(self, story: Story) -> tale.Pairs:
        """Every payment that it can still answer, with the answer that it had once given."""
        payments = self._facts.get("payments") or [self._facts["payment"]]
        card, pairs = story.fork("recovered"), []
        card.asks_ledger = False  # which does not know yet what was paid before
        for row in payments:
            said = card.say(tale.recover(bytes.fromhex(row["payment_id"])))
            if tale.last_word(said) == status.OK:
                whole = b"".join(bytes.fromhex(answer)[:-2] for _, answer in said)
                story.ledger.take(whole)
                known = row.get("answer_sha256")
                assert known in (None, hashlib.sha256(whole).hexdigest()), "the same bytes (I3)"
                pairs += said
        return pairs


def _loaded(records: dict[str, bytes]) -> Ledger:
    ledger = Ledger()
    for name, record in records.items():
        if name.startswith("purse/note."):
            ledger.load(record, int.from_bytes(record[_VALUE_AT : _VALUE_AT + 4], "big"))
    return ledger


def _sectors(content: bytes) -> dict[str, str]:
    """What is not erased, by the number of the sector."""
    starts = range(0, len(content), BLOCK_SIZE)
    found = {str(at // BLOCK_SIZE): content[at : at + BLOCK_SIZE] for at in starts}
    return {at: part.hex() for at, part in found.items() if part != b"\xff" * BLOCK_SIZE}
