"""A response's header fields, as this protocol reads them."""

from __future__ import annotations

from twisted.web.http_headers import Headers


class HeaderFields:
    """Looks up single fields; names in any case."""

    __slots__ = ("_headers",)

    def __init__(self, headers: Headers) -> None:
        self._headers = headers

    def get(self, name: str) -> str | None:
        """The field's last value, or None."""
        values = self._headers.getRawHeaders(name.encode("ascii"))
        return values[-1].decode("utf-8", "replace").strip() if values else None

    def is_true(self, name: str) -> bool:
        """Whether the field is exactly ``true``, in any case (Section 4.1)."""
        value = self.get(name)
        return value is not None and value.lower() == "true"

    def integer(self, name: str) -> int | None:
        """The field as a non-negative integer, or None when it is missing or malformed."""
        value = self.get(name)
        return int(value) if value and value.isascii() and value.isdigit() else None

    def all(self) -> dict[str, str]:
        """Every field, by lower-case name."""
        return {
            name.decode("ascii").lower(): b", ".join(values).decode("utf-8", "replace")
            for name, values in self._headers.getAllRawHeaders()
            if any(values)
        }
