"""`handrail demo` as a person at a terminal meets it."""

import csv
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from handrail.config.demo.certificates import make_file_name
from handrail.config.demo.figures import pick_percentile
from handrail.config.demo.learners import write_invented_roster
from handrail.config.installation import open_local_installation
from tests.demos import EXAMPLE, PLAIN, Demo, pick_constant, start_demo

HANDRAIL = [sys.executable, "-m", "handrail.config.cli"]
COMPARE = """
import json, sys, pathlib, django
django.setup()
from handrail.config.demo.ledger import compare_with_sandbox
print(json.dumps([compare_with_sandbox(pathlib.Path(each)) for each in sys.argv[1:]]))
"""
QUICK = "study_seconds=1.5"

# How a book of the partners could differ from ours, and what is then said of it.
TAMPERED = {
    "update accounts set id = 'MIL-A-7' where number = "
    "(select min(number) from accounts where partner = 'milady')": "MIL-A-7: this account is there",
    "insert into enrollments (id, partner, account, course, created_at) select 'NDS-E-7', partner, "
    "account, course, 0 from enrollments where partner = 'nds' limit 1": "nds: 2 times the enrol",
    "insert into vouchers (id, partner, code, account, course, created_at) select 'CPT-V-7', "
    "partner, 'code', account, course, 0 from vouchers limit 1": "certiport: 2 times the voucher of",
    "update enrollments set status = 'failed' where number = "
    "(select min(number) from enrollments where partner = 'jri')": "this completion is here and",
    "update webhooks set body = x'7b7d' where number = 1": "was answered 2xx, but is not stored",
    "update certificates set id = 'C-7' where number = "
    "(select min(number) from certificates where partner = 'hsi')": "C-7: this certificate is there",
}


def handrail(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HANDRAIL, *arguments],
        cwd=folder,
        env=PLAIN | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def compare(demo: Demo, *states: Path) -> list[list[str]]:
    """Compare the demo's database with books of the sandbox."""
    with open_local_installation(demo.folder / "var" / "demo") as (_, installation):
        done = subprocess.run(
            [sys.executable, "-c", COMPARE, *map(str, states)],
            env=installation.environment_of("worker")
            | {"DJANGO_SETTINGS_MODULE": "handrail.config.settings"},
            stdout=subprocess.PIPE,
            check=True,
        )
    differences: list[list[str]] = json.loads(done.stdout)
    return differences


def tamper(state: Path, number: int, statement: str) -> Path:
    """Change a copy of the sandbox's book."""
    copy = state.with_name(f"tampered-{number}.sqlite")
    shutil.copy(state, copy)
    with sqlite3.connect(copy) as book:
        book.execute("pragma foreign_keys = off")
        book.execute(statement)
    book.close()
    return copy


@pytest.mark.slow
def test_the_demo_carries_everybody_to_a_certificate(folder: Path) -> None:
    """From another folder than the checkout, without a terminal."""
    with start_demo(folder, QUICK) as demo:
        assert demo.wait() == 0, demo.text
    summary = demo.read_summary()
    assert pick_constant(summary) == EXAMPLE
    assert summary.keys() - EXAMPLE.keys() == {
        *("webhooks_received", "webhooks_repeated", "resolved_by_person"),
        *("advance_ms_p50", "advance_ms_p99", "seconds"),
    }
    assert summary["resolved_by_person"] == 0
    assert 0 < summary["advance_ms_p50"] <= summary["advance_ms_p99"]
    told = [line.split(":")[0].strip() for line in demo.text.splitlines() if "not taken" in line]
    assert told == ["line 9", "line 17", "line 31", "line 39", "line 68"]
    certificates = list((folder / "var" / "demo" / "certificates").glob("*.pdf"))
    assert [each.read_bytes()[:5] for each in certificates] == [b"%PDF-"] * 62
    states = [tamper(demo.state, *each) for each in enumerate(TAMPERED)]
    agreed, *differing = compare(demo, demo.state, *states)
    assert agreed == []
    for words, found in zip(TAMPERED.values(), differing, strict=True):
        assert any(words in each for each in found), (words, found)


