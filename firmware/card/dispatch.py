# SPDX-License-Identifier: Apache-2.0
"""Which command is which function: a static table, imported on use.

A command's module stays on flash until the first reader asks for it, so that a payment does
not pay with heap for what only personalisation needs.
"""

from firmware.wire import apdu, status
from firmware.wire.apdu import CLA_ISO, CLA_QALTA, CLA_SECURED, Command
from firmware.wire.status import Refusal

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from collections.abc import Callable

    from firmware.card.session import Session

_CLASS_BITS = 0xF0 & ~apdu.CLA_CHAINED  # the rest says chaining, secure messaging, channel
_CHANNEL_BITS = 0x03
_CLASSES = (CLA_ISO, CLA_QALTA, CLA_SECURED)

# instruction: (class, module and function)
_COMMANDS = {
    apdu.INS_SELECT: (CLA_ISO, "select"),
    apdu.INS_VERIFY: (CLA_ISO, "verify"),
    apdu.INS_CHANGE_REFERENCE_DATA: (CLA_ISO, "change_reference_data"),
    apdu.INS_RESET_RETRY_COUNTER: (CLA_ISO, "reset_retry_counter"),
    apdu.INS_PRESENT_CERTIFICATE: (CLA_QALTA, "present_certificate"),
    apdu.INS_PAY: (CLA_QALTA, "pay"),
    apdu.INS_RECOVER: (CLA_QALTA, "recover"),
    apdu.INS_GET_BALANCE: (CLA_QALTA, "get_balance"),
    apdu.INS_LOAD: (CLA_QALTA, "load"),
    apdu.INS_EXPORT: (CLA_QALTA, "export"),
    apdu.INS_ACKNOWLEDGE: (CLA_QALTA, "acknowledge"),
    apdu.INS_SET_POLICY: (CLA_QALTA, "set_policy"),
    apdu.INS_GENERATE_KEY: (CLA_QALTA, "generate_key"),
    apdu.INS_STORE_DATA: (CLA_QALTA, "store_data"),
}


def check_class(cla: int) -> None:
    """Raises Refusal(6E00 or 6881) for a class, less the bit of chaining, that is not ours."""
    if cla & ~_CHANNEL_BITS not in _CLASSES:
        raise Refusal(status.UNKNOWN_CLASS)
    if cla & _CHANNEL_BITS:
        raise Refusal(status.CHANNEL_NOT_SUPPORTED)


def find(command: Command) -> "Callable[[Session, Command], bytes]":
    """The function that carries out `command`. Raises Refusal(6E00, 6881 or 6D00)."""
    check_class(command.cla)
    row = _COMMANDS.get(command.ins)
    if row is None:
        raise Refusal(status.UNKNOWN_INSTRUCTION)
    cla, name = row
    if command.cla & _CLASS_BITS != cla:
        raise Refusal(status.UNKNOWN_CLASS)
    module = __import__("firmware.card.commands." + name, None, None, (name,))
    function: "Callable[[Session, Command], bytes]" = getattr(module, name)
    return function
