# SPDX-License-Identifier: Apache-2.0
"""The end of a scenario: who has what, the books, what the bank caught, what a tap took."""

from __future__ import annotations

import statistics
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from firmware.purse.fraud import verify_proof
from host_bridge.bank.reports import FraudCase
from host_bridge.bank.tables import t_account_table
from host_bridge.crypto import p256
from host_bridge.demo.checks import Money
from host_bridge.demo.player import TapEvent
from host_bridge.demo.world import World
from host_bridge.money import format_tiyn
from pos_terminal.states import PaymentState

ROOT_KEY = "root.pub"  # beside the proofs, so that `qalta verify` has what it needs


def show_balances(console: Console, world: World, balances: dict[str, int]) -> None:
    """Cards as they say themselves, merchants as the bank has them."""
    table = Table(title="Cards, when the day is over", title_justify="left")
    for column in ("card", "holder", "on the card", "the bank's books"):
        table.add_column(column, justify="right" if "card" != column != "holder" else "left")
    at_bank = {line.serial: line.outstanding_tiyn for line in world.bank.purses()}
    for card_id, balance in balances.items():
        holder = world.holders[card_id]
        books = "a thief's copy" if holder.is_copy else format_tiyn(at_bank[holder.serial])
        table.add_row(card_id, world.client_name(card_id), format_tiyn(balance), books)
    console.print(table)
    table = Table(title="Tills", title_justify="left")
    for column in ("till", "merchant", "sales", "taken", "state"):
        table.add_column(column, justify="right" if column in ("sales", "taken") else "left")
    for till_id, till in world.tills.items():
        for state, (count, amount) in till.totals().by_state.items():
            name = world.merchant_of(till_id).name
            table.add_row(till_id, name, str(count), format_tiyn(amount), str(state))
    console.print(table)


def show_accounts(console: Console, world: World) -> None:
    """The T-accounts of the central bank and of each bank; clients have a table of their own."""
    shown = {"NBK", *(bank.name for bank in world.scenario.bank)}
    for account in world.bank.accounts():
        if account.title not in shown:
            continue
        console.print(t_account_table(account))


def write_proofs(world: World, folder: Path) -> list[Path]:
    """The fraud proofs and the root's public key as files; each proof is verified first."""
    folder.mkdir(parents=True, exist_ok=True)
    root = world.bank.root_public_key
    (folder / ROOT_KEY).write_text(root.hex() + "\n")
    paths = []
    for number, case in enumerate(world.bank.fraud_cases(), start=1):
        proof = world.bank.fraud_proof(case.proof_id)
        verify_proof(root, p256.verify, proof)
        path = folder / f"fraud-{number}.proof"
        path.write_bytes(proof.raw)
        paths.append(path)
    return paths


def show_caught(console: Console, world: World, proofs: list[Path]) -> None:
    """The double spends, each named to the spender's own bank alone, and other findings."""
    for bank in world.scenario.bank:
        cases = [case for case in world.bank.fraud_cases(viewer=bank.name) if case.name]
        if cases:
            console.print(_fraud_table(bank.name, cases))
        for line in world.bank.balances():
            if line.bank == bank.name and line.claims_tiyn:
                claim = format_tiyn(line.claims_tiyn)
                console.print(f"{bank.name} paid the payees, and claims {claim} from {line.name}.")
    for finding in world.bank.findings():
        told = f" {finding.kind} {finding.subject}: {finding.sentence}"
        console.print(Text.assemble(("finding:", "yellow"), told))
    if proofs:
        console.print(f"{len(proofs)} fraud proofs are in {proofs[0].parent}. Check one yourself:")
        key = proofs[0].parent / ROOT_KEY
        console.print(f"  qalta verify {proofs[0]} --root {key}", style="bold", soft_wrap=True)


def _fraud_table(bank_name: str, cases: list[FraudCase]) -> Table:
    title = f"Double spends that {bank_name} sees of its clients"
    table = Table(title=title, title_justify="left", title_style="bold red")
    for column in ("spender", "amount", "at", "and again at"):
        table.add_column(column, justify="right" if column == "amount" else "left")
    for case in cases:
        table.add_row(case.name, format_tiyn(case.overlap_tiyn), *case.payees)
    return table


def show_taps(console: Console, taps: list[TapEvent], heap_live: int | None) -> None:
    """What a payment took, from the till's request to the card's answer, without recoveries."""
    plain = [tap for tap in taps if not tap.tear and tap.payment.state is not PaymentState.REFUSED]
    if not plain:
        return
    times = sorted(tap.first.wall_ms for tap in plain)
    sizes = [tap.first.bytes_out + tap.first.bytes_in for tap in plain]
    apdus = [tap.first.apdus for tap in plain]
    table = Table(title="A tap on the virtual board", title_justify="left")
    for column in ("", "median", "95 of 100", "most"):
        table.add_column(column, justify="right" if column else "left")
    for name, values, unit in (("time", times, "ms"), ("APDUs", apdus, ""), ("bytes", sizes, "")):
        ordered = sorted(values)
        late = ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)]
        cells = (statistics.median(ordered), late, ordered[-1])
        table.add_row(name, *(f"{cell:.0f} {unit}".strip() for cell in cells))
    if heap_live is not None:
        table.add_row("heap held between taps", "", "", f"{heap_live / 1024:.0f} KiB")
    console.print(table)


def show_money(console: Console, money: Money) -> None:
    """Total money before and after, to the tiyn."""
    table = Table(title="Where the money is", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("issued by the central bank", format_tiyn(money.issued))
    table.add_row("with the banks", format_tiyn(money.reserves))
    table.add_row("on cards, as the cards say", format_tiyn(money.cards))
    table.add_row("settled to merchants", format_tiyn(money.wallets))
    table.add_row("spent, not yet at the bank", format_tiyn(money.in_flight))
    if money.copied:
        table.add_row("on a card that was copied, as the bank counts", format_tiyn(money.copied))
    table.add_row("together", format_tiyn(money.total), style="bold")
    console.print(table)
