"""The command ``himacl``."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Runs the command line of the compiled module."""
    # Python's own handler would wait for the compiled module to return: the command line installs one of its own.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # `--ray` starts the driver of this package.
    os.environ.setdefault("HIMACL_PYTHON", sys.executable)
    from . import _himacl

    sys.stdout.flush()
    # No teardown of the interpreter: the work is done, and files are whole.
    os._exit(_himacl.command_line(["himacl", *sys.argv[1:]]))
