# SPDX-License-Identifier: Apache-2.0
"""A wrong scenario is told in one sentence that says where, before anything is played."""

from __future__ import annotations

from pathlib import Path

import pytest

from host_bridge.demo import scenario as plan

_GOOD = plan.find("special").read_text(encoding="utf-8")


def _refusal(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(plan.ScenarioError) as caught:
        plan.read(path)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.startswith(str(tmp_path))
    return sentence


def test_the_unchanged_file_is_good(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(_GOOD, encoding="utf-8")
    assert len(plan.read(path).step) == 8


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('title = "Money for one purpose"', "title = ", "is not TOML"),
        ('amount = "1500"', 'amount = "-1500"', "step 2 sale amount: '-1500' is not an amount"),
        ('amount = "1500"', "amount = 15.5", "an amount is whole tenge, or text"),
        ('amount = "1500"', 'amount = "99999999999"', "the largest amount"),
        ('amount = "1500"', 'amount = "١٢"', "is not an amount"),
        ('amount = "1500"\n', "", "a sale has either an amount or items"),
        (
            'card = "aigerim-card"\namount',
            'card = "other"\namount',
            "there is no card called 'other'",
        ),
        ('till = "cafe-till"', 'till = "bar"', "there is no till called 'bar'"),
        ('do = "sync"', 'do = "dance"', "step 7"),
        ("at = 17:05:00", 'at = "late"', "a time is written 09:30"),
        ('expect = "refused"', 'expect = "maybe"', "expect"),
        ('tear = "after"', 'tear = "sideways"', "tear"),
        ("mcc = 8062", "mcc = 80620", "merchant 1 mcc"),
        (
            'purposes = ["medical"]\nbudget',
            'purposes = ["music"]\nbudget',
            "purpose called 'music'",
        ),
        (
            'bank = "bank-a"\ncurrent',
            'bank = "bank-z"\ncurrent',
            "there is no bank called 'bank-z'",
        ),
        ('id = "cafe-till"', 'id = "clinic-till"', "two tills called 'clinic-till'"),
        ("day = 2026-09-02", "day = 2026-13-02", "is not TOML"),
        ('id = "aigerim-card"', 'id = "aigerim-card"\npin = "12a4"', "a PIN has 4 to 12 digits"),
        ('id = "aigerim-card"', 'id = "aigerim-card"\nbits = 16', "bits"),
        ('name = "Aigerim"', 'name = "Aigerim"\nage = 7', "age"),
        ('id = "aigerim-card"', 'id = "../aigerim"', "card 1 id"),
        ("at = 17:05:00", 'at = "17:05+02:00"', "a time is written 09:30"),
        ("day = 2026-09-02", "day = 0001-01-01", "a day lies between"),
        ("day = 2026-09-02", "day = 2026-09-02\nsales_csv = 7", "sales_csv names a file"),
    ],
)
def test_one_sentence_for_each_mistake(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in _GOOD
    assert says in _refusal(tmp_path, _GOOD.replace(old, new, 1))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("a,b\n", "its columns are not time,till,card,amount,pin,tear"),
        ("time,till,card,amount,pin,tear\n09:00,cafe-till,aigerim-card,1x,,\n", "line 2: '1x'"),
        ("time,till,card,amount,pin,tear\n09:00,cafe-till\n", "line 2"),
        ("time,till,card,amount,pin,tear\n09:00,cafe-till,aigerim-card,1,maybe,\n", "line 2"),
        ("time,till,card,amount,pin,tear\n25:00,cafe-till,aigerim-card,1,,\n", "a time is"),
        ("time,till,card,amount,pin,tear\n09:00,cafe-till,aigerim-card,1,,up\n", "tear"),
        ("time,till,card,amount,pin,tear\n09:00,\0,aigerim-card,1,,\n", "till called"),
        ("time,till,card,amount,pin,tear\n09:00," + "x" * 200_000, "cannot be read"),
    ],
)
def test_sales_files(tmp_path: Path, rows: str, says: str) -> None:
    (tmp_path / "sales.csv").write_text(rows)
    text = _GOOD.replace("day = 2026-09-02", 'day = 2026-09-02\nsales_csv = "sales.csv"')
    assert says in _refusal(tmp_path, text)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(plan.ScenarioError, match="no scenario 'nosuch'; there are special"):
        plan.find("nosuch")
    text = _GOOD.replace("day = 2026-09-02", 'day = 2026-09-02\nsales_csv = "none.csv"')
    assert "cannot be read" in _refusal(tmp_path, text)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(plan.ScenarioError, match="cannot be read"):
        plan.read(tmp_path / "bytes.toml")
