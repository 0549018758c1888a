# SPDX-License-Identifier: Apache-2.0
"""What one says to a card, in the field's words, over any transport."""
