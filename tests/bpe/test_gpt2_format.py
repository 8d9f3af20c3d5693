"""GPT-2's files and the tokenizer's directory: written, read back, and any order of ids."""

import json
from pathlib import Path

import pytest
import tokenizers
from bpe_reference import SPECIALS, texts
from hypothesis import given
from hypothesis import strategies as st

from bpe.byte_alphabet import parse_token, spell_token
from bpe.tokenizer import Tokenizer

Trained = tuple[dict[int, bytes], list[tuple[bytes, bytes]]]


@given(token=st.binary())
def test_spelled_tokens_are_printable_and_come_back(token: bytes) -> None:
    spelled = spell_token(token)
    assert parse_token(spelled) == token
    assert " " not in spelled
    assert spelled.isprintable()


def test_the_alphabet_is_that_of_the_tokenizers_library() -> None:
    letters = {spell_token(bytes([byte])) for byte in range(256)}
    assert letters == set(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    assert spell_token(" été\n".encode()) == "ĠÃ©tÃ©Ċ"


def test_the_two_files_hold_the_whole_tokenizer(tokenizer: Tokenizer, saved: Path) -> None:
    read = Tokenizer.from_files(saved / "vocab.json", saved / "merges.txt", SPECIALS)
    assert read.sha256 == tokenizer.sha256
    assert read.merges == tokenizer.merges
    assert read.vocab == tokenizer.vocab


@given(text=texts(SPECIALS))
def test_the_tokenizers_library_reads_the_two_files_alike(
    tokenizer: Tokenizer, saved: Path, text: str
) -> None:
    model = tokenizers.models.BPE.from_file(str(saved / "vocab.json"), str(saved / "merges.txt"))
    theirs = tokenizers.Tokenizer(model)
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    assert tokenizer.encode(text, allowed_special="none") == theirs.encode(text).ids


def test_ids_in_gpt2s_own_order_load(tmp_path: Path, trained: Trained) -> None:
    # GPT-2 numbers its bytes in the order of its alphabet and puts its special token last.
    vocab, merges = trained
    letters = sorted(spell_token(bytes([byte])) for byte in range(256))
    keys = [*letters, *(spell_token(a + b) for a, b in merges), "<|endoftext|>"]
    (tmp_path / "vocab.json").write_text(json.dumps({key: i for i, key in enumerate(keys)}))
    lines = [f"{spell_token(a)} {spell_token(b)}" for a, b in merges]
    (tmp_path / "merges.txt").write_text("\n".join(["#version: 0.2", *lines]) + "\n")
    tokenizer = Tokenizer.from_files(
        tmp_path / "vocab.json", tmp_path / "merges.txt", ["<|endoftext|>"]
    )
    plain = Tokenizer(vocab, merges, ["<|endoftext|>"])
    text = "the old man's été 東京<|endoftext|>"
    assert tokenizer.vocab[0] == b"!"
    assert tokenizer.special_tokens == {"<|endoftext|>": 256 + len(merges)}
    assert [tokenizer.vocab[i] for i in tokenizer.encode(text)] == [
        vocab[i] for i in plain.encode(text)
    ]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_merges_load_with_any_line_end_and_without_a_version(
    tmp_path: Path, tokenizer: Tokenizer, saved: Path, ending: str
) -> None:
    lines = (saved / "merges.txt").read_text().split("\n")[1:]
    (tmp_path / "merges.txt").write_bytes(ending.join(lines).encode())
    read = Tokenizer.from_files(saved / "vocab.json", tmp_path / "merges.txt", SPECIALS)
    assert read.sha256 == tokenizer.sha256


def test_a_merge_that_begins_like_the_version_line_is_a_merge(tmp_path: Path) -> None:
    merges = [(b"#version", b"s")]
    vocab = {byte: bytes([byte]) for byte in range(256)} | {256: b"#version", 257: b"#versions"}
    Tokenizer(vocab, merges).save(tmp_path)
    assert Tokenizer.load(tmp_path).merges == merges


def test_a_special_token_may_stand_as_its_own_text(tmp_path: Path, saved: Path) -> None:
    entries = json.loads((saved / "vocab.json").read_text())
    entries["<｜fin de ｜>"] = len(entries)
    (tmp_path / "vocab.json").write_text(json.dumps(entries))
    special = "<｜fin de ｜>"
    tokenizer = Tokenizer.from_files(
        tmp_path / "vocab.json", saved / "merges.txt", [*SPECIALS, special]
    )
    assert tokenizer.encode(special) == [len(entries) - 1]
    assert tokenizer.decode([len(entries) - 1]) == special


# The directory


@pytest.mark.parametrize("pattern", ["gpt2", "o200k", r"[a-z]+|[\s\S]"])
def test_a_saved_tokenizer_loads_whole(tmp_path: Path, trained: Trained, pattern: str) -> None:
    tokenizer = Tokenizer(*trained, [*SPECIALS, "<｜ß ｜>"], pattern=pattern, ignore_merges=True)
    tokenizer.save(tmp_path / "new" / "directory")
    read = Tokenizer.load(tmp_path / "new" / "directory")
    assert read.sha256 == tokenizer.sha256
    assert read.pattern == pattern
    assert list(read.special_tokens.items()) == list(tokenizer.special_tokens.items())


def test_a_special_token_with_the_bytes_of_an_ordinary_one_survives(tmp_path: Path) -> None:
    vocab = {0: b"a"} | {1 + byte: bytes([byte]) for byte in range(256)}
    Tokenizer(vocab, [], ["a"]).save(tmp_path)
    read = Tokenizer.load(tmp_path)
    assert read.encode("a") == [0]
    assert read.encode("a", allowed_special="none") == [98]


def test_saving_again_leaves_only_the_three_files(tmp_path: Path, tokenizer: Tokenizer) -> None:
    tokenizer.save(tmp_path)
    tokenizer.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "vocab.json",
        "merges.txt",
        "special_tokens.json",
    }


def test_files_of_two_tokenizers_are_not_taken_for_one(
    tmp_path: Path, trained: Trained, tokenizer: Tokenizer
) -> None:
    tokenizer.save(tmp_path)
    Tokenizer(*trained, SPECIALS, pattern="cl100k").save(tmp_path / "other")
    (tmp_path / "other" / "merges.txt").write_text(
        "\n".join((tmp_path / "merges.txt").read_text().split("\n")[:100])
    )
    with pytest.raises(ValueError, match="do not belong together"):
        Tokenizer.load(tmp_path / "other")
