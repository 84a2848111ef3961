"""The checkpointer: a process of its own that folds sealed segments, so that the service never waits for it.

It reads one command a line from its standard input, ``fold N``, and answers ``folded N`` when segment N is in the
base store. It says ``free N`` when the file of segment N is needed no more: at once, or when all that the base store
refers to in it has gone. While nobody asks, it removes bytes that nobody needs, in small steps.
"""

from __future__ import annotations

import os
import select
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from durable_streams.storage.local.base import BaseStore, connect
from durable_streams.storage.local.directory import JOURNAL
from durable_streams.storage.local.files import OsFiles
from durable_streams.storage.local.folding import LARGE, Folding
from durable_streams.storage.local.runs import BaseDamaged
from durable_streams.storage.local.sealed_segment import read_segment
from durable_streams.storage.local.segment import SegmentDamaged

_NICENESS = 10


def run(
    directory: Path, commands: TextIO, answers: TextIO, warn: Callable[[str], None], is_asked: Callable[[], bool]
) -> None:
    """Serve until the input ends. Raises ``sqlite3.Error``, ``OSError``, ``SegmentDamaged`` and ``BaseDamaged``."""

    def answer(line: str) -> None:
        answers.write(f"{line}\n")
        answers.flush()

    connection = connect(directory)
    journal = OsFiles(directory / JOURNAL)
    folding = Folding(BaseStore(connection, journal), lambda segment: answer(f"free {segment}"), warn)
    for line in commands:
        segment = int(line.removeprefix("fold "))
        folding.fold(read_segment(journal, segment, LARGE))
        answer(f"folded {segment}")
        folding.free_files(segment)
        while folding.collect_garbage() and not is_asked():
            pass
    connection.close()


def _say(sentence: str) -> None:
    """Tell the service something that it logs."""
    print(sentence, file=sys.stderr)


def main(directory: Path) -> int:
    """Serve on standard input and output; what the operator should know is a line each on standard error."""
    # Signals for the whole group or unit are the service's to answer; its end is the end of the input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Who waits for an answer goes first; when this falls behind, the service slows down by itself.
    os.nice(_NICENESS)
    try:
        run(directory, sys.stdin, sys.stdout, _say, lambda: bool(select.select([sys.stdin], [], [], 0)[0]))
    except SegmentDamaged as damage:
        _say(f"a journal file cannot be read at position {damage.position}: {damage.reason}")
    except (sqlite3.Error, BaseDamaged, OSError) as error:
        _say(str(error))
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
