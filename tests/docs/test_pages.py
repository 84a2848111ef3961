"""The documentation does what it says: every code block of every page runs as it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import PAGES, blocks_of
from tests.docs.reader import reader_in


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_the_page_does_what_it_says(page: str, tmp_path: Path) -> None:
    """From top to bottom, as somebody who follows the page would do it."""
    blocks = list(blocks_of(page))
    if not blocks:
        return
    with reader_in(tmp_path) as reader:
        for block in blocks:
            reader.follow(block)


def test_the_pages_are_found() -> None:
    """The README, the guides and the pages of the examples."""
    assert {"README.md", "docs/client.md", "docs/operations.md"} <= set(PAGES)
    assert len(list(blocks_of("docs/client.md"))) >= 8
