"""durable-streams-admin: verify, figures, backup, restore, export, import."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.running_service import ROOT, RunningService, running_service


def admin(*arguments: str | Path, given: bytes = b"") -> tuple[int, bytes, str]:
    """Exit status, standard output, standard error."""
    command = [sys.executable, "-m", "durable_streams.admin", *map(str, arguments)]
    run = subprocess.run(command, input=given, capture_output=True, cwd=ROOT, timeout=60, check=False)
    return run.returncode, run.stdout, run.stderr.decode()


def ask(service: RunningService, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> bytes:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    with urlopen(Request(service.url + path, body, fields, method=method), timeout=10) as answer:
        content: bytes = answer.read()
        return content


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with a few streams and forks, closed in order."""
    directory = tmp_path / "data"
    with running_service("--data-dir", str(directory)) as service:
        ask(service, "log", "PUT", b"hello ", Content_Type="text/plain")
        ask(service, "log", "POST", b"world", Content_Type="text/plain")
        ask(service, "chat", "PUT", b'[{"n":1},2]', Content_Type="application/json", Stream_TTL="3600")
        ask(service, "branch", "PUT", Stream_Forked_From="/v1/stream/log")
        service.terminate()
    return directory


def test_a_sound_directory_has_no_faults(data: Path) -> None:
    """verify says so and exits with 0; figures counts."""
    assert admin("verify", data)[:2] == (0, b"nothing is wrong\n")
    status, shown, _ = admin("figures", data)
    assert status == 0
    assert b"unfolded events" in shown


def test_faults_are_named(data: Path) -> None:
    """A flipped byte in the journal, a missing run in the base store."""
    with running_service("--data-dir", str(data)) as service:
        ask(service, "log", "POST", b"more", Content_Type="text/plain")
        service.terminate()
    connection = sqlite3.connect(data / "base.sqlite")
    connection.execute("delete from runs")
    connection.commit()
    connection.close()
    segment = max((data / "journal").glob("*.journal"))
    content = bytearray(segment.read_bytes())
    content[content.index(b"more")] ^= 1
    segment.write_bytes(content)
    status, shown, _ = admin("verify", data)
    assert status == 1
    assert segment.name.encode() in shown
    assert b"its bytes end at 0" in shown


def test_a_directory_in_use_is_not_verified(data: Path) -> None:
    """One process at a time."""
    with running_service("--data-dir", str(data)):
        status, _, told = admin("verify", data)
        assert (status, "in use" in told) == (1, True)


def test_a_backup_of_a_running_service_is_whole(data: Path, tmp_path: Path) -> None:
    """Taken under load, restored elsewhere: every stream is a prefix of what was written, and nothing is wrong."""
    over = threading.Event()
    with running_service("--data-dir", str(data)) as service:

        def write() -> None:
            number = 0
            while not over.is_set():
                ask(service, "chat", "POST", b"%d" % number, Content_Type="application/json")
                number += 1

        writer = threading.Thread(target=write)
        writer.start()
        status, _, told = admin("backup", data, tmp_path / "backup")
        over.set()
        writer.join()
    assert (status, told) == (0, "")
    assert admin("restore", tmp_path / "backup", tmp_path / "restored") == (0, b"", "")
    assert admin("verify", tmp_path / "restored")[0] == 0
    with running_service("--data-dir", str(tmp_path / "restored")) as service:
        messages = json.loads(ask(service, "chat"))
        assert messages[:2] == [{"n": 1}, 2]
        assert messages[2:] == list(range(len(messages) - 2))
        assert ask(service, "branch") == b"hello world"
    assert "not empty" in admin("backup", data, tmp_path / "backup")[2]
    assert "not empty" in admin("restore", tmp_path / "backup", tmp_path / "restored")[2]


def test_a_stream_goes_from_one_service_to_another(data: Path, tmp_path: Path) -> None:
    """export and import: content type, lifetime and messages are kept."""
    status, exported, _ = admin("export", data, "chat")
    assert status == 0
    assert admin("import", tmp_path / "other", "talk", given=exported)[0] == 0
    with running_service("--data-dir", str(tmp_path / "other")) as service:
        assert json.loads(ask(service, "talk")) == [{"n": 1}, 2]
    assert "already" in admin("import", tmp_path / "other", "talk", given=exported)[2]
    assert admin("import", tmp_path / "other", "bad", given=b"nonsense\n")[0] == 1
    assert "StreamNotFound" in admin("export", data, "none")[2]


