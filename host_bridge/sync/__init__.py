# SPDX-License-Identifier: Apache-2.0
"""What waits for a line: the outbox, bundle files, and the bank's client."""
