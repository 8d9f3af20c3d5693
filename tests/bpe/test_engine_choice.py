"""Which engine encodes is chosen by what pays, and kept wherever a tokenizer goes."""

import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest
from bpe_reference import SPECIALS

from bpe.text_encoder import LOAD_FROM
from bpe.tokenizer import Tokenizer

Trained = tuple[dict[int, bytes], list[tuple[bytes, bytes]]]


def test_much_text_in_a_batch_calls_for_the_kernels(trained: Trained, corpus: str) -> None:
    tokenizer = Tokenizer(*trained, SPECIALS)
    lines = corpus.splitlines(keepends=True) * (1 + LOAD_FROM // len(corpus))
    found = tokenizer.encode_batch(lines, workers=2)
    assert tokenizer._encoder.kernels is not None
    assert found == [*map(tokenizer.encode, lines)]


def test_a_sentence_loads_no_compiler(saved: Path) -> None:
    command = (
        "import sys; from bpe import Tokenizer; Tokenizer.load(sys.argv[1]).encode('one two');"
        "print(*sys.modules)"
    )
    run = [sys.executable, "-c", command, str(saved)]
    modules = subprocess.run(run, check=True, capture_output=True, text=True).stdout.split()
    assert "bpe" in modules
    assert not {"numpy", "numba", "llvmlite"} & set(modules)


def test_kernels_take_over_when_much_text_has_come(trained: Trained, corpus: str) -> None:
    tokenizer = Tokenizer(*trained, SPECIALS)
    # Compiled in any case, for other tests: what is not compiled is waited for longer.
    Tokenizer(*trained, SPECIALS, engine="kernels")
    text = corpus[:4001]
    expected = tokenizer.encode(text)
    assert tokenizer._encoder.kernels is None
    for _ in range(LOAD_FROM // len(text) + 1):
        assert tokenizer.encode(text) == expected
    assert tokenizer._encoder.kernels is not None


def test_a_stream_loads_no_kernels(trained: Trained, corpus: str) -> None:
    tokenizer = Tokenizer(*trained, SPECIALS)
    times = 1 + LOAD_FROM // len(corpus)
    assert sum(1 for _ in tokenizer.encode_iterable([corpus] * times)) > times
    assert tokenizer._encoder.kernels is None


def test_an_engine_that_cannot_be_used_is_refused(trained: Trained) -> None:
    with pytest.raises(ValueError, match="'fast' is not one of 'auto', 'reference', 'kernels'"):
        Tokenizer(*trained, engine="fast")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="patterns gpt2, cl100k, llama3, o200k"):
        Tokenizer(*trained, pattern=r"\w+|\W", engine="kernels")


def test_other_patterns_are_left_to_the_reference(trained: Trained, corpus: str) -> None:
    tokenizer = Tokenizer(*trained, pattern=r"\w+|\W")
    text = corpus * (1 + LOAD_FROM // len(corpus))
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer._encoder.kernels is None


def test_a_pickled_tokenizer_is_of_the_same_engine(kernels: Tokenizer, corpus: str) -> None:
    kernels.encode(corpus)
    data = pickle.dumps(kernels)
    assert len(data) < 100_000
    restored: Tokenizer = pickle.loads(data)
    assert restored._encoder.kernels is not None
    assert restored.encode(corpus) == kernels.encode(corpus)


def test_threads_may_share_a_tokenizer(kernels: Tokenizer, corpus: str) -> None:
    parts = [corpus[start : start + 997] for start in range(0, 60_000, 997)]
    expected = [kernels.encode(part) for part in parts]
    with ThreadPoolExecutor(4) as executor:
        for found in executor.map(lambda _: [*map(kernels.encode, parts)], range(8)):
            assert found == expected


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_tokenizer_survives(method: str, kernels: Tokenizer, corpus: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        return
    expected = kernels.encode(corpus)
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        assert executor.submit(kernels.encode, corpus).result() == expected


def test_a_forked_child_encodes_with_the_tables_of_its_parent(
    kernels: Tokenizer, corpus: str
) -> None:
    expected = kernels.encode(corpus)
    child = os.fork()
    if not child:
        os._exit(0 if kernels.encode(corpus) == expected else 1)
    assert os.waitpid(child, 0)[1] == 0
