# SPDX-License-Identifier: Apache-2.0
"""Ways to a card: `transmit(command) -> response`. Only here are ports and readers opened."""
