# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""main: run one command and report its outcome as text and an exit code."""

from __future__ import annotations

import io
import os
import select
import signal
import sys
import traceback
from collections.abc import Sequence

import click
from click.shell_completion import shell_complete

from netvm_build.cli.app import PROGRAM, netvm_build
from netvm_build.cli.escape import escape
from netvm_build.cli.failure import describe, machine_trouble
from netvm_build.cli.screen import Screen
from netvm_build.cli.signals import Stopped, stopping_once
from netvm_build.util.errors import NetvmError

COMPLETE = "_NETVM_BUILD_COMPLETE"  # how the scripts of `completion` ask for proposals
BUG = 70  # EX_SOFTWARE of sysexits.h: never mistaken for a verdict or for one of our errors
CLOSED_PIPE = 141  # 128 + SIGPIPE, as a shell reports it


def main(argv: Sequence[str] | None = None) -> int:
    """Run `netvm-build` with these arguments (sys.argv's by default); return the exit code.

    0: done; 1: the router failed its smoke boot, or `doctor` found something missing; 2 to 7: see
    netvm_build.util.errors; 70: a bug, with its traceback; 130: Ctrl-C; 141: nobody reads our output any more.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _prepare_streams()
    try:
        with stopping_once():
            status = _run(arguments)
            sys.stdout.flush()
            return status
    except KeyboardInterrupt as stopped:
        return 128 + (stopped.signal if isinstance(stopped, Stopped) else signal.SIGINT)
    except BrokenPipeError:
        closed = _closed_outputs()
        if not closed:
            return _bug()
        for descriptor in closed:  # nobody reads what is still buffered, and the interpreter would report that at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
        return CLOSED_PIPE


def _prepare_streams() -> None:
    """Make stdout and stderr take whatever we write, also if they are closed or know only ASCII."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run(arguments: list[str]) -> int:
    """Parse, invoke, and report what a user can fix."""
    if COMPLETE in os.environ:
        return shell_complete(netvm_build, {}, PROGRAM, COMPLETE, os.environ[COMPLETE])
    context = None
    try:
        with netvm_build.make_context(PROGRAM, arguments or ["--help"]) as context:
            netvm_build.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.UsageError as error:
        return _failed(_misused(error), context)
    except NetvmError as error:
        return _failed(error, context)
    except BrokenPipeError:
        raise
    except OSError as error:
        trouble = machine_trouble(error)
        return _failed(trouble, context) if trouble else _bug()
    except Exception:
        return _bug()
    return 0


def _failed(error: NetvmError, context: click.Context | None) -> int:
    screen = context.obj if context is not None and isinstance(context.obj, Screen) else Screen()
    print(describe(error, screen), file=sys.stderr)
    return error.exit_code


class _Misused(NetvmError):
    """A command line that click could not read."""

    exit_code = 2


def _misused(error: click.UsageError) -> NetvmError:
    command = error.ctx.command_path if error.ctx is not None else PROGRAM
    return _Misused(error.format_message(), hint=f"{command} --help")


def _bug() -> int:
    """Print an unexpected exception with its traceback."""
    for line in traceback.format_exc().splitlines():
        print(escape(line), file=sys.stderr)
    print("this is a bug in netvm-build: please report it with these lines and the command you gave", file=sys.stderr)
    return BUG


def _closed_outputs() -> list[int]:
    """The descriptors of stdout and stderr that nobody reads any more."""
    poll = select.poll()
    for stream in (sys.stdout, sys.stderr):
        poll.register(stream.fileno(), select.POLLOUT)
    return [descriptor for descriptor, event in poll.poll(0) if event & (select.POLLERR | select.POLLHUP)]
