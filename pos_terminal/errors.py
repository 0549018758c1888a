# SPDX-License-Identifier: Apache-2.0
"""What the till says when it cannot do a thing."""


class TillError(Exception):
    """The till refuses, or cannot; the message is one sentence for people."""
