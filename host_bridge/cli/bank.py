# SPDX-License-Identifier: Apache-2.0
"""`qalta bank`: the reference bank in a folder, from the clerk's side of the counter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from firmware.wire.layout import WireError
from host_bridge.bank import FoundingPlan, ReferenceBank
from host_bridge.bank.server import BankServer
from host_bridge.bank.tables import t_account_table
from host_bridge.cli.rescue import show_report
from host_bridge.money import AmountError, format_tiyn, parse_tiyn
from host_bridge.sync.bundle_file import BundleFileError, read_bundle
from host_bridge.sync.port import BankRefused
from host_bridge.sync.rescue_file import RescueFileError, read_rescue

app = typer.Typer(help="The reference bank, in one folder.", no_args_is_help=True)
client_app = typer.Typer(help="People with an account.", no_args_is_help=True)
merchant_app = typer.Typer(help="Merchants.", no_args_is_help=True)
fraud_app = typer.Typer(help="Double spends and their proofs.", no_args_is_help=True)
app.add_typer(client_app, name="client")
app.add_typer(merchant_app, name="merchant")
app.add_typer(fraud_app, name="fraud")

_Folder = Annotated[Path, typer.Argument(help="The bank's folder.")]
_Bank = Annotated[str, typer.Option("--bank", help="The bank's name, such as bank-a.")]
_Kyc = Annotated[str, typer.Option("--kyc", help="Where the identification is on file.")]
_Reference = Annotated[
    str | None, typer.Option(help="A name for this order: given again, it is done once.")
]


@app.command()
def found(
    folder: _Folder,
    config: Annotated[Path | None, typer.Option(help="A founding plan in TOML.")] = None,
) -> None:
    """Found a bank in a new folder: keys, certificates, empty books."""
    with _one_sentence_errors():
        plan = FoundingPlan() if config is None else FoundingPlan.read(config)
        bank = ReferenceBank.found(folder, plan)
        _console().print(f"Founded in {folder}: {', '.join(bank.names)}.")
        bank.close()


@client_app.command("add")
def add_client(
    folder: _Folder,
    client_id: Annotated[str, typer.Argument(help="Letters, digits, . _ -")],
    name: str,
    bank_name: _Bank,
    kyc: _Kyc,
) -> None:
    """Register a person whom a bank has identified."""
    with _open(folder) as bank:
        bank.add_client(bank_name, client_id, name, kyc)
        _console().print(f"{name} is a client of {bank_name}.")


@merchant_app.command("add")
def add_merchant(
    folder: _Folder,
    merchant_id: Annotated[str, typer.Argument(help="Letters, digits, . _ -")],
    name: Annotated[str, typer.Argument(help="What card holders see, 24 bytes at most.")],
    bank_name: _Bank,
    kyc: _Kyc,
    mcc: Annotated[int, typer.Option(help="Merchant category, ISO 18245.")] = 0,
    purpose: Annotated[
        list[int] | None, typer.Option(help="A purpose of labelled money that it accepts.")
    ] = None,
) -> None:
    """Register a merchant."""
    with _open(folder) as bank:
        bank.add_merchant(bank_name, merchant_id, name, kyc, mcc=mcc, purposes=purpose or ())
        _console().print(f"{name} is a merchant of {bank_name}.")


@app.command()
def deposit(folder: _Folder, client_id: str, amount: str, reference: _Reference = None) -> None:
    """Pay cash into a current account."""
    with _open(folder) as bank:
        tiyn = parse_tiyn(amount)
        bank.deposit(client_id, tiyn, reference=_encoded(reference))
        _console().print(f"{format_tiyn(tiyn)} on the account of {client_id}.")


@app.command("open-books")
def open_books(
    folder: _Folder,
    bank_name: Annotated[str, typer.Argument(metavar="BANK")],
    correspondent: Annotated[str, typer.Option(help="Its account at NBK, in tenge.")] = "0",
    cash: Annotated[str, typer.Option(help="Cash in its vault, in tenge.")] = "0",
    reference: _Reference = "opening",
) -> None:
    """Opening balances of a bank; they are its own capital."""
    with _open(folder) as bank:
        bank.open_books(
            bank_name,
            correspondent_tiyn=parse_tiyn(correspondent),
            cash_tiyn=parse_tiyn(cash),
            reference=_encoded(reference),
        )
        _console().print(f"The books of {bank_name} are open.")


@app.command()
def issue(
    folder: _Folder,
    bank_name: Annotated[str, typer.Argument(metavar="BANK")],
    amount: str,
    reference: _Reference = None,
) -> None:
    """NBK issues digital tenge to a bank against its correspondent account."""
    with _open(folder) as bank:
        tiyn = parse_tiyn(amount)
        bank.issue(bank_name, tiyn, reference=_encoded(reference))
        _console().print(f"{format_tiyn(tiyn)} of digital tenge for {bank_name}.")


@app.command()
def redeem(folder: _Folder, merchant_id: str, amount: str, reference: _Reference = None) -> None:
    """A merchant's digital wallet to its current account, at par."""
    with _open(folder) as bank:
        tiyn = parse_tiyn(amount)
        bank.redeem(merchant_id, tiyn, reference=_encoded(reference))
        _console().print(f"{format_tiyn(tiyn)} on the account of {merchant_id}.")


