# SPDX-License-Identifier: Apache-2.0
"""What the firmware computes again and again from the same bytes, remembered. For CPython only.

A card reads the same certificates, notes and entries at each of ten thousand boots. Their layout
is not what is under test here; the storage that they come from is, and it runs as it stands.
"""

from __future__ import annotations

from typing import Any

from firmware.wire.layout import Layout

_REMEMBERED = 10_000


class _Layouts:
    """Stands for the two methods of `Layout`; asks them where something is new."""

    def __init__(self) -> None:
        self._unpack, self._pack = Layout.unpack, Layout.pack
        self._unpacked: dict[Any, dict[str, Any]] = {}
        self._packed: dict[Any, bytes] = {}

    def unpack(self, layout: Layout, raw: bytes) -> dict[str, Any]:
        """As `Layout.unpack`; what it raises is not remembered."""
        name = (id(layout), bytes(raw))
        known = self._unpacked.get(name)
        if known is None:
            if len(self._unpacked) > _REMEMBERED:
                self._unpacked.clear()
            known = self._unpacked[name] = self._unpack(layout, raw)
        return dict(known)

    def pack(self, layout: Layout, fields: dict[str, Any]) -> bytes:
        """As `Layout.pack`."""
        name = (id(layout), *fields.items())
        known = self._packed.get(name)
        if known is None:
            if len(self._packed) > _REMEMBERED:
                self._packed.clear()
            known = self._packed[name] = self._pack(layout, fields)
        return known


def remember_layouts() -> None:
    """From here on, in this process. Layouts live as long as their modules."""
    if Layout.unpack.__module__ == Layout.__module__:  # not yet
        layouts = _Layouts()

        def unpack(self: Layout, raw: bytes) -> dict[str, Any]:
            return layouts.unpack(self, raw)

        def pack(self: Layout, fields: dict[str, Any]) -> bytes:
            return layouts.pack(self, fields)

        setattr(Layout, "unpack", unpack)  # noqa: B010 (a method, put in the place of another)
        setattr(Layout, "pack", pack)  # noqa: B010
