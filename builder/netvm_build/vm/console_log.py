# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a VM's console said, kept in a file."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from netvm_build.guest import Lines, escape

LOG_BYTES = 4 << 20


class ConsoleLog:
    """The console's lines in a file, escaped; when it is full, the file begins anew with what comes.

    `problem` says why it is written no more, as on a full disk: the console goes on without.
    """

    def __init__(self, path: Path | None) -> None:
        self._lines = Lines()
        self._file = None if path is None else path.open("w")
        self.problem = ""

    def write(self, data: bytes) -> None:
        """Take in what came."""
        lines = [escape(line) for line in self._lines.feed(data)]
        if self._file is None or self.problem:
            return
        try:
            for line in lines:
                if self._file.tell() > LOG_BYTES:
                    self._file.seek(0)
                    self._file.truncate()
                self._file.write(line + "\n")
            self._file.flush()
        except OSError as error:
            self.problem = f"the console's log can't be written any more: {error.strerror or error}"

    def close(self) -> None:
        """Write no more."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
