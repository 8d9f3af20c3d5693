import dataclasses
import gzip
import io
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from bpe import Tokenizer
from trainer import stories
from trainer.config import DataConfig
from trainer.display import Display
from trainer.prepare import prepare
from trainer.prepared import open_prepared
from trainer.raw_text import held_out_bytes
from trainer.remembered import remembered
from trainer.run_directory import read_json


def settings(tmp_path: Path, *corpus: Path, **changes: object) -> DataConfig:
    config = DataConfig(
        corpus=corpus, vocab_size=263, stories_bytes=40_001, cache=tmp_path / "data"
    )
    return dataclasses.replace(config, **changes)  # type: ignore[arg-type]


def test_tokens_are_the_text(tmp_path: Path, corpus_file: Path, quiet: Display) -> None:
    data = open_prepared(prepare(settings(tmp_path, corpus_file), quiet))
    ids = np.concatenate([data.train, data.valid])
    assert data.tokenizer.decode_bytes(ids.tolist()) == corpus_file.read_bytes()


def test_validation_text_is_the_end_of_the_corpus(
    tmp_path: Path, corpus_file: Path, quiet: Display
) -> None:
    config = settings(tmp_path, corpus_file, min_val_bytes=1, val_fraction=0.2)
    data = open_prepared(prepare(config, quiet))
    valid = data.tokenizer.decode_bytes(data.valid.tolist())
    size = corpus_file.stat().st_size
    assert corpus_file.read_bytes().endswith(valid)
    assert len(valid) == data.valid_bytes == pytest.approx(0.2 * size, abs=40)


def test_validation_files_are_taken_as_they_are(
    tmp_path: Path, corpus_file: Path, quiet: Display
) -> None:
    other = tmp_path / "other.txt"
    other.write_text("a cat sat on a cat\n" * 5)
    config = settings(tmp_path, corpus_file, val_corpus=(other,))
    data = open_prepared(prepare(config, quiet))
    assert data.tokenizer.decode(data.train.tolist()) == corpus_file.read_text()
    assert data.tokenizer.decode(data.valid.tolist()) == other.read_text()


def test_several_files_are_separate_documents(tmp_path: Path, quiet: Display) -> None:
    files = [tmp_path / name for name in ("one.txt", "two.txt")]
    for file in files:
        file.write_text(f"{file.stem} " * 3000)
    data = open_prepared(prepare(settings(tmp_path, *files), quiet))
    ids = np.concatenate([data.train, data.valid])
    assert (ids == data.tokenizer.special_tokens["<|endoftext|>"]).sum() == 1


def test_tokenizer_never_sees_the_validation_text(
    tmp_path: Path, corpus_file: Path, quiet: Display
) -> None:
    text = corpus_file.read_text()
    corpus_file.write_text(text + "\n" + "zebra" * 1000)
    data = open_prepared(prepare(settings(tmp_path, corpus_file, vocab_size=280), quiet))
    assert not any(b"z" in token and len(token) > 1 for token in data.tokenizer.vocab.values())


def test_same_text_is_prepared_once(tmp_path: Path, corpus_file: Path, quiet: Display) -> None:
    config = settings(tmp_path, corpus_file)
    first = prepare(config, quiet)
    before = (first / "train.npy").stat().st_mtime_ns
    assert prepare(config, quiet) == first
    assert (first / "train.npy").stat().st_mtime_ns == before


@pytest.mark.parametrize("change", [{"vocab_size": 264}, {"val_fraction": 0.3}])
def test_other_settings_have_their_own_directory(
    tmp_path: Path, corpus_file: Path, quiet: Display, change: dict[str, object]
) -> None:
    first = prepare(settings(tmp_path, corpus_file), quiet)
    assert prepare(settings(tmp_path, corpus_file, **change), quiet) != first


def test_changed_text_has_its_own_directory(
    tmp_path: Path, corpus_file: Path, quiet: Display
) -> None:
    first = prepare(settings(tmp_path, corpus_file), quiet)
    corpus_file.write_text(corpus_file.read_text().replace("cat", "dog", 1))
    assert prepare(settings(tmp_path, corpus_file), quiet) != first