@pytest.mark.slow
def test_partners_that_fail_change_nothing_of_the_end(folder: Path) -> None:
    with start_demo(folder, f"{QUICK}, faults=True") as demo:
        assert demo.wait() == 0, demo.text
    summary = demo.read_summary()
    assert pick_constant(summary) == EXAMPLE
    assert summary["webhooks_repeated"] > 0
    with sqlite3.connect(demo.state) as book:
        (faults,) = book.execute(
            "select count(distinct fault) from ledger where fault <> ''"
        ).fetchone()
        (lost,) = book.execute("select count(*) from webhooks where state = 'lost'").fetchone()
    book.close()
    assert faults > 5
    assert lost > 0


@pytest.mark.slow
def test_ctrl_c_stops_everything_and_a_killed_demo_leaves_nothing_in_the_way(folder: Path) -> None:
    with start_demo(folder) as killed:
        killed.wait_for_steps(1)
        refused = handrail("demo", folder=folder)
        assert refused.returncode == 1
        assert f"Another Handrail (process {killed.process.pid})" in refused.stderr
        killed.process.send_signal(signal.SIGKILL)
    with start_demo(folder) as demo:
        demo.wait_for_steps(1)
        children = demo.find_children()
        assert sorted(children) == ["applier", "postgres", "sandbox", "web", "worker"]
        demo.process.send_signal(signal.SIGINT)
        assert demo.wait(30) == 130
        assert "Stopped before the end." in demo.text
        assert "Traceback" not in demo.text
        assert [name for name, pid in children.items() if Path(f"/proc/{pid}").exists()] == []


@pytest.mark.slow
def test_whoever_is_stuck_is_named_with_the_reason(folder: Path) -> None:
    with start_demo(folder, "study_seconds=0, stuck_seconds=3") as demo:
        assert demo.wait() == 1
    assert "Nothing has moved for 3 seconds." in demo.text
    assert "Enrollments   0 of 62 completed" in demo.text
    stuck = [line for line in demo.text.splitlines() if "beatriz.delgado5@example.org" in line]
    where = "Medical Assistant (active): NDS-5PANEL at National Drug Screening is in_progress"
    who = "Beatriz Delgado <beatriz.delgado5@example.org>"
    assert stuck == [f"  {who}, {where}, run active: nothing is known"]
    assert demo.read_summary()["completed"] == 0


def test_the_demo_touches_no_other_database(folder: Path) -> None:
    done = handrail("demo", folder=folder, HANDRAIL_DATABASE_URL="postgresql://localhost/real")
    assert done.returncode == 1
    assert "HANDRAIL_DATABASE_URL is set. The demo makes a database of its own" in done.stderr
    assert not (folder / "var").exists()


def test_a_port_in_use_is_said_before_anything_is_made(folder: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = handrail("demo", folder=folder, PORT=str(port))
    assert done.returncode == 1
    assert f"Port {port} of 127.0.0.1 is in use" in done.stderr
    assert not (folder / "var").exists()


def test_invented_learners_are_spread_over_the_programs(tmp_path: Path) -> None:
    roster = tmp_path / "invented.csv"
    write_invented_roster(roster, count=7, programs=["barber", "esthetics"], seed=1)
    with roster.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["program"] for row in rows] == ["barber", "esthetics"] * 3 + ["barber"]
    assert len({row["email"] for row in rows}) == 7


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("2026-1 Siobhán O'Brien-Núñez", "2026-1 Siobhán O'Brien-Núñez"),
        ("2026-1 محمد الأحمد", "2026-1 محمد الأحمد"),
        ("2026-1 小明 王", "2026-1 小明 王"),
        ("2026-1 कमला", "2026-1 कमला"),
        ("2026-1 <b>Bold</b> Tag", "2026-1 _b_Bold__b_ Tag"),
        ('2026-1 =HYPERLINK("x")', "2026-1 _HYPERLINK__x__"),
        ("../../etc/passwd", "_._.._etc_passwd"),
        ("2026-1 a\u202egpj.exe", "2026-1 a_gpj.exe"),
        ("2026-1 Dr.", "2026-1 Dr"),
        ("-rf", "_rf"),
        ("", "_"),
        ("x" * 300, "x" * 80),
    ],
)
def test_a_file_name_is_safe_and_still_reads(text: str, name: str) -> None:
    assert make_file_name(text) == name
    assert os.path.basename(name) == name  # noqa: PTH119 - it is a name, not a path


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(number) for number in range(1, 101)]
    assert pick_percentile(values, 50) == 51
    assert pick_percentile(values, 99) == 100
    assert pick_percentile([7.25], 99) == 7.2
    assert pick_percentile([], 50) is None
