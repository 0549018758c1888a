# SPDX-License-Identifier: Apache-2.0
"""A chip that says what a script says, byte for byte, on each of the three buses; and a clock.

It knows no frames: whatever it is sent is written down, and each thing that it is sent brings the
next entry of the script, a list of what it then says, one reading each. Both interpreters run it.
"""

ACK = bytes.fromhex("0000ff00ff00")
NAK = bytes.fromhex("0000ffff0000")
I2C_ADDRESS = 0x24
FILL = 0x00  # what a chip gives that has nothing more to say


class ScriptClock:
    """Milliseconds that pass only when somebody sleeps."""

    def __init__(self) -> None:
        self.now_ms = 0

    def sleep_ms(self, duration_ms: int) -> None:
        self.now_ms += duration_ms

    def ticks_ms(self) -> int:
        return self.now_ms

    def ticks_diff(self, end_ms: int, start_ms: int) -> int:
        return end_ms - start_ms


class ScriptedChip:
    """`heard` is everything that was sent to it, one frame an entry, wake-up bytes left out."""

    def __init__(self, *script: "list[bytes]") -> None:
        self.script = list(script)
        self.heard: list[bytes] = []
        self.says: list[bytes] = []
        self.is_deaf = False

    def hear(self, data: bytes) -> None:
        """A frame. The host's ACK, which aborts, is heard but is no turn of the script."""
        if self.is_deaf or not data.strip(b"\x00\x55"):
            return
        self.heard.append(bytes(data))
        if data == ACK:
            self.says.clear()
        elif self.script:
            self.says.extend(self.script.pop(0))

    @property
    def commands(self) -> "list[bytes]":
        """What was sent to it, without acknowledgements."""
        return [frame for frame in self.heard if frame != ACK]


class ScriptedUart:
    """Shaped like `machine.UART`."""

    def __init__(self, chip: ScriptedChip) -> None:
        self.chip = chip
        self.baud = 115_200
        self.takes = True

    def write(self, data: bytes) -> "int | None":
        if not self.takes:
            return None
        self.chip.hear(data)
        return len(data)

    def read(self, size: int) -> "bytes | None":
        says = self.chip.says
        while says and not says[0]:
            says.pop(0)
        if not says:
            return None
        data, says[0] = says[0][:size], says[0][size:]
        return data

    def init(self, *, baudrate: int) -> None:
        self.baud = baudrate


class ScriptedPin:
    """Shaped like `machine.Pin`."""

    def __init__(self, level: int = 1) -> None:
        self.level = level

    def value(self, level: "int | None" = None) -> "int | None":
        if level is None:
            return self.level
        self.level = level
        return None


class IrqPin(ScriptedPin):
    """P70 of a chip: low while it has something to say."""

    def __init__(self, chip: ScriptedChip) -> None:
        ScriptedPin.__init__(self)
        self.chip = chip

    def value(self, level: "int | None" = None) -> "int | None":
        return 0 if self.chip.says else 1


class ScriptedSpi:
    """Shaped like `machine.SPI`; the chip behind it wants the lowest bit first."""

    def __init__(self, chip: ScriptedChip, lsb_first: bool = False) -> None:
        self.chip = chip
        self.select = ScriptedPin()
        self.idle = FILL  # what the line reads as while nobody drives it
        self._lsb_first = lsb_first
        self._mode = 0
        self._at = 0

    def write(self, data: "bytes | bytearray") -> None:
        assert self.select.level == 0, "the chip is not selected"
        plain = self._ordered(bytes(data))
        self._mode = plain[0]
        self._at = 0
        if self._mode == 1:
            self.chip.hear(plain[1:])
        elif self._mode == 3 and self.chip.says:
            self._frame = self.chip.says.pop(0)
        else:
            self._frame = b""

    def readinto(self, buffer: bytearray) -> None:
        assert self.select.level == 0, "the chip is not selected"
        for index in range(len(buffer)):
            if self._mode == 2 and self.idle == FILL:
                byte = 1 if self.chip.says else 0
            else:
                byte = self._frame[self._at] if self._at < len(self._frame) else self.idle
            self._at += 1
            buffer[index] = self._ordered(bytes([byte]))[0]

    def _ordered(self, data: bytes) -> bytes:
        if self._lsb_first:
            return data
        return bytes([int("".join(reversed(f"{byte:08b}")), 2) for byte in data])


class ScriptedI2c:
    """Shaped like `machine.I2C`."""

    def __init__(self, chip: ScriptedChip) -> None:
        self.chip = chip
        self.is_there = True
        self.readings: list[int] = []

    def writeto(self, address: int, data: bytes) -> int:
        if address != I2C_ADDRESS or not self.is_there:
            raise OSError(19)
        self.chip.hear(bytes(data))
        return len(data)

    def readfrom_into(self, address: int, buffer: bytearray) -> None:
        if address != I2C_ADDRESS or not self.is_there:
            raise OSError(19)
        frame = b""
        buffer[0] = 1 if self.chip.says else 0
        if len(buffer) > 1:
            self.readings.append(len(buffer))
            if self.chip.says:
                frame = self.chip.says.pop(0)
        for index in range(1, len(buffer)):
            buffer[index] = frame[index - 1] if index <= len(frame) else FILL
