"""Counts of parts add up to the counts of all, and a damaged file of them is refused."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bpe_reference import SPECIALS

from bpe import PretokenCounts, count_pretokens, train_bpe, train_bpe_from_counts
from bpe.byte_stream import DamagedFileError
from bpe.engines import Engine
from bpe.merging import TieBreak


@pytest.fixture(scope="module")
def files(corpus: str, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return three files; words are cut between them, as between any two."""
    directory = tmp_path_factory.mktemp("parts")
    paths = [directory / f"part{number}.txt" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(corpus[number * 30_011 : (number + 1) * 30_011].encode())
    return paths


@pytest.fixture(scope="module")
def parts(files: list[Path]) -> list[Path]:
    for path in files:
        count_pretokens(path, SPECIALS).save(path.with_suffix(".npz"))
    return [path.with_suffix(".npz") for path in files]


@pytest.mark.parametrize("engine", ["reference", "kernels"])
@pytest.mark.parametrize("tie_break", ["bytes", "huggingface"])
def test_parts_train_as_one_run_over_all_files(
    files: list[Path], parts: list[Path], engine: Engine, tie_break: TieBreak
) -> None:
    expected = train_bpe(files, 503, SPECIALS, tie_break=tie_break, engine="reference")
    found = train_bpe_from_counts(parts, 503, tie_break=tie_break, engine=engine)
    assert found == expected


def test_counts_that_were_never_saved_train_too(files: list[Path], parts: list[Path]) -> None:
    counted = count_pretokens(files[0], SPECIALS)
    assert train_bpe_from_counts([counted, *parts[1:]], 331) == train_bpe(files, 331, SPECIALS)


def test_order_of_parts_makes_no_difference(parts: list[Path]) -> None:
    assert train_bpe_from_counts(parts, 331) == train_bpe_from_counts(parts[::-1], 331)


@pytest.mark.parametrize("pattern", ["gpt2", "o200k", r"\w+|\W"])
def test_counts_come_back_as_they_were(files: list[Path], tmp_path: Path, pattern: str) -> None:
    counted = count_pretokens(files, SPECIALS, pattern=pattern)
    counted.save(tmp_path / "all.npz")
    assert PretokenCounts.load(tmp_path / "all.npz") == counted


def test_engines_and_workers_write_the_same_file(files: list[Path], tmp_path: Path) -> None:
    written = set()
    engines: list[Engine] = ["reference", "kernels"]
    for engine in engines:
        for workers in (1, 2):
            counted = count_pretokens(
                files, SPECIALS, engine=engine, workers=workers, chunk_bytes=10_007
            )
            counted.save(tmp_path / "all.npz")
            written.add((tmp_path / "all.npz").read_bytes())
    assert len(written) == 1


def test_numpy_reads_the_file_without_pickle(parts: list[Path]) -> None:
    with np.load(parts[0], allow_pickle=False) as arrays:
        assert arrays["counts"].dtype == np.int64
        assert arrays["lengths"].sum() == len(arrays["pretokens"])


@pytest.mark.parametrize("engine", ["reference", "kernels"])
def test_counts_beyond_32_bits_add_up(tmp_path: Path, engine: Engine) -> None:
    text = tmp_path / "a.txt"
    text.write_text("ab ac ac")
    counted = count_pretokens(text)
    large = replace(counted, counts={"ab": 3 << 40, " ac": 5 << 40})
    large.save(tmp_path / "large.npz")
    # In units of 2**40: " a" 11, "ac" 10, "ab" 6.
    more = replace(counted, counts={" ad": 1 << 40})
    _, merges = train_bpe_from_counts([tmp_path / "large.npz"] * 2 + [more], 259, engine=engine)
    assert merges == [(b" ", b"a"), (b" a", b"c"), (b"a", b"b")]


def test_replacements_are_told_for_each_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a\xffb")
    counted = count_pretokens(tmp_path / "a.txt", errors="replace")
    counted.save(tmp_path / "a.npz")
    loaded = PretokenCounts.load(tmp_path / "a.npz")
    assert loaded.num_replacements == {str(tmp_path / "a.txt"): 1}
    assert loaded.errors == "replace"


def test_progress_of_counting_ends_at_the_size(files: list[Path]) -> None:
    seen: list[tuple[int, int]] = []
    engines: list[Engine] = ["reference", "kernels"]
    for engine in engines:
        count_pretokens(
            files, engine=engine, chunk_bytes=1009, progress=lambda *step: seen.append(step)
        )
        size = sum(path.stat().st_size for path in files)
        assert seen[-1] == (size, size)
        seen.clear()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pattern": "cl100k"}, "part0.npz and {} do not belong together: pattern is 'gpt2' and"),
        ({"special_tokens": ["<e>"]}, "part0.npz and {} .* special_tokens is .*'<|pad|>'.* and .*"),
        ({"special_tokens": SPECIALS[::-1]}, "special_tokens is"),
    ],
)
def test_parts_of_another_kind_are_refused(
    parts: list[Path], files: list[Path], tmp_path: Path, options: dict[str, str], message: str
) -> None:
    arguments = {"special_tokens": SPECIALS, **options}
    count_pretokens(files[1], **arguments).save(tmp_path / "other.npz")  # type: ignore[arg-type]
    pattern = message.format(r"\S*other.npz").replace("|", r"\|")
    with pytest.raises(ValueError, match=pattern) as error:
        train_bpe_from_counts([parts[0], tmp_path / "other.npz"], 331)
    assert "\n" not in str(error.value)


