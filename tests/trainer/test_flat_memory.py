"""Training data may be larger than memory: what is drawn from it is all that is held."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from small_run import byte_tokenizer

from bpe.token_file import read_token_file

GIGABYTE = 1 << 30
SCRIPT = """
import sys
from pathlib import Path
import numpy as np, torch
from trainer.batches import SequenceSampler, document_starts
from trainer.mixture import Mixture
from trainer.prefetch import Prefetcher

tokens = np.load(sys.argv[1], mmap_mode="r")
mixture = Mixture((len(tokens) - 10**6, 10**6), (1.0, 3.0))
sequences = SequenceSampler(0, len(tokens), 256, 32, mixture=mixture)
total = 0
with Prefetcher(sequences, tokens, torch.device("cpu"), first=1) as batches:
    for _ in range(30):
        total += int(batches.next()[0].sum())
documents = document_starts(tokens[-GIGABYTE // 64 :], 1)
peak = max(
    int(line.split()[1])
    for line in Path("/proc/self/status").read_text().splitlines()
    if line.startswith("RssAnon")
)
print(len(documents), total, peak // 1000)
""".replace("GIGABYTE", str(GIGABYTE))


def test_four_gigabytes_of_tokens_are_drawn_from_in_flat_memory(tmp_path: Path) -> None:
    path = tmp_path / "train.npy"
    # A hole of the file system: four gigabytes to whoever reads them, nothing on the disk.
    np.lib.format.open_memmap(path, mode="w+", dtype=np.uint16, shape=(2 * GIGABYTE,))
    assert path.stat().st_size > 4 * GIGABYTE
    command = [sys.executable, "-c", SCRIPT, str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    documents, total, megabytes = map(int, found.stdout.split())
    assert (documents, total) == (1, 0)
    assert megabytes < 500


def test_token_file_is_mapped_and_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello world " * 11)
    byte_tokenizer().encode_file(tmp_path / "a.txt", tmp_path / "a.npy")
    tokens, _ = read_token_file(tmp_path / "a.npy")
    assert isinstance(tokens, np.memmap)
