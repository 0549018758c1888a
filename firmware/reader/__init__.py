# SPDX-License-Identifier: Apache-2.0
"""The reader: a PN532's card, shown to a computer as a smart-card reader that it knows."""
