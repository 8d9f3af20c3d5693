"""The `bpe` command line: which command is meant, and what becomes of an error.

Results go to standard output, progress and messages to standard error. An error is one line and an
exit code: 2 bad input, 3 a corrupt file, 4 out of disk, memory or processes, 130 and 143 signals.
"""

import errno
import logging
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

from rich.console import Console

from bpe.byte_stream import DamagedFileError
from bpe.commands import decode, encode
from bpe.convert_command import convert
from bpe.count_command import count
from bpe.flags import parse_command
from bpe.report_command import report
from bpe.terminal import WarningLines
from bpe.token_file import TokenFileError
from bpe.train_command import train
from bpe.view_command import view
from bpe.vocabulary import VocabularyError

_OUT_OF_RESOURCES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM, errno.EMFILE)
_COMMANDS: dict[str, Callable[..., object]] = {
    "train": train,
    "count": count,
    "encode": encode,
    "decode": decode,
    "convert": convert,
    "report": report,
    "view": view,
}
_DESCRIPTION = """Byte-level BPE: train a tokenizer on your text, and use it.

  bpe train book.txt --vocab-size 8000 --special-token '<|endoftext|>' --out tok
  bpe encode tok book.txt --out book.npy
  bpe decode tok book.npy --out same.txt
  bpe convert tok --out tokenizer.json
  bpe report tok book.txt
  bpe view tok 'Once upon a time'

Exit codes:
  2  bad input
  3  a corrupt file
  4  out of disk, memory or processes

  BPE_TRACEBACK=1 in the environment: an error shows where it arose"""


def main() -> int:
    """Run the command line of this process; return the exit code."""
    signal.signal(signal.SIGTERM, _exit_on_sigterm)
    warnings = WarningLines(Console(stderr=True))
    logging.getLogger("bpe").addHandler(warnings)
    try:
        run = parse_command(_COMMANDS, sys.argv[1:], prog="bpe", description=_DESCRIPTION)
        run()
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("bpe: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader has left, as `head` does. Nothing more can be said on standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except (ValueError, OSError, MemoryError) as error:
        if os.environ.get("BPE_TRACEBACK"):
            raise
        print(f"bpe: {_one_line(error)}", file=sys.stderr)
        return _exit_code(error)
    finally:
        logging.getLogger("bpe").removeHandler(warnings)
    return 0


def _exit_on_sigterm(number: int, frame: FrameType | None) -> None:
    # An exception, so that no temporary file is left.
    sys.exit(128 + number)


def _exit_code(error: Exception) -> int:
    if isinstance(error, (DamagedFileError, TokenFileError, VocabularyError)):
        return 3
    out_of_resources = isinstance(error, (ChildProcessError, MemoryError))
    if out_of_resources or (isinstance(error, OSError) and error.errno in _OUT_OF_RESOURCES):
        return 4
    return 2


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror}"
    return " ".join(str(error).split()) or "out of memory"
