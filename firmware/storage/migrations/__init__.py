# SPDX-License-Identifier: Apache-2.0
"""From each older layout of the storage to the next one, a step at a time, at boot.

A step may be cut anywhere: it begins anew at the next boot, and what says that it is done is
written last. It reads the old records and leaves them until then.
"""

from firmware.purse import state
from firmware.purse.ports import StorageDamaged
from firmware.wire.layout import WireError

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from firmware.purse.ports import Store
    from firmware.storage.memory import BoardMemory

_ONLY_1 = "access"  # a record of version 1, and of no other
_STEPS = {1: "from_1"}  # version: the module whose `migrate` leads to the next


def upgrade(memory: "BoardMemory") -> None:
    """Brings a card's memory to the layout of this firmware.

    What cannot be read is left as it is: the purse finds that out, and says so.
    """
    version = _version(memory)
    while version in _STEPS:  # ends: each step leads to a higher version
        name = _STEPS[version]
        module = __import__("firmware.storage.migrations." + name, None, None, (name,))
        try:
            version = module.migrate(memory)
        except (StorageDamaged, WireError, OSError):
            return
    _forget(memory.store)


def _forget(store: "Store") -> None:
    """Ends what a power cut left undone behind a step from version 1: a PIN is among it."""
    if store.names(_ONLY_1):
        from firmware.storage.migrations import from_1

        try:
            from_1.forget(store)
        except OSError:
            return  # another time


def _version(memory: "BoardMemory") -> int:
    """Of the newest state; version 1 had none, but records that no other version has."""
    found = []

    def see(place: int, kind: int, payload: bytes) -> None:
        if kind == state.STATE:
            found.append(payload[0])

    try:
        memory.state.load(see)
    except OSError:
        return state.VERSION
    if found:
        return found[-1]
    # Not by a record that later versions have too: a card that lost its state is damaged, and what
    # is left of it must not be written over.
    return 1 if memory.store.names(_ONLY_1) else state.VERSION