def test_retention_goes_with_an_export(data: Path, tmp_path: Path) -> None:
    """What is left, and the limits; a directory with limits has no faults."""
    with running_service("--data-dir", str(data)) as service:
        ask(service, "few", "PUT", b"[1,2,3]", Content_Type="application/json", Stream_Retention_Max_Messages="2")
        service.terminate()
    assert admin("verify", data)[:2] == (0, b"nothing is wrong\n")
    status, exported, _ = admin("export", data, "few")
    assert (status, exported.splitlines()[1]) == (0, b"[2,3]")
    assert admin("import", tmp_path / "other", "few", given=exported)[0] == 0
    with running_service("--data-dir", str(tmp_path / "other")) as service:
        ask(service, "few", "POST", b"4", Content_Type="application/json")
        assert json.loads(ask(service, "few")) == [3, 4]


@pytest.mark.parametrize("content_type", ["application/json", "application/octet-stream"])
def test_an_export_of_many_pieces_comes_back_as_it_was(data: Path, tmp_path: Path, content_type: str) -> None:
    """Larger than one read and than one append; empty and closed streams too; what breaks off leaves nothing."""
    body = json.dumps([f"{number}{'.' * 40_000}" for number in range(80)], separators=(",", ":")).encode()
    with running_service("--data-dir", str(data)) as service:
        ask(service, "long", "PUT", body, Content_Type=content_type, Stream_Closed="true")
        ask(service, "empty", "PUT", Content_Type=content_type)
        service.terminate()
    for name in ("long", "empty"):
        status, exported, told = admin("export", data, name)
        assert (status, told) == (0, "")
        assert admin("import", tmp_path / "other", name, given=exported)[0] == 0
        assert admin("export", tmp_path / "other", name)[1] == exported
    _, exported, _ = admin("export", tmp_path / "other", "long")
    assert exported.endswith(body)
    if content_type == "application/json":
        assert admin("import", tmp_path / "other", "broken", given=exported[:-5])[0] == 1
        assert "StreamNotFound" in admin("export", tmp_path / "other", "broken")[2]


SUBSCRIPTION = {"type": "pull-wake", "streams": ["chat"], "wake_stream": "wake"}


def subscribe(service: RunningService) -> None:
    """A subscription to ``chat``, with a wake that nobody has claimed."""
    ask(service, "wake", "PUT", Content_Type="application/json")
    ask(service, "__ds/subscriptions/sub", "PUT", json.dumps(SUBSCRIPTION).encode())
    ask(service, "chat", "POST", b"3", Content_Type="application/json")


def test_a_backup_has_the_subscriptions(data: Path, tmp_path: Path) -> None:
    """Cursors, generations and keys; taken while the service runs, and the copy is for its owner alone."""
    backup, restored = tmp_path / "backup", tmp_path / "restored"
    with running_service("--data-dir", str(data)) as service:
        subscribe(service)
        keys = ask(service, "__ds/jwks.json")
        cursors = json.loads(ask(service, "__ds/subscriptions/sub"))["streams"]
        assert admin("backup", data, backup) == (0, b"", "")
    assert (backup / "subscriptions.sqlite").stat().st_mode & 0o777 == 0o600
    assert admin("restore", backup, restored) == (0, b"", "")
    assert admin("verify", restored)[:2] == (0, b"nothing is wrong\n")
    assert (restored / "subscriptions.sqlite").stat().st_mode & 0o777 == 0o600
    with running_service("--data-dir", str(restored)) as service:
        assert ask(service, "__ds/jwks.json") == keys
        assert json.loads(ask(service, "__ds/subscriptions/sub"))["streams"] == cursors
        claimed = json.loads(ask(service, "__ds/subscriptions/sub/claim", "POST", b'{"worker": "w"}'))
        assert (claimed["generation"], claimed["streams"][0]["has_pending"]) == (1, True)


def test_faults_of_subscriptions_are_named(data: Path, tmp_path: Path) -> None:
    """By verify, and by restore, which then makes nothing."""
    with running_service("--data-dir", str(data)) as service:
        subscribe(service)
        service.terminate()
    connection = sqlite3.connect(data / "subscriptions.sqlite")
    connection.execute("delete from definitions")
    connection.commit()
    connection.close()
    status, shown, _ = admin("verify", data)
    assert status == 1
    assert b"subscriptions.sqlite: links of subscription sub, which is not there" in shown
    assert admin("backup", data, tmp_path / "backup")[0] == 0
    status, _, told = admin("restore", tmp_path / "backup", tmp_path / "restored")
    assert (status, "the backup is damaged: subscriptions.sqlite" in told) == (1, True)
    assert not (tmp_path / "restored").exists()
    (data / "subscriptions.sqlite").write_bytes(b"nonsense" * 1000)
    assert b"subscriptions.sqlite: file is not a database" in admin("verify", data)[1]
