"""Do one piece of work with one tokenizer library, and print what it took as a line of JSON.

    python benchmarks/tokenizer_work.py train ours CORPUS --vocab-size 32000 --threads 2

`tokenizer.py` runs this in a fresh process for each measurement. Each library does the work in the
fastest way that its documentation shows. What is measured is the call alone, not the import and
not the making of a tokenizer from its file, but with all that the library puts off until its first
call. Peak memory is that of the whole process.
"""

import argparse
import hashlib
import json
import os
import resource
import sys
import tempfile
from pathlib import Path

import tokenizer_encoding
import tokenizer_training


def peak_memory() -> int:
    """Return the most memory that this process ever had, in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work")
    parser.add_argument("library")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--vocab-size", type=int, default=32_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--ids", type=Path)
    parser.add_argument("--out", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        options.out = Path(directory) / "ids.npy" if options.out else None
        module = tokenizer_training if options.work in ("train", "count") else tokenizer_encoding
        work = getattr(module, f"{options.work}_{options.library}")
        seconds, result = work(options.corpus, options)
        merges = hashlib.sha256(repr(result).encode()).hexdigest()[:12]
        found = merges if isinstance(result, list) else result
    print(json.dumps({**seconds._asdict(), "memory": peak_memory(), "result": found}))
    sys.stdout.flush()
    # Some libraries take seconds to give their memory back one object at a time.
    os._exit(0)


if __name__ == "__main__":
    main()
