"""What a VM's console said, kept in a file."""

from __future__ import annotations

from pathlib import Path

from builder.console import Lines, escape

LOG_BYTES = 4 << 20


class ConsoleLog:
    """The console's lines in a file, escaped; when it is full, the file begins anew with what comes."""

    def __init__(self, path: Path | None) -> None:
        self._lines = Lines()
        self._file = None if path is None else path.open("w")

    def write(self, data: bytes) -> None:
        """Take in what came."""
        if self._file is None:
            return
        for line in self._lines.feed(data):
            if self._file.tell() > LOG_BYTES:
                self._file.seek(0)
                self._file.truncate()
            self._file.write(escape(line) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Write no more."""
        if self._file is not None:
            self._file.close()