@app.command()
def balances(folder: _Folder) -> None:
    """What everybody has."""
    with _open(folder) as bank:
        table = Table("client", "bank", title="Balances")
        for column in ("current account", "cards", "digital wallet", "owed to the bank"):
            table.add_column(column, justify="right")
        for line in bank.balances():
            amounts = (
                line.current_tiyn,
                line.purses_tiyn,
                line.wallet_tiyn,
                line.claims_tiyn,
            )
            table.add_row(line.name, line.bank, *(format_tiyn(amount) for amount in amounts))
        console = _console()
        console.print(table)
        totals = bank.totals()
        console.print(
            f"Digital tenge: issued {format_tiyn(totals.issued)} = reserves "
            f"{format_tiyn(totals.reserves)} + cards {format_tiyn(totals.purses)} + wallets "
            f"{format_tiyn(totals.wallets)}: {'whole' if totals.is_whole else 'NOT WHOLE'}."
        )


@app.command()
def accounts(folder: _Folder) -> None:
    """T-accounts of NBK, banks and clients, and the monetary aggregates."""
    with _open(folder) as bank:
        console = _console()
        for account in bank.accounts():
            console.print(t_account_table(account))
        sums = bank.aggregates()
        table = Table("RM", "M0", "M0_dt", "C", "M1", title="Monetary aggregates")
        values = (sums.rm, sums.m0, sums.m0_dt, sums.c, sums.m1)
        table.add_row(*(format_tiyn(value) for value in values))
        console.print(table)


@app.command()
def purses(folder: _Folder) -> None:
    """Every purse and what it could still spend, as far as the bank knows."""
    with _open(folder) as bank:
        table = Table("serial", "client", "bank", "tier", "state", title="Purses")
        table.add_column("outstanding", justify="right")
        for line in bank.purses():
            table.add_row(
                line.serial.hex(),
                line.client_id,
                line.bank,
                str(line.tier),
                line.state,
                format_tiyn(line.outstanding_tiyn),
            )
        _console().print(table)


@app.command()
def denylist(folder: _Folder) -> None:
    """The keys and notes that no payee takes any more."""
    with _open(folder) as bank:
        found = bank.denylist()
        if found is None:
            _console().print("Nothing was ever denied.")
            return
        title = f"Denylist, epoch {found.epoch}, {_when(found.issued_at)}"
        table = Table("what", "id", title=title)
        for key in found.keys:
            table.add_row("key", key.hex())
        for note in found.notes:
            table.add_row("note", note.hex())
        _console().print(table)


@fraud_app.command("list")
def list_fraud(
    folder: _Folder,
    viewer: Annotated[
        str | None, typer.Option("--bank", help="Whose eyes: a bank sees its own clients.")
    ] = None,
) -> None:
    """Who spent twice; a name is shown only to the spender's own bank."""
    with _open(folder) as bank:
        table = Table("proof", "key", "bank", "spender", "paid to", title="Double spends")
        table.add_column("twice", justify="right")
        for case in bank.fraud_cases(viewer):
            table.add_row(
                case.proof_id.hex()[:16],
                case.key_id.hex(),
                case.bank,
                case.name or "known to its bank",
                " and ".join(case.payees),
                format_tiyn(case.overlap_tiyn),
            )
        _console().print(table)


