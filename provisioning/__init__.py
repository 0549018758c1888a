# SPDX-License-Identifier: Apache-2.0
"""Making devices ready: flash images, keys and certificates, personalisation."""
