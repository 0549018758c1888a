# SPDX-License-Identifier: Apache-2.0
"""The bank over real HTTP on loopback: the same answers as in-process, and bounded refusals."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from firmware.wire.bundle import ITEM_SALE, Bundle
from firmware.wire.certificate import Certificate
from firmware.wire.note import Note
from host_bridge.bank.api import MAX_BODY
from host_bridge.bank.body_limit import BodyLimit
from host_bridge.bank.founding import read_token
from host_bridge.bank.server import BankServer
from host_bridge.crypto.keys import SigningKey
from host_bridge.sync.client import HttpBank
from host_bridge.sync.port import BankPort, BankRefused, BankUnreachable, SaleState
from tests.platform.town import Town


@pytest.fixture
def server(town: Town) -> Iterator[BankServer]:
    with BankServer(town.bank, town.folder) as running:
        yield running


@pytest.fixture
def line(server: BankServer) -> Iterator[HttpBank]:
    with HttpBank(server.url) as client:
        yield client


@pytest.fixture
def clerk(town: Town, server: BankServer) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {read_token(town.folder)}"}
    with httpx.Client(base_url=server.url, headers=headers, trust_env=False) as client:
        yield client


def test_every_call_of_the_port(town: Town, line: HttpBank) -> None:
    port: BankPort = line
    directory = port.directory()
    assert directory == town.bank.directory()
    purse = town.purse()
    piece = town.load(purse, 10_000)
    sale = town.pay(purse, town.cafe, piece, 100)
    payment_id = sale[0].transfer.payment_id
    assert port.payment_state(payment_id) is None
    assert port.acknowledgement(purse.papers.serial) is None
    result = port.upload_sale(sale)
    assert result == town.bank.upload_sale(sale)
    assert port.payment_state(payment_id) == result
    assert line.payment_state(payment_id, town.shop.certificate.record_id) is None
    export = purse.export(port.challenge())
    sync = port.upload_export(export)
    assert sync == town.bank.upload_export(export)
    assert port.acknowledgement(purse.papers.serial) == sync
    bank = town.bank.certificate_of("bank-b")
    raw = b"".join(token.raw for token in sale)
    items = [(ITEM_SALE, raw), (ITEM_SALE, b"rubbish")]
    bundle = Bundle.issue(town.cafe.key.sign, town.now, town.cafe.certificate, bank, items)
    states = [found.state for found in port.upload_bundle(bundle)]
    assert states == [SaleState.SYNCHRONISED, SaleState.REFUSED]
    assert town.wallet("cafe") == 100
    town.assert_sound()


def test_refusals_come_with_their_sentence(town: Town, line: HttpBank) -> None:
    purse = town.purse()
    with pytest.raises(BankRefused, match="The challenge is unknown"):
        line.upload_export(purse.export(bytes(16)))
    piece = town.load(purse, 10_000)
    refused = line.upload_sale(town.pay_run(purse, town.cafe, piece, 9_999, 10_001))
    assert (refused.state, "never had" in refused.reason) == (SaleState.REFUSED, True)


def test_the_denylist_arrives(town: Town, line: HttpBank) -> None:
    purse = town.purse()
    piece = town.load(purse, 10_000)
    for till in (town.cafe, town.shop):
        line.upload_sale(town.pay_run(purse, till, piece, 0, 100))
    denied = line.directory().denylist
    assert denied is not None and denied == town.bank.denylist()


@pytest.mark.parametrize("path", ["/v1/sales", "/v1/exports", "/v1/bundles"])
@pytest.mark.parametrize("body", [b"", b"\x02\x01", b"\xff" * 500, bytes(65_536)])
def test_rubbish_is_a_clear_400(server: BankServer, path: str, body: bytes) -> None:
    """Invariant I8."""
    answer = httpx.post(server.url + path, content=body, trust_env=False)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("The record cannot be read: ")


def test_a_body_too_long(server: BankServer) -> None:
    answer = httpx.post(f"{server.url}/v1/sales", content=bytes(MAX_BODY + 1), trust_env=False)
    assert (answer.status_code, "longer than" in answer.json()["error"]) == (413, True)


def test_a_body_too_long_that_does_not_say_so(server: BankServer) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(200):
            yield bytes(1024)

    answer = httpx.post(f"{server.url}/v1/sales", content=endless(), trust_env=False)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "path",
    [
        "/v1/purses/xyz/acknowledgement",
        "/v1/purses/00/acknowledgement",
        "/v1/payments/" + "0" * 31,
        "/v1/payments/" + "0" * 32 + "?payee=1",
    ],
)
def test_ids_that_are_none(server: BankServer, path: str) -> None:
    answer = httpx.get(server.url + path, trust_env=False)
    assert answer.status_code == 400
    assert "error" in answer.json()


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", "Bearer ключ"])
def test_the_clerks_side_needs_the_token(server: BankServer, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization.encode()}
    for method, path in (("GET", "balances"), ("POST", "issues"), ("GET", "audit")):
        answer = httpx.request(
            method, f"{server.url}/v1/clerk/{path}", headers=headers, trust_env=False
        )
        assert answer.status_code == 401
        assert "bearer token" in answer.json()["error"]


def test_a_clerks_day(town: Town, clerk: httpx.Client) -> None:
    def post(path: str, **order: object) -> dict[str, str]:
        answer = clerk.post(f"/v1/clerk/{path}", json=order)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    person = {"bank": "bank-a", "client_id": "dana", "name": "Dana", "kyc_reference": "K"}
    post("clients", **person)
    post("merchants", **{**person, "client_id": "kiosk", "name": "Kiosk"}, mcc=5411)
    for _ in range(2):
        post("deposits", owner="dana", amount_tiyn=5_000, reference="1")
    post("issues", owner="bank-a", amount_tiyn=1_000, reference="1")
    purse = town.purse()
    record = post(
        "purses",
        bank="bank-a",
        client_id="dana",
        public_key=SigningKey.generate().public_key.hex(),
        view_key=bytes(16).hex(),
        tier=0,
    )
    Certificate.parse(bytes.fromhex(record["record"]))
    till = SigningKey.generate()
    record = post(
        "terminals", bank="bank-a", merchant_id="kiosk", public_key=till.public_key.hex()
    )
    certificate = Certificate.parse(bytes.fromhex(record["record"]))
    assert certificate.public_key == till.public_key
    key = SigningKey.generate()
    order = {
        "serial": purse.papers.serial.hex(),
        "attestation": purse.attest(key, town.bank.challenge()).raw.hex(),
        "amount_tiyn": 1_000,
    }
    note = Note.parse(bytes.fromhex(post("loads", payer="bank-a", **order)["record"]))
    assert (note.owner, note.value) == (key.public_key, 1_000)
    piece = purse.take_note(key, note)
    sale = purse.pay(certificate, [(piece, 600)], town.payment_id(), town.now)
    assert town.bank.upload_sale(sale).state is SaleState.SYNCHRONISED
    post("redemptions", owner="kiosk", amount_tiyn=600, reference="1")
    balances = {line["client_id"]: line for line in clerk.get("/v1/clerk/balances").json()}
    assert balances["dana"]["current_tiyn"] == 5_000
    assert balances["kiosk"]["current_tiyn"] == 600
    assert clerk.get("/v1/clerk/totals").json()["purses"] == 400
    assert clerk.get("/v1/clerk/audit").json() == []
    assert clerk.get("/v1/clerk/fraud", params={"viewer": "bank-a"}).json() == []
    assert len(clerk.get("/v1/clerk/purses").json()) == 2


@pytest.mark.parametrize(
    "order",
    [
        {},
        {"owner": "alibek", "amount_tiyn": -1, "reference": "1"},
        {"owner": "alibek", "amount_tiyn": 0, "reference": "1"},
        {"owner": "alibek", "amount_tiyn": 1.5, "reference": "1"},
        {"owner": "alibek", "amount_tiyn": "10", "reference": "1"},
        {"owner": "alibek", "amount_tiyn": 2**63, "reference": "1"},
        {"owner": "alibek", "amount_tiyn": 1, "reference": "1", "more": 1},
    ],
)
def test_orders_that_are_refused(
    town: Town, clerk: httpx.Client, order: dict[str, object]
) -> None:
    """Reliability case B11."""
    before = town.end_state()
    answer = clerk.post("/v1/clerk/deposits", json=order)
    assert answer.status_code == 400
    assert isinstance(answer.json()["error"], str)
    assert town.end_state() == before


def test_a_refused_order_is_a_409(clerk: httpx.Client) -> None:
    order = {"owner": "nobody", "amount_tiyn": 1, "reference": "1"}
    answer = clerk.post("/v1/clerk/deposits", json=order)
    assert (answer.status_code, answer.json()["error"]) == (
        409,
        "There is no client called 'nobody'.",
    )


def test_the_description_names_every_endpoint(server: BankServer) -> None:
    found = httpx.get(f"{server.url}/openapi.json", trust_env=False).json()
    assert {"/v1/sales", "/v1/exports", "/v1/bundles", "/v1/clerk/loads"} <= set(found["paths"])
    body = found["paths"]["/v1/sales"]["post"]["requestBody"]["content"]
    assert list(body) == ["application/octet-stream"]


def test_many_tills_at_once(town: Town, server: BankServer) -> None:
    purse = town.purse()
    piece = town.load(purse, 10_000)
    sales = [town.pay(purse, town.cafe, piece, 10) for _ in range(16)]
    failures: list[BaseException] = []

    def upload() -> None:
        try:
            with HttpBank(server.url) as bank:
                for sale in sales:
                    assert bank.upload_sale(sale).state is SaleState.SYNCHRONISED
        except (AssertionError, BankRefused, BankUnreachable) as error:
            failures.append(error)

    threads = [threading.Thread(target=upload) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert town.wallet("cafe") == 160
    town.assert_sound()


def test_only_loopback_unless_it_is_asked_for(town: Town) -> None:
    with pytest.raises(BankRefused, match="beyond-loopback"):
        BankServer(town.bank, town.folder, host="0.0.0.0")
    with pytest.raises(BankRefused, match="not an IPv4 address"):
        BankServer(town.bank, town.folder, host="bank.example")
    with BankServer(town.bank, town.folder, host="0.0.0.0", beyond_loopback=True):
        pass


def test_a_port_that_is_taken(town: Town) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(BankRefused, match="cannot be used"):
            BankServer(town.bank, town.folder, port=taken.getsockname()[1])


def test_no_line() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with HttpBank(url, timeout_seconds=2) as bank, pytest.raises(BankUnreachable):
            bank.directory()


@pytest.mark.parametrize("url", ["", "bank", "ftp://x", "http://[bad"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(BankRefused, match="address of a bank"):
        HttpBank(url)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n<ht>",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnull",
        b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 409 No\r\ncontent-length: 4\r\n\r\nnull",
        b"HTTP/1.1 302 Away\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"",
    ],
)
def test_what_answers_is_not_the_bank(town: Town, answer: bytes) -> None:
    """Reliability case B06: nothing is believed, and everything may be tried again."""
    purse = town.purse()
    sale = town.pay(purse, town.cafe, town.load(purse, 1_000), 100)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_answer_with, args=(listener, answer), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with HttpBank(url, timeout_seconds=5) as bank:
            for call in (bank.directory, lambda: bank.upload_sale(sale)):
                with pytest.raises(BankUnreachable):
                    call()
    thread.join(5)


def test_a_sentence_from_the_line_carries_no_commands(town: Town) -> None:
    """W04: whoever answers at the bank's address speaks to the cashier's terminal."""
    sentence = b'{"error": "No \\u001b]0;x\\u0007 \\u202e"}'
    answer = b"HTTP/1.1 409 No\r\ncontent-length: %d\r\n\r\n" % len(sentence) + sentence
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_answer_with, args=(listener, answer), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with HttpBank(url, timeout_seconds=5) as bank, pytest.raises(BankRefused) as caught:
            bank.directory()
    assert str(caught.value) == "No ?]0;x? ?"
    thread.join(5)


def test_half_a_request_is_none() -> None:
    """A client that is cut between two tokens has not uploaded the first of them."""
    asked = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(await receive())

    messages = iter(
        [
            {"type": "http.request", "body": b"first token", "more_body": True},
            {"type": "http.disconnect"},
        ]
    )

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        raise AssertionError(message)

    limited = BodyLimit(app, limit=100, larger={})
    asyncio.run(limited({"type": "http", "path": "/", "headers": []}, receive, send))
    assert asked == []


def _answer_with(listener: socket.socket, answer: bytes) -> None:
    listener.settimeout(2)  # the second call may not come as far as a connection
    for _ in range(2):
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.settimeout(5)
            connection.recv(65_536)
            connection.sendall(answer)
