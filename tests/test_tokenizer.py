"""The tokenizer behind its adapter, against tiktoken and tokenizers on the vocabulary we train."""

import io
import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiktoken
import tokenizers
from adapters import get_tokenizer, run_train_bpe
from bpe_reference import make_corpus, texts
from hypothesis import given

from bpe import Tokenizer
from bpe.byte_alphabet import spell_token
from bpe.patterns import PATTERNS

SPECIALS = ["<|endoftext|>", "<|endoftext|><|endoftext|>"]
Trained = tuple[dict[int, bytes], list[tuple[bytes, bytes]]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    path = tmp_path_factory.mktemp("adapter") / "corpus.txt"
    path.write_text(make_corpus(), encoding="utf-8", newline="")
    return run_train_bpe(path, 701, SPECIALS)


@pytest.fixture(scope="module")
def tokenizer(trained: Trained) -> Tokenizer:
    return get_tokenizer(*trained, SPECIALS)


@pytest.fixture(scope="module")
def tiktoken_encoding(trained: Trained) -> tiktoken.Encoding:
    ranks = {token: token_id for token_id, token in trained[0].items() if token_id >= 2}
    specials = {special: token_id for token_id, special in enumerate(SPECIALS)}
    return tiktoken.Encoding(
        "ours", pat_str=PATTERNS["gpt2"], mergeable_ranks=ranks, special_tokens=specials
    )


@pytest.fixture(scope="module")
def huggingface(trained: Trained) -> tokenizers.Tokenizer:
    vocab, merges = trained
    model = tokenizers.models.BPE(
        {spell_token(token): token_id for token_id, token in vocab.items()},
        [(spell_token(left), spell_token(right)) for left, right in merges],
    )
    theirs = tokenizers.Tokenizer(model)
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.add_special_tokens(SPECIALS)
    return theirs


@given(text=texts(SPECIALS))
def test_ids_equal_tiktokens(
    tokenizer: Tokenizer, tiktoken_encoding: tiktoken.Encoding, text: str
) -> None:
    assert tokenizer.encode(text) == tiktoken_encoding.encode(text, allowed_special="all")


@given(text=texts(SPECIALS))
def test_ids_equal_those_of_tokenizers(
    tokenizer: Tokenizer, huggingface: tokenizers.Tokenizer, text: str
) -> None:
    assert tokenizer.encode(text) == huggingface.encode(text).ids


def test_the_training_text_has_tiktokens_ids(
    tokenizer: Tokenizer, tiktoken_encoding: tiktoken.Encoding
) -> None:
    text = "<|endoftext|>".join([make_corpus(5003), make_corpus(11)])
    ids = tokenizer.encode(text)
    assert ids == tiktoken_encoding.encode(text, allowed_special="all")
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize(
    "text",
    ["", "s", "\U0001f643", "Hello, how are you?", "Héllò hôw are ü? \U0001f643", "a\n\n\nb  \n"],
)
def test_text_comes_back(trained: Trained, text: str) -> None:
    tokenizer = get_tokenizer(*trained)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_single_tokens_of_unicode_text_join_to_its_bytes(tokenizer: Tokenizer) -> None:
    text = "Héllò <|endoftext|> \U0001f643"
    pieces = [tokenizer.decode_bytes([token_id]) for token_id in tokenizer.encode(text)]
    assert b"".join(pieces) == text.encode()


def test_a_special_token_is_one_id_wherever_it_stands(tokenizer: Tokenizer) -> None:
    text = "Hi<|endoftext|>there <|endoftext|>\n<|endoftext|>"
    pieces = [tokenizer.decode([token_id]) for token_id in tokenizer.encode(text)]
    assert pieces.count("<|endoftext|>") == 3


def test_the_longer_of_two_overlapping_special_tokens_is_taken(tokenizer: Tokenizer) -> None:
    pieces = [tokenizer.decode([i]) for i in tokenizer.encode("a<|endoftext|><|endoftext|>b")]
    assert pieces == ["a", "<|endoftext|><|endoftext|>", "b"]


def test_without_special_tokens_their_text_is_ordinary(trained: Trained) -> None:
    assert len(get_tokenizer(*trained).encode("<|endoftext|>")) > 1


def test_a_special_token_outside_the_vocabulary_is_appended(trained: Trained) -> None:
    tokenizer = get_tokenizer(*trained, ["<|new|>"])
    assert tokenizer.encode("<|new|>") == [len(trained[0])]


def test_lines_of_a_file_give_the_ids_of_the_file(tokenizer: Tokenizer) -> None:
    text = make_corpus(5003) + "<|endoftext|>\n\n" + make_corpus(101)
    assert list(tokenizer.encode_iterable(io.StringIO(text))) == tokenizer.encode(text)


def test_ids_of_an_endless_stream_begin_at_once(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode_iterable(itertools.repeat("the old man\n"))
    text = tokenizer.decode(itertools.islice(ids, 1009))
    assert text == ("the old man\n" * 1009)[: len(text)]


# Python takes its memory in arenas of 1 MiB, so a smaller limit would test what else is loaded.
_IN_FOUR_MEGABYTES = """
import json, resource, sys
from bpe import Tokenizer
tokens, merges = json.load(open(sys.argv[1]))
vocab = {i: bytes.fromhex(token) for i, token in enumerate(tokens)}
tokenizer = Tokenizer(vocab, [tuple(map(bytes.fromhex, merge)) for merge in merges])
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + 4_000_000
def count(path):
    with open(path, encoding="utf-8", newline="") as lines:
        return sum(1 for _ in tokenizer.encode_iterable(lines))
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
print(count(sys.argv[2]))
"""


if sys.platform == "linux":  # elsewhere an address space has no limit that holds

    def test_a_file_is_encoded_within_four_more_megabytes(
        tmp_path: Path, trained: Trained, tokenizer: Tokenizer
    ) -> None:
        vocab, merges = trained
        whole = [
            [vocab[i].hex() for i in range(len(vocab))],
            [[a.hex(), b.hex()] for a, b in merges],
        ]
        (tmp_path / "trained.json").write_text(json.dumps(whole))
        text = make_corpus() * 53
        (tmp_path / "corpus.txt").write_text(text, encoding="utf-8", newline="")
        files = [str(tmp_path / name) for name in ("trained.json", "corpus.txt")]
        command = [sys.executable, "-c", _IN_FOUR_MEGABYTES, *files]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert int(output) == len(tokenizer.encode(text))
        assert len(text.encode()) > 4_500_000