def test_no_counts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there are no counts"):
        train_bpe_from_counts([], 331)
    (tmp_path / "empty.txt").touch()
    with pytest.raises(ValueError, match=r"the counts are of no text \(0 bytes\)"):
        train_bpe_from_counts(count_pretokens(tmp_path / "empty.txt"), 331)


def test_every_truncation_is_refused(parts: list[Path], tmp_path: Path) -> None:
    whole = parts[0].read_bytes()
    for length in range(0, len(whole), 101):
        (tmp_path / "torn.npz").write_bytes(whole[:length])
        with pytest.raises(DamagedFileError, match=r"torn\.npz: "):
            PretokenCounts.load(tmp_path / "torn.npz")


@pytest.mark.parametrize("count", [401, pytest.param(20_011, marks=pytest.mark.long)])
def test_every_mutation_loads_alike_or_is_refused(
    parts: list[Path], tmp_path: Path, count: int
) -> None:
    whole = parts[0].read_bytes()
    expected = PretokenCounts.load(parts[0])
    source = random.Random(7)
    # Most of the bytes are pretokens and counts; what is around them deserves as many changes.
    heads = [at for at in range(len(whole)) if whole[at : at + 2] == b"PK"]
    for _ in range(count):
        data = bytearray(whole)
        for _ in range(source.randrange(1, 4)):
            at = source.choice([source.randrange(len(data)), source.choice(heads)])
            at = min(len(data) - 1, at + source.randrange(140))
            data[at : at + source.randrange(3)] = source.randbytes(source.randrange(3))
        (tmp_path / "changed.npz").write_bytes(data)
        message = ""
        try:
            assert PretokenCounts.load(tmp_path / "changed.npz") == expected
        except DamagedFileError as error:
            message = str(error)
        except ValueError as error:
            assert data[:2] != b"PK"  # a file of another kind
            message = str(error)
        assert "\n" not in message


def test_counts_that_are_not_those_of_the_pretokens_are_refused(
    parts: list[Path], tmp_path: Path
) -> None:
    with np.load(parts[0]) as arrays:
        changed = {**arrays, "counts": arrays["counts"][::-1]}
    np.savez(tmp_path / "changed.npz", **changed)
    with pytest.raises(DamagedFileError, match="its SHA-256 is another"):
        PretokenCounts.load(tmp_path / "changed.npz")


def test_an_object_array_is_not_unpickled(parts: list[Path], tmp_path: Path) -> None:
    with np.load(parts[0]) as arrays:
        changed = {**arrays, "counts": np.array([print, "executed"], object)}
    np.savez(tmp_path / "objects.npz", **changed)
    with pytest.raises(DamagedFileError, match="is no array of <i8"):
        PretokenCounts.load(tmp_path / "objects.npz")


def test_a_compressed_archive_is_refused_before_it_is_unpacked(
    parts: list[Path], tmp_path: Path
) -> None:
    with np.load(parts[0]) as arrays:
        np.savez_compressed(tmp_path / "bomb.npz", **{**arrays, "counts": np.zeros(1 << 24)})
    with pytest.raises(DamagedFileError, match="is compressed"):
        PretokenCounts.load(tmp_path / "bomb.npz")
