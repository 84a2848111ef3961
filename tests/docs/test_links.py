"""The pages lead somewhere: every link to another page, and to a heading, finds it."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import PAGES, ROOT

LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchors(text: str) -> set[str]:
    """The names by which headings can be reached."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(text)}


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_link_of_the_page_leads_somewhere(page: str) -> None:
    """Files exist, headings too."""
    text = (ROOT / page).read_text()
    for path, heading in LINK.findall(text):
        target = ((ROOT / page).parent / path) if path else ROOT / page
        assert target.exists(), f"{page} leads to {path}"
        if heading:
            assert heading in anchors(target.read_text()), f"{page} leads to #{heading} of {path or page}"
