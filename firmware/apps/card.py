# SPDX-License-Identifier: Apache-2.0
"""The card: a purse on this board's flash, answering APDUs on the serial link."""

# ruff: noqa: I001
# Imported from the ground up: a board's stack is small, and an import inside an import inside
# an import takes as much of it as the deepest call.
from firmware.crypto import p256
from firmware.wire import layout  # noqa: F401
from firmware.wire import journal, policy, token  # noqa: F401
from firmware.purse import trust, verify, profile  # noqa: F401
from firmware.purse.purse import Purse
from firmware.storage.record_store import RecordStore
from firmware.hal.software_element import SoftwareElement
from firmware.hal.link import SerialLink, serve
from firmware.card.application import Application

import sys

_PURSE_FOLDER = "purse"
_ELEMENT_FOLDER = "element"


def main() -> None:
    """Builds the card and serves it until the link ends."""
    store = RecordStore(_PURSE_FOLDER)
    element = SoftwareElement(RecordStore(_ELEMENT_FOLDER))
    purse = Purse(store, element, p256.verify)
    link = SerialLink(sys.stdin.buffer, sys.stdout.buffer)
    serve(link, Application(store, purse))
