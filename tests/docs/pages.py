"""The pages of the documentation and the code blocks in them.

A comment on the line above a block says how it is run; readers do not see it:

``<!-- starts -->``        a command that starts the service; the page goes on with one that runs already
``<!-- serves -->``        a program that runs until the page ends, on port 8080
``<!-- file: NAME -->``    becomes the file NAME for the blocks below it
``<!-- prints -->``        is what the block above it prints
``<!-- see: TEST -->``     TEST, a file of the test suite, does what the block says

Without a comment, ``python`` is a program that ends well and complains of nothing, and ``sh`` is a script that does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md"))
)
_BLOCK = re.compile(r"^(?:<!-- (.+?) -->\n)?```([a-z]*)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, its language, the comment above it, and its text."""

    page: str
    line: int
    language: str
    comment: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def manner(self) -> str:
        """How it is to be run: the word of the comment, else the language."""
        return self.comment.partition(":")[0] or self.language

    @property
    def argument(self) -> str:
        """What the comment says after its word."""
        return self.comment.partition(": ")[2]


def blocks_of(page: str) -> Iterator[Block]:
    """The blocks of a page, in order."""
    written = (ROOT / page).read_text()
    for found in _BLOCK.finditer(written):
        line = written.count("\n", 0, found.start(2)) + 1
        yield Block(page, line, found[2], found[1] or "", found[3])
