# SPDX-License-Identifier: Apache-2.0
"""What survives a power cut: the purse's records on the board's file system."""
