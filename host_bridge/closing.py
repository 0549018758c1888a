# SPDX-License-Identifier: Apache-2.0
"""What has to be let go at the end: a card, a till, a line."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class Closing:
    """Closes itself at the end of a `with`, however it ends."""

    def close(self) -> None:
        """Lets everything go; closing twice is fine."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
