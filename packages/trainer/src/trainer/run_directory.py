"""A run's directory: its name, its records, and what may differ when a run goes on.

config.json     the resolved configuration        checkpoints/  see `trainer.checkpoints`
run.json        where the run comes from, its end  model/        weights of the last evaluation
metrics.jsonl   one line per logged step          tokenizer/    vocabulary and merges
norms.jsonl     norms of layers, on request       profile/      a trace of steps, on request
samples.md      what the model wrote on the way   curves.png    the losses
"""

import hashlib
import json
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bpe.atomic_file import write_atomically
from trainer.config import TrainConfig
from trainer.settings import flatten, to_mapping

# Settings that do not change what the steps compute, so a run may go on with other values. The data
# is compared by the hashes of its content instead of by where it lies.
FREE = (
    *("run_dir", "device", "parallel", "compile", "resume", "on_nonfinite", "log_every"),
    *("max_steps", "objective", "track", "activation_checkpointing", "log_norms", "profile"),
)
FREE_SECTIONS = ("data", "eval", "checkpoint", "sample")
# Of the data, what decides which sequences a step sees, and how.
FIXED_OF_DATA = ("data.windows", "data.weights", "data.isolate_documents")


@dataclass(frozen=True)
class RunDirectory:
    """Paths and records of one run."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def tokenizer(self) -> Path:
        return self.path / "tokenizer"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def norms(self) -> Path:
        return self.path / "norms.jsonl"

    @property
    def profile(self) -> Path:
        return self.path / "profile"

    @property
    def samples(self) -> Path:
        return self.path / "samples.md"

    @property
    def curves(self) -> Path:
        return self.path / "curves.png"

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def record(self) -> Path:
        return self.path / "run.json"

    def holds_run(self) -> bool:
        """Say whether a run has been started here."""
        return self.config.exists()

    def write_config(self, config: TrainConfig) -> None:
        write_json(self.config, to_mapping(config))

    def read_config(self) -> dict[str, Any]:
        """Return the nested mapping that the run was started with."""
        return read_json(self.config)

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Add one line; a kill can lose or cut the last line only."""
        with self.metrics.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def append_norms(self, step: int, norms: Mapping[str, Mapping[str, float]]) -> None:
        """Add one line to norms.jsonl."""
        with self.norms.open("a") as file:
            file.write(json.dumps({"step": step, **norms}) + "\n")

    def read_metrics(self) -> Iterator[dict[str, Any]]:
        """Return the logged rows; a last line that a kill cut off is left out."""
        return _read_rows(self.metrics)

    def append_samples(self, step: int, texts: Sequence[str]) -> None:
        """Add a section to samples.md; text is indented, which Markdown shows as it is."""
        blocks = ["\n".join(f"    {line}".rstrip() for line in t.splitlines()) for t in texts]
        with self.samples.open("a") as file:
            file.write(f"## Step {step}\n\n" + "\n\n---\n\n".join(blocks) + "\n\n")

    def last_metrics(self) -> dict[str, Any]:
        """Return the last logged row, empty where there is none."""
        return next(iter(reversed(list(self.read_metrics()))), {})

    def cut_back(self, step: int) -> None:
        """Forget what was logged after `step`, so that a resumed run logs it again.

        Step 0 stands for a run that begins: it forgets everything.
        """
        for path in (self.metrics, self.norms):
            rows = [row for row in _read_rows(path) if row["step"] <= step]
            if path == self.metrics or path.exists():
                _replace_text(path, "".join(json.dumps(row) + "\n" for row in rows))
        text = self.samples.read_text() if step and self.samples.exists() else ""
        _replace_text(self.samples, cut_samples(text, step))


class FollowedRun(RunDirectory):
    """A run as those processes see it that leave the writing to the first one."""

    def append_metrics(self, row: Mapping[str, Any]) -> None: ...

    def append_samples(self, step: int, texts: Sequence[str]) -> None: ...

    def cut_back(self, step: int) -> None: ...


def choose_directory(root: Path, name: str) -> Path:
    """Create and return the first free directory `root/name-001`, `-002`, ..."""
    root.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        path = root / f"{name}-{number:03d}"
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
        else:
            return path


def set_aside(path: Path) -> Path:
    """Rename a run's directory to the first free `NAME-old-001`, ... and return that."""
    number = 1
    while (aside := path.with_name(f"{path.name}-old-{number:03d}")).exists():
        number += 1
    return path.rename(aside)


def cut_samples(markdown: str, step: int) -> str:
    """Drop the sections of samples.md that come after `step`."""
    kept: list[str] = []
    for line in markdown.splitlines(keepends=True):
        if line.startswith("## Step ") and int(line.split()[2]) > step:
            break
        kept.append(line)
    return "".join(kept)


def different_settings(
    run: RunDirectory, config: TrainConfig, *, but: Collection[str] = ()
) -> list[str]:
    """Return each setting, `but` some, that keeps the run from going on, with both values.

    A setting that an older version did not know had the value that is the default now.
    """
    now = _fixed_settings(to_mapping(config))
    default = _fixed_settings(to_mapping(TrainConfig()))
    then = default | _fixed_settings(run.read_config())
    return [
        f"{key}={then.get(key)!r} there and {now.get(key)!r} here"
        for key in sorted(now.keys() | then.keys())
        if now.get(key) != then.get(key) and key not in but
    ]


def config_hash(config: TrainConfig) -> str:
    """Return the SHA-256 of the settings that a run must keep and that are not the default.

    A setting that comes with a later version therefore leaves the hash as it was.
    """
    default = _fixed_settings(to_mapping(TrainConfig()))
    settings = _fixed_settings(to_mapping(config))
    chosen = {key: value for key, value in settings.items() if value != default[key]}
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a JSON file as a whole."""
    _replace_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; raise ValueError that names the file if it is none."""
    try:
        content: Any = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: not a JSON object")
    return content


def copy_tokenizer(source: Path, run: RunDirectory) -> None:
    """Give the run its own copy of the tokenizer, so that it can be moved as one directory."""
    shutil.copytree(source, run.tokenizer, dirs_exist_ok=True)


def _fixed_settings(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in flatten(dict(mapping))
        if key in FIXED_OF_DATA or (key not in FREE and key.partition(".")[0] not in FREE_SECTIONS)
    }


def _read_rows(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    for line in path.read_text().splitlines():
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            return


def _replace_text(path: Path, text: str) -> None:
    write_atomically(path, text.encode())
