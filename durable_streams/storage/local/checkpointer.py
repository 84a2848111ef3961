"""The checkpointer: a process of its own that folds sealed segments, so that the service never waits for it.

It reads one command a line from its standard input, ``fold N``, and answers ``folded N`` when segment N is in the
base store.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

from durable_streams.storage.local.base import BaseStore, connect
from durable_streams.storage.local.files import OsFiles
from durable_streams.storage.local.folding import Folding
from durable_streams.storage.local.journal import read_segment

JOURNAL = "journal"
GARBAGE_STEPS = 64


def run(directory: Path, commands: TextIO, answers: TextIO) -> None:
    """Serve until the input ends."""
    connection = connect(directory)
    folding = Folding(BaseStore(connection))
    journal = OsFiles(directory / JOURNAL)
    for line in commands:
        segment = int(line.removeprefix("fold "))
        folding.fold(segment, list(read_segment(journal, segment)))
        answers.write(f"folded {segment}\n")
        answers.flush()
        for _ in range(GARBAGE_STEPS):
            if not folding.collect_garbage():
                break
    connection.close()


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.stdin, sys.stdout)
