import os
from pathlib import Path

import pytest

from trainer.remembered import remembered


class Reader:
    """Reads a file, and counts how often."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.count = 0

    def __call__(self) -> str:
        self.count += 1
        return self.file.read_text()


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    (tmp_path / "file").write_text("seven")
    return Reader(tmp_path / "file")


def ask(reader: Reader, question: str = "text", worth: float = 0.0) -> str:
    notes = reader.file.parent / "notes" / "n.json"
    return remembered(notes, reader.file, question, reader, worth_seconds=worth)


def test_unchanged_file_is_read_once(reader: Reader) -> None:
    assert [ask(reader), ask(reader)] == ["seven", "seven"]
    assert reader.count == 1


def test_changed_file_is_read_again_even_with_the_same_size_and_time(reader: Reader) -> None:
    ask(reader)
    before = reader.file.stat()
    reader.file.write_text("eight")
    os.utime(reader.file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert ask(reader) == "eight"


def test_replaced_file_is_read_again(reader: Reader) -> None:
    ask(reader)
    other = reader.file.with_name("other")
    other.write_text("eight")
    other.replace(reader.file)
    assert ask(reader) == "eight"


def test_another_question_is_asked(reader: Reader) -> None:
    ask(reader, "text")
    ask(reader, "words")
    assert reader.count == 2


def test_quick_answer_leaves_no_file(reader: Reader) -> None:
    ask(reader, worth=60)
    assert [path.name for path in reader.file.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("damage", ["", "[]", '{"text": 3}'])
def test_damaged_notes_are_replaced(reader: Reader, damage: str) -> None:
    ask(reader)
    notes = reader.file.parent / "notes" / "n.json"
    notes.write_text(damage)
    assert ask(reader) == "seven"
    assert ask(reader) == "seven"
    assert reader.count == 2


def test_answers_to_several_questions_are_kept(reader: Reader) -> None:
    for question in ("text", "words", "text", "words"):
        ask(reader, question)
    assert reader.count == 2


def test_answer_about_a_file_that_changed_meanwhile_is_not_kept(reader: Reader) -> None:
    def read_and_change() -> str:
        found = reader()
        reader.file.write_text("eleven")
        return found

    notes = reader.file.parent / "notes" / "n.json"
    assert remembered(notes, reader.file, "text", read_and_change, worth_seconds=0.0) == "seven"
    assert not notes.exists()


def test_notes_that_cannot_be_written_are_done_without(reader: Reader) -> None:
    (reader.file.parent / "notes").write_text("in the way")
    assert [ask(reader), ask(reader)] == ["seven", "seven"]
    assert reader.count == 2
