"""The control paths in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.web.control.control_desk import ControlDesk


@pytest.fixture
def desk() -> Iterator[ControlDesk]:
    desk = ControlDesk()
    yield desk
    desk.stop()