@fraud_app.command("show")
def show_fraud(folder: _Folder, proof: str) -> None:
    """One fraud proof: the key that signed, and the two transfers."""
    with _open(folder) as bank:
        found = bank.fraud_proof(_proof_id(proof))
        table = Table("transfer", "units", "at", title="Fraud proof")
        for transfer in (found.first, found.second):
            units = f"{transfer.start} to {transfer.end}"
            table.add_row(transfer.record_id.hex()[:16], units, _when(transfer.time))
        console = _console()
        console.print(table)
        console.print(f"Both signed by {found.signer.hex()}", soft_wrap=True)


@fraud_app.command("export")
def export_fraud(folder: _Folder, proof: str, file: Path) -> None:
    """Write a fraud proof to a file that anyone can verify under the root key."""
    with _open(folder) as bank:
        raw = bank.fraud_proof(_proof_id(proof)).raw
        with file.open("xb") as target:
            target.write(raw)
        _console().print(f"{len(raw)} bytes in {file}.")


@app.command()
def findings(folder: _Folder) -> None:
    """What was not as it should be: refusals, forks, sales paid twice, memory put back."""
    with _open(folder) as bank:
        table = Table("what", "about", "says", title="Findings")
        for finding in bank.findings():
            table.add_row(finding.kind, finding.subject, finding.sentence)
        _console().print(table)


@app.command("import")
def import_bundle(folder: _Folder, bundle: Path) -> None:
    """Settle a terminal's bundle file, as it came on a stick."""
    with _open(folder) as bank:
        table = Table("payment", "state", "reason", title="Sales in the bundle")
        table.add_column("amount", justify="right")
        for result in bank.upload_bundle(read_bundle(bundle)):
            table.add_row(
                result.payment_id.hex(),
                result.state.value,
                result.reason,
                format_tiyn(result.amount_tiyn),
            )
        _console().print(table)


@app.command()
def rescue(
    folder: _Folder,
    file: Annotated[Path, typer.Argument(help="What `qalta card rescue` wrote.")],
) -> None:
    """Settle what was read of a purse that pays no more; the same file again changes nothing."""
    with _open(folder) as bank:
        found = read_rescue(file)
        show_report(_console(), found, bank.rescue(found))


@app.command()
def audit(folder: _Folder) -> None:
    """Re-check everything from the records alone; exit code 1 if anything is wrong."""
    with _open(folder) as bank:
        findings = bank.audit()
        for finding in findings:
            _console().print(f"{finding.kind}: {finding.subject}: {finding.sentence}")
        if findings:
            raise BankRefused(f"The audit found {len(findings)} faults.")
        _console().print("The audit is clean.")


@app.command()
def serve(
    folder: _Folder,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.")] = 8731,
    beyond_loopback: Annotated[
        bool, typer.Option("--beyond-loopback", help="Allow an address that others can reach.")
    ] = False,
) -> None:
    """Answer tills and bridges over HTTP until interrupted."""
    with _open(folder) as bank:
        server = BankServer(bank, folder, host=host, port=port, beyond_loopback=beyond_loopback)
        typer.echo(server.url)
        server.run()


def _console() -> Console:
    return Console(markup=False)  # people's names may have brackets in them


def _when(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _encoded(reference: str | None) -> bytes | None:
    return None if reference is None else reference.encode()


def _proof_id(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise BankRefused(f"'{text}' is not the id of a proof (hexadecimal).") from None


@contextmanager
def _open(folder: Path) -> Iterator[ReferenceBank]:
    with _one_sentence_errors():
        bank = ReferenceBank(folder)
        try:
            yield bank
        finally:
            bank.close()


@contextmanager
def _one_sentence_errors() -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        _fail(f"The file {error.filename} exists already.")
    except OSError as error:
        _fail(f"{error.filename or 'The file'}: {error.strerror}.")
    except RescueFileError as error:
        _fail(str(error))
    except WireError as error:
        _fail(f"The file cannot be read: {error}.")
    except (AmountError, BankRefused, BundleFileError) as error:
        _fail(str(error))


def _fail(sentence: str) -> None:
    typer.echo(sentence, err=True)
    raise typer.Exit(1)
