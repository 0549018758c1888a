# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: F821
# mypy: disable-error-code="name-defined"
"""What is on a card's flash image, in the language of MicroPython's manifest files.

`provisioning.image` reads it to build an image; MicroPython's build reads it to freeze the same
code into a board's firmware.
"""

package("firmware", files=["__init__.py"], base_path="../..")
package("firmware/wire", base_path="../..")
package("firmware/crypto", base_path="../..")
package("firmware/purse", base_path="../..")
package("firmware/card", base_path="../..")
package("firmware/storage", base_path="../..")
package("firmware/hal", base_path="../..")
package("firmware/reader", base_path="../..")
package("firmware/apps", base_path="../..")
