"""The benchmarks run; what they measure is no matter here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_quick_run_loses_nothing_and_writes_its_tables(tmp_path: Path) -> None:
    rows = "routed50,accepted,json,logins,history,history-keeping"
    peers = "chatd,chatd JSON"
    command = [sys.executable, str(ROOT / "bench"), "--quick", "--rows", rows]
    command += ["--peers", peers, "--out", str(tmp_path)]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=220, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    written = (tmp_path / "quick" / "results.jsonl").read_text(encoding="utf-8")
    samples = [json.loads(line) for line in written.splitlines()]
    assert [each for each in samples if each["trouble"]] == []
    assert {each["row"] for each in samples} == set(rows.split(","))
    tables = (tmp_path / "quick" / "tables.md").read_text(encoding="utf-8")
    assert tables.count("### ") == len(rows.split(","))


@pytest.mark.slow
def test_keys_are_seen_while_messages_come(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "bench" / "echo.py")]
    command += ["--seconds", "2", "--rates", "0,200"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=220, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 messages/s: " in done.stdout
    assert " 200 messages/s: " in done.stdout
