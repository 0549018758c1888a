# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: F821
# mypy: disable-error-code="name-defined"
"""What is frozen into this board's MicroPython: the reader's firmware and its main program.

The port's own modules are left out on purpose: its `_boot.py` writes to the flash.
"""

package("firmware", files=["__init__.py"], base_path="../..")
package("firmware/reader", base_path="../..")
package("firmware/hal", files=["__init__.py", "esp32_reader.py"], base_path="../..")
package("firmware/apps", files=["__init__.py", "reader.py"], base_path="../..")
module("_boot.py")
module("main.py")
