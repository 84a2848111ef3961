"""The paths of the streams in memory, in order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from durable_streams.storage.path_index import PathIndex

PATHS = st.text("ab/", min_size=0, max_size=4)
CHANGES = st.lists(st.tuples(st.sampled_from(["come", "go", "look"]), PATHS), max_size=60)


@given(CHANGES, PATHS, PATHS)
def test_the_living_paths_are_found_in_order_whatever_has_come_and_gone(
    changes: list[tuple[str, str]], prefix: str, after: str
) -> None:
    living: dict[str, None] = {}
    index = PathIndex(living)
    for change, path in [*changes, ("look", "")]:
        if change == "come" and path not in living:
            living[path] = None
            index.add(path)
        elif change == "go":
            living.pop(path, None)
        elif change == "look":
            expected = sorted(path for path in living if path.startswith(prefix) and path > after)
            assert list(index.below(prefix, after)) == expected


def test_paths_that_come_and_go_are_not_kept() -> None:
    """Whether or not somebody looks."""
    living: dict[str, None] = {}
    index = PathIndex(living)
    for number in range(20_000):
        path = f"{number}"
        living[path] = None
        index.add(path)
        del living[path]
        if number % 3000 == 0:
            assert list(index.below("", "")) == []
    assert len(index) < 2000
