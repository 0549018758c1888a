# SPDX-License-Identifier: Apache-2.0
"""What a bank's clerk hands over: a till's package, and the root's public key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from host_bridge.bank import ReferenceBank
from host_bridge.crypto.keys import SigningKey
from host_bridge.files import replace_file
from host_bridge.sync.port import BankRefused
from pos_terminal.install import Setup, write_package

_Folder = Annotated[Path, typer.Argument(help="The bank's folder.")]


def till(
    folder: _Folder,
    merchant: Annotated[str, typer.Argument(help="The merchant whose till it will be.")],
    package: Annotated[Path, typer.Argument(help="A new folder for `qalta pos init`.")],
    bank_url: Annotated[str, typer.Option(help="Where the till finds the bank.")] = "",
) -> None:
    """Certify a till and write the package that installs it; its key is in the package alone."""
    if package.exists():
        raise BankRefused(f"{package} exists already.")
    bank = ReferenceBank(folder)
    try:
        found = [one for one in bank.balances() if one.client_id == merchant and one.is_merchant]
        if not found:
            raise BankRefused(f"There is no merchant '{merchant}'.")
        key = SigningKey.generate()
        certificate = bank.certify_terminal(found[0].bank, merchant, key.public_key)
        setup = Setup(bank.root_public_key, key, certificate, bank_url)
        write_package(package, setup, bank.directory())
    finally:
        bank.close()
    typer.echo(f"The till of {found[0].name}: qalta pos init TILL {package}")


def root(folder: _Folder, file: Annotated[Path, typer.Argument(help="A new file.")]) -> None:
    """Write the root's public key to a file, for `qalta verify --root`."""
    bank = ReferenceBank(folder)
    try:
        replace_file(file, bank.root_public_key.hex().encode() + b"\n")
    except OSError as error:
        raise BankRefused(f"{file} cannot be written: {error.strerror}.") from None
    finally:
        bank.close()
    typer.echo(f"The root's public key is in {file}.")
