# SPDX-License-Identifier: Apache-2.0
"""What stands between devices and the bank, and the reference bank at the far end."""