@pytest.mark.parametrize("content", [b"\xff", b"fine " * 2000 + b"\xc3"])
def test_nothing_is_left_behind_when_the_text_is_bad(
    tmp_path: Path, quiet: Display, content: bytes
) -> None:
    bad = tmp_path / "bad.txt"
    bad.write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.txt: .*UTF-8"):
        prepare(settings(tmp_path, bad), quiet)
    assert not (tmp_path / "data").exists() or not list((tmp_path / "data").iterdir())


def test_nothing_is_left_behind_when_a_later_stage_fails(
    tmp_path: Path, corpus_file: Path, quiet: Display
) -> None:
    with pytest.raises(ValueError, match="vocab_size=10000000000 is not in"):
        prepare(settings(tmp_path, corpus_file, vocab_size=10**10), quiet)
    assert not list((tmp_path / "data").iterdir())


def test_existing_directory_is_not_overwritten(
    tmp_path: Path, corpus_file: Path, quiet: Display
) -> None:
    with pytest.raises(ValueError, match="exists; give a new directory"):
        prepare(settings(tmp_path, corpus_file), quiet, out=tmp_path)


def test_vocabulary_may_end_early(tmp_path: Path, quiet: Display) -> None:
    text = tmp_path / "ab.txt"
    text.write_text("ab\n" * 4000)
    data = open_prepared(prepare(settings(tmp_path, text, vocab_size=5000), quiet))
    assert data.tokenizer.vocab_size < 300


def test_bytes_alone_are_a_vocabulary(tmp_path: Path, corpus_file: Path, quiet: Display) -> None:
    data = open_prepared(prepare(settings(tmp_path, corpus_file, vocab_size=257), quiet))
    assert data.tokenizer.vocab_size == 257
    assert len(data.train) == data.train_bytes


def test_tokens_that_are_bytes_are_not_listed(tmp_path: Path, corpus_file: Path) -> None:
    said = io.StringIO()
    display = Display(Console(file=said, width=120))
    prepare(settings(tmp_path, corpus_file, vocab_size=257), display)
    assert "257 tokens, the bytes and <|endoftext|>" in said.getvalue()
    assert "longest" not in said.getvalue()


def test_stories_come_with_their_entropy(tmp_path: Path, quiet: Display) -> None:
    directory = prepare(settings(tmp_path, vocab_size=400), quiet)
    data = open_prepared(directory)
    separator = data.tokenizer.special_tokens["<|endoftext|>"]
    texts = data.tokenizer.decode(data.valid.tolist()).split("<|endoftext|>")[:-1]
    nats = -sum(stories.log_probability(text) for text in texts)
    assert len(texts) == (data.valid == separator).sum()
    assert data.floor == pytest.approx(nats / len(data.valid), rel=1e-9)


def test_stories_to_validate_on_are_others(tmp_path: Path, quiet: Display) -> None:
    directory = prepare(settings(tmp_path), quiet)
    train = set((directory / "train.txt").read_text().split("<|endoftext|>")[:-1])
    valid = set((directory / "valid.txt").read_text().split("<|endoftext|>")[:-1])
    assert not train & valid


def test_own_text_has_no_known_entropy(tmp_path: Path, corpus_file: Path, quiet: Display) -> None:
    assert open_prepared(prepare(settings(tmp_path, corpus_file), quiet)).floor is None


@pytest.mark.parametrize(
    ("size", "kept"), [(1000, 400), (100_000, 10_000), (10**9, 50_000), (500, 250)]
)
def test_a_share_is_held_out_within_limits(tmp_path: Path, size: int, kept: int) -> None:
    config = settings(tmp_path, min_val_bytes=400, max_val_bytes=50_000)
    assert held_out_bytes(config, size) == kept


@pytest.fixture
def prepared(tmp_path: Path, corpus_file: Path, quiet: Display) -> Path:
    return prepare(settings(tmp_path, corpus_file), quiet)


@pytest.mark.parametrize("name", ["train.npy", "valid.npy", "tokenizer"])
def test_missing_part_is_named(prepared: Path, name: str) -> None:
    (prepared / name).rename(prepared / "elsewhere")
    with pytest.raises(ValueError, match=f"holds no {name}"):
        open_prepared(prepared)


def test_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such directory"):
        open_prepared(tmp_path / "nowhere")


def test_truncated_tokens_are_refused(prepared: Path) -> None:
    content = (prepared / "train.npy").read_bytes()
    (prepared / "train.npy").write_bytes(content[:-3])
    with pytest.raises(ValueError, match=r"train\.npy: .*truncated"):
        open_prepared(prepared)


