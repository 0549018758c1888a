# SPDX-License-Identifier: Apache-2.0
"""An ESP32 with a PN532, as the reader's program sees it: its line, its bus, lamp and beeper.

MicroPython documentation: `machine.UART`, `machine.SPI`, `machine.Pin`.
"""

import sys
import time

import machine

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from typing import Any

# UART0 is MicroPython's own and keeps only 259 bytes that nobody has read. Any other can use its
# pins. With buffers of its own an echo goes out beside the work, and nothing that comes is lost.
_LINE_UART = 1
_LINE_BAUD = 115_200  # what libccid sets, with two stop bits
_LINE_BUFFER = 1024  # bytes each way, more than three frames

_SPI_BAUD = 4_000_000  # the PN532 bears 5 MHz
_RESET_MS = 10  # its data sheet asks for far less


class Esp32Reader:
    """What this board hands to the reader (`firmware.apps.reader.main`).

    pins: `spi` is the number of the bus; `sck`, `mosi`, `miso` and `select` are its pins. All
    others may be missing: the chip's `irq` and `reset`; `lamp` and `beeper`; `tx` and `rx` to the
    board's USB converter, without which the line is the controller's own USB.

    whole_reads: the source waits until a buffer is full (`firmware.reader.line.Line`).
    """

    def __init__(self, pins: "dict[str, int]") -> None:
        self.clock: "Any" = time
        self.lamp = _output(pins, "lamp", 0)
        self.beeper = _output(pins, "beeper", 0)
        self.whole_reads = "tx" not in pins
        if self.whole_reads:
            self.source: "Any" = sys.stdin.buffer
            self.sink: "Any" = sys.stdout.buffer
        else:
            self.source = self.sink = _line(pins["tx"], pins["rx"])
        self.select = _output(pins, "select", 1)
        self.irq: "Any" = None
        if "irq" in pins:
            self.irq = machine.Pin(pins["irq"], machine.Pin.IN, machine.Pin.PULL_UP)
        self.spi = _spi(pins)
        self._reset_chip(_output(pins, "reset", 0))

    def _reset_chip(self, reset: "Any") -> None:
        """Lets the chip begin anew, where its RSTPDN is wired."""
        if reset is not None:
            self.clock.sleep_ms(_RESET_MS)
            reset.value(1)
            self.clock.sleep_ms(_RESET_MS)


def restart() -> None:
    """The board begins anew, as if its power had failed."""
    machine.reset()


def _output(pins: "dict[str, int]", name: str, level: int) -> "Any":
    return machine.Pin(pins[name], machine.Pin.OUT, value=level) if name in pins else None


def _line(tx: int, rx: int) -> "Any":
    return machine.UART(
        _LINE_UART, _LINE_BAUD, stop=2, tx=tx, rx=rx, txbuf=_LINE_BUFFER, rxbuf=_LINE_BUFFER
    )


def _spi(pins: "dict[str, int]") -> "Any":
    """The chip's bus: mode 0, the lowest bit first, which this controller's hardware can."""
    return machine.SPI(
        pins["spi"],
        baudrate=_SPI_BAUD,
        polarity=0,
        phase=0,
        firstbit=machine.SPI.LSB,
        sck=machine.Pin(pins["sck"]),
        mosi=machine.Pin(pins["mosi"]),
        miso=machine.Pin(pins["miso"]),
    )
