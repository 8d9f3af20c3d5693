"""No text is slow to encode and decode, and none takes much memory, with either engine."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from bpe_reference import (
    SPECIALS,
)

from bpe.tokenizer import Tokenizer
from bpe.training import train_bpe

_SLOW_INPUTS = {
    "one letter": "'a' * n",
    "spaces": "' ' * n",
    "newlines": "'\\n' * n",
    "one emoji": "'\\U0001f600' * (n // 4)",
    "digits": "'0123456789' * (n // 10)",
    "alternating letters": "'ab' * (n // 2)",
    "alternating cases": "'aB' * (n // 2)",
    "one word": "''.join(random.Random(3).choices('etaoinshrdlu', k=n))",
    "punctuation": "'!?' * (n // 2)",
    "apostrophes": '"\'" * n',
    "ideographs": "'\\u6771\\u4eac' * (n // 6)",
    "combining marks": "'e' + '\\u0301' * (n // 2)",
    "zeros": "'\\0' * n",
    "almost special tokens": "'<|endoftext|' * (n // 12)",
}

_TIME_ALL = """
import json, random, resource, sys, time
from bpe.tokenizer import Tokenizer
saved = Tokenizer.load(sys.argv[1])
tokenizer = Tokenizer(saved.vocab, saved.merges, saved.special_tokens, engine=sys.argv[2])
n = 1_000_000
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name, code in json.loads(sys.argv[3]).items():
    text = eval(code)
    start = time.process_time()
    ids = tokenizer.encode(text)
    seconds = time.process_time() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps([name, seconds, grown, len(ids) / n, tokenizer.decode(ids) == text]))
"""


@pytest.fixture(scope="module")
def long_merging(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a tokenizer that merges all of those inputs as far as it can."""
    directory = tmp_path_factory.mktemp("long")
    text = "\n".join(eval(code, {"n": 2003, "random": random}) for code in _SLOW_INPUTS.values())
    (directory / "text.txt").write_bytes(text.encode())
    vocab, merges = train_bpe(directory / "text.txt", 1009, SPECIALS, workers=1)
    Tokenizer(vocab, merges, SPECIALS).save(directory)
    return directory


@pytest.mark.parametrize("engine", [pytest.param("reference", marks=pytest.mark.long), "kernels"])
def test_no_megabyte_takes_5_seconds_or_300_megabytes(long_merging: Path, engine: str) -> None:
    command = [sys.executable, "-c", _TIME_ALL, str(long_merging), engine, json.dumps(_SLOW_INPUTS)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = [json.loads(line) for line in output.splitlines()]
    assert [name for name, *_ in found] == [*_SLOW_INPUTS]
    for name, seconds, megabytes, ids_per_byte, came_back in found:
        assert came_back, name
        assert ids_per_byte < 0.7, name  # there was something to merge
        assert seconds < 5, name
        assert megabytes < 300, name