def test_tokens_of_another_tokenizer_are_refused(prepared: Path) -> None:
    tokenizer = Tokenizer.load(prepared / "tokenizer")
    changed = Tokenizer(tokenizer.vocab, tokenizer.merges, ["<|endoftext|>", "<|more|>"])
    changed.save(prepared / "tokenizer")
    with pytest.raises(ValueError, match="encoded by tokenizer"):
        open_prepared(prepared)


def test_text_shorter_than_a_window_is_refused_with_both_numbers(prepared: Path) -> None:
    data = open_prepared(prepared)
    with pytest.raises(ValueError, match=rf"{len(data.train)} tokens .* = 100001"):
        data.check_context(100_000)


def test_description_is_plain_data(prepared: Path) -> None:
    described = open_prepared(prepared).describe()
    assert json.loads(json.dumps(described)) == described


def source_texts(directory: Path) -> list[str]:
    """Decode the tokens of each source that data.json names."""
    tokens = open_prepared(directory).train
    tokenizer = Tokenizer.load(directory / "tokenizer")
    sizes = [source["tokens"] for source in read_json(directory / "data.json")["sources"]]
    pieces = np.split(tokens, np.cumsum(sizes)[:-1])
    return [tokenizer.decode(piece.tolist()) for piece in pieces]


@pytest.fixture
def three_files(tmp_path: Path) -> list[Path]:
    files = [tmp_path / name for name in ("a.txt", "b.txt", "c.txt")]
    for file in files:
        file.write_text(f"{file.stem} document of {file.stem}\n<|endoftext|>" * 400 + file.stem)
    return files


def test_sources_are_the_tokens_of_each_file(
    tmp_path: Path, three_files: list[Path], quiet: Display
) -> None:
    texts = source_texts(prepare(settings(tmp_path, *three_files), quiet))
    assert texts[0] == three_files[0].read_text() + "<|endoftext|>"
    assert texts[1] == three_files[1].read_text() + "<|endoftext|>"
    assert three_files[2].read_text().startswith(texts[2])


def test_with_weights_the_end_of_each_file_is_kept_for_validation(
    tmp_path: Path, three_files: list[Path], quiet: Display
) -> None:
    config = settings(tmp_path, *three_files, weights=(3.0, 1.0, 2.0))
    directory = prepare(config, quiet)
    data = open_prepared(directory)
    valid = data.tokenizer.decode(data.valid.tolist())
    heads = source_texts(directory)
    for file, head in zip(three_files, heads, strict=True):
        text = file.read_text()
        assert text.startswith(head.removesuffix("<|endoftext|>").rstrip())
        kept = text[len(head) :]
        assert len(kept) == pytest.approx(0.1 * len(text), rel=0.3)
        assert kept in valid


def test_other_weights_need_no_other_tokens(
    tmp_path: Path, three_files: list[Path], quiet: Display
) -> None:
    first = prepare(settings(tmp_path, *three_files, weights=(3.0, 1.0, 2.0)), quiet)
    assert prepare(settings(tmp_path, *three_files, weights=(1.0, 1.0, 0.0)), quiet) == first


def test_packed_files_give_the_tokens_of_their_text(
    tmp_path: Path, corpus_file: Path, quiet: Display
) -> None:
    packed = tmp_path / "packed.txt.gz"
    packed.write_bytes(gzip.compress(corpus_file.read_bytes()))
    plain = prepare(settings(tmp_path, corpus_file), quiet)
    unpacked = prepare(settings(tmp_path, packed), quiet)
    for name in ("train.npy", "valid.npy", "tokenizer/vocab.json"):
        assert (plain / name).read_bytes() == (unpacked / name).read_bytes()


def test_tokens_that_took_long_to_verify_are_not_read_again_until_they_change(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.prepared.remembered", partial(remembered, worth_seconds=0.0))
    reads: list[int] = []

    def progress(done: int, _: int) -> None:
        reads.append(done)

    open_prepared(prepared, progress)
    assert len(reads) == 2
    open_prepared(prepared, progress)
    assert len(reads) == 2
    content = bytearray((prepared / "train.npy").read_bytes())
    content[-1] ^= 1
    (prepared / "train.npy").write_bytes(content)
    with pytest.raises(ValueError, match=r"train\.npy: (SHA-256|token id)"):
        open_prepared(prepared, progress)
