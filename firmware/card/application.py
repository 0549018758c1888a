# SPDX-License-Identifier: Apache-2.0
"""The card application: APDU in, APDU out. Chaining, `61xx`, the secure channel, dispatch."""

from firmware.card.dispatch import check_class, find
from firmware.card.session import Session
from firmware.purse.personalisation import Personalisation
from firmware.purse.ports import Memory, StorageDamaged
from firmware.purse.purse import Purse
from firmware.wire import apdu, status
from firmware.wire.apdu import CLA_CHAINED, CLA_ISO, CLA_SECURED, MAX_SHORT_ANSWER, Command
from firmware.wire.layout import WireError
from firmware.wire.limits import MAX_CHAINED
from firmware.wire.status import Refusal

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from firmware.card.secure_channel import SecureChannel


class Application:
    """One purse behind APDUs. `reset` begins a new tap, `process` answers one command."""

    def __init__(self, memory: Memory, purse: Purse) -> None:
        self._purse = purse
        self._personalisation = Personalisation(memory.store, purse)
        self._in_doubt = False  # a command broke off: what the store holds is not known
        self.reset()

    def reset(self) -> None:
        """The card came into the field: whatever the last reader had shown is forgotten.

        What could not be read may be readable now: an element that did not answer, for one.
        """
        if self._purse.damage:
            self._purse.reload()
        self._session = Session(self._purse, self._personalisation)
        self._channel: "SecureChannel | None" = None
        self._rest = b""  # of an answer that GET RESPONSE fetches
        self._gathered = b""  # data of a command that comes chained
        self._gathering: "tuple[int, int, int, int] | None" = None  # its header

    def process(self, raw: bytes) -> bytes:
        """The response APDU to a command APDU. Bad bytes are answered, never raised."""
        try:
            command = Command.parse(raw)
        except WireError:
            return _word(status.WRONG_LENGTH)
        if self._in_doubt:
            self._purse.reload()
        try:
            self._in_doubt = True  # until an answer stands, whatever is raised (MemoryError too)
            answer = self._answer(command)
        except Refusal as refusal:
            answer = _word(refusal.word)
        except WireError:
            answer = _word(status.WRONG_DATA)
        except (StorageDamaged, OSError):
            return _word(status.MEMORY_FAILURE)
        self._in_doubt = False
        return answer

    def rest(self) -> bool:
        """For when nobody waits: makes room in the flash; says whether there was work."""
        if self._in_doubt:
            return False
        try:
            return self._purse.rest()
        except (StorageDamaged, OSError):
            self._in_doubt = True
            return False

    def _answer(self, command: Command) -> bytes:
        if command.ins == apdu.INS_GET_RESPONSE and command.cla == CLA_ISO:
            return self._next_part(command)
        self._rest = b""
        whole = self._gather(command)
        if whole is None:
            return _word(status.OK)
        if whole.ins == apdu.INS_INITIALIZE_UPDATE:
            return self._open_channel(whole)
        if whole.ins == apdu.INS_EXTERNAL_AUTHENTICATE:
            return self._authenticate(whole)
        if whole.cla == CLA_SECURED:
            return self._secured(whole)
        return self._out(self._execute(whole), whole.le)

    def _execute(self, command: Command) -> bytes:
        function = find(command)
        if command.ins == apdu.INS_SELECT:
            self._channel = None  # it was another selection's
        elif not self._session.is_selected:
            raise Refusal(status.CONDITIONS_NOT_MET)
        return function(self._session, command)

    def _gather(self, command: Command) -> "Command | None":
        """The whole command, or None while more of it is to come (ISO 7816-4 chaining)."""
        header = (command.cla & ~CLA_CHAINED, command.ins, command.p1, command.p2)
        chained = command.cla & CLA_CHAINED
        if chained and header[0] == CLA_SECURED:
            raise Refusal(status.CHAINING_NOT_SUPPORTED)
        if chained:
            check_class(header[0])
        if self._gathering is not None and self._gathering != header:
            self._gathering, self._gathered = None, b""
        data = self._gathered + command.data
        self._gathering, self._gathered = None, b""
        if len(data) > MAX_CHAINED:
            raise Refusal(status.WRONG_LENGTH)
        if chained:
            self._gathering, self._gathered = header, data
            return None
        return Command(*header, data=data, le=command.le)

    def _out(self, data: bytes, le: "int | None") -> bytes:
        """As much of the answer as fits, and how much waits for GET RESPONSE."""
        size = MAX_SHORT_ANSWER if le is None else le
        self._rest = data[size:]
        if not self._rest:
            return data + _word(status.OK)
        return data[:size] + _word(status.MORE_DATA | _more(self._rest))

    def _next_part(self, command: Command) -> bytes:
        if not self._rest:
            raise Refusal(status.CONDITIONS_NOT_MET)
        return self._out(self._rest, command.le)

    # -- the secure channel, for personalisation ---------------------------------------------

    def _open_channel(self, command: Command) -> bytes:
        # Imported here, so that a card which only pays never loads it.
        from firmware.card import scp03
        from firmware.card.secure_channel import SecureChannel

        self._purse.require(apdu.LIFECYCLE_BLANK)
        size = scp03.BLOCK_SIZE
        keys = self._personalisation.channel_keys()
        version = scp03.KEY_VERSION_FIRST if keys is None else scp03.KEY_VERSION_ISSUER
        keys = keys or 3 * scp03.FIRST_KEY
        random = self._purse.element.random
        channel = SecureChannel(keys[:size], keys[size : 2 * size], random, version)
        self._channel = channel
        return channel.initialize_update(command) + _word(status.OK)

    def _authenticate(self, command: Command) -> bytes:
        if self._channel is None:
            raise Refusal(status.CONDITIONS_NOT_MET)
        self._channel.external_authenticate(command)
        return _word(status.OK)

    def _secured(self, command: Command) -> bytes:
        if self._channel is None:
            raise Refusal(status.CONDITIONS_NOT_MET)
        plain = self._channel.unwrap(command)
        self._session.is_secured = True
        try:
            data = self._execute(plain)
        finally:
            self._session.is_secured = False
        return self._channel.wrap(data, status.OK) + _word(status.OK)


def _more(rest: bytes) -> int:
    return len(rest) if len(rest) < MAX_SHORT_ANSWER else 0


def _word(word: int) -> bytes:
    return bytes([word >> 8, word & 0xFF])
