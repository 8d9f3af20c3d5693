"""The log as a file: parts that are made from run directories, and notes that people write.

The file is a head and then a section for each run, newest first. Each of these parts is

    <!-- run PATH STARTED CHECKSUM -->       (the head's: <!-- head CHECKSUM -->)
    lines that are made from the run directory
    <!-- notes -->
    what a person writes
    <!-- end of notes -->

What stands between the last two comments is kept as it is. The checksum is that of the made lines:
where it does not fit, a person changed them, and what would be lost of that moves to the notes. The
section of a run whose directory is gone stays.
"""

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bpe.atomic_file import write_atomically
from trainer.log.section import describe_run
from trainer.past_run import PastRun

NOTES, END_OF_NOTES = "<!-- notes -->", "<!-- end of notes -->"
RESCUED = "Found outside of the notes:"
HEAD = """# Experiment log

Made by `trainer log` from the run directories, newest run first. In the source of this file, what
you write between `notes` and `end of notes` stays when the file is made again."""
_MARK = re.compile(
    r"<!-- (?:head|run (?P<path>.+) (?P<started>\S+)) (?P<checksum>[0-9a-f]{12}) -->"
)


@dataclass(frozen=True)
class Part:
    """The head, whose path is empty, or the section of a run."""

    path: str
    started: str
    made: str
    notes: str = ""
    changed: bool = False
    """Whether a person has changed what was made."""

    def markdown(self) -> str:
        name = f"run {self.path} {self.started}" if self.path else "head"
        notes = f"{self.notes}\n" if self.notes else ""
        mark = f"<!-- {name} {_checksum(self.made)} -->"
        return f"{mark}\n{self.made}\n\n{NOTES}\n{notes}{END_OF_NOTES}\n"

    def keeping(self, before: "Part") -> "Part":
        """Return this part with all that a person wrote in an earlier version of it."""
        notes = [self.notes, before.notes]
        if before.changed:
            known = {*self.made.split("\n"), NOTES, END_OF_NOTES}
            lines = [line for line in before.made.split("\n") if line not in known]
            if any(line.strip() for line in lines):
                notes.append("\n".join([RESCUED, "", *lines]).strip("\n"))
        text = "\n\n".join(note for note in notes if note)
        return Part(self.path, self.started, self.made, text)


def update_log(file: Path, runs: Sequence[PastRun]) -> int:
    """Write the log of `runs` to a file and keep what a person wrote there.

    Returns how many sections are kept although their runs are not among `runs`. Raises ValueError
    if the file holds something else than a log.
    """
    # Bytes that are no UTF-8 pass through unchanged.
    earlier = file.read_text("utf-8", errors="surrogateescape") if file.exists() else ""
    text, kept = renew_log(earlier, file, runs)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, text.encode("utf-8", errors="surrogateescape"))
    return kept


def renew_log(earlier: str, file: Path, runs: Sequence[PastRun]) -> tuple[str, int]:
    """Return the text that `update_log` writes over `earlier`, and what it returns."""
    head = Part("", "", HEAD)
    sections = []
    for part in read_log(earlier, file):
        if part.path:
            sections.append(part)
        else:
            head = head.keeping(part)
    fresh = [
        Part(_path_from(file, run.path), run.started or "unknown", describe_run(run))
        for run in runs
    ]
    written = []
    for part in fresh:
        matching = _earlier_versions(part, sections, fresh)
        sections = [section for section in sections if section not in matching]
        for before in matching:
            part = part.keeping(before)
        written.append(part)
    kept = [Part(part.path, part.started, part.made, part.notes) for part in sections]
    newest_first = sorted(
        [*written, *kept], key=lambda part: (part.started, part.path), reverse=True
    )
    return "\n".join(part.markdown() for part in [head, *newest_first]), len(kept)


def read_log(markdown: str, file: Path) -> list[Part]:
    """Take a log apart; what stands before its first part is taken for a changed head."""
    lines = markdown.split("\n")
    marks = [place for place, line in enumerate(lines) if _MARK.fullmatch(line)]
    if not marks:
        if markdown.strip():
            raise ValueError(f"{file} is no experiment log: give another file by --out")
        return []
    parts = [_read_part(lines[a:b]) for a, b in zip(marks, [*marks[1:], len(lines)], strict=True)]
    before = "\n".join(lines[: marks[0]]).strip("\n")
    return [Part("", "", before, changed=True), *parts] if before else parts


def _read_part(lines: Sequence[str]) -> Part:
    mark = _MARK.fullmatch(lines[0])
    assert mark is not None
    made, notes = list(lines[1:]), ""
    if NOTES in made and END_OF_NOTES in made[made.index(NOTES) :]:
        begin = made.index(NOTES)
        end = len(made) - 1 - made[::-1].index(END_OF_NOTES)
        notes = "\n".join(made[begin + 1 : end])
        made = [*made[:begin], *made[end + 1 :]]
    text = "\n".join(made).strip("\n")
    return Part(
        path=mark["path"] or "",
        started=mark["started"] or "",
        made=text,
        notes=notes,
        changed=_checksum(text) != mark["checksum"],
    )


def _earlier_versions(part: Part, sections: Sequence[Part], fresh: Sequence[Part]) -> list[Part]:
    """Return the sections of the same run: by path and time, or, of a run that moved, by time."""
    same = [s for s in sections if (s.path, s.started) == (part.path, part.started)]
    if same:
        return same
    paths = {other.path for other in fresh if other.started == part.started}
    moved = [s for s in sections if s.started == part.started and s.path not in paths]
    return moved if len(paths) == 1 and len(moved) == 1 else []


def _path_from(file: Path, run: Path) -> str:
    return Path(os.path.relpath(run, file.parent)).as_posix()


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", errors="replace")).hexdigest()[:12]
