"""Valid files of every kind that the packages read, and the functions that read them."""

import io
import json
import random
import shutil
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kills import module_and_optimizer
from small_run import END, byte_tokenizer, small_config
from warm_process import fork, wait

from bpe import Tokenizer
from bpe.pretoken_counts import PretokenCounts
from bpe.token_file import read_token_file, write_token_file
from nn import TransformerLM
from sampling.run_directory import load_run
from trainer import checkpoints, load_checkpoint, save_checkpoint
from trainer.checkpoints import Counters
from trainer.flags import config_from_mapping
from trainer.prepared import DESCRIPTION, open_prepared
from trainer.run_directory import RunDirectory, read_json


@dataclass(frozen=True)
class Entry:
    """A way into the packages: a file among others, and what reads it."""

    name: str
    file: Path
    read: Callable[[], object]
    spoil: Callable[[bytes], None]
    """Put other bytes where the file's content is, with what makes them reach the reader."""


def make_entries(root: Path) -> list[Entry]:
    """Write a run, tokens and single files below `root`; return every way to read them."""
    model, optimizer = module_and_optimizer(rows=3)
    run = RunDirectory(root / "run")
    run.checkpoints.mkdir(parents=True)
    counters = Counters(3, 5, 0.5)
    place = checkpoints.save(run.checkpoints, model, [optimizer], counters=counters, identity={})
    TransformerLM(small_config().model).save(run.model)
    byte_tokenizer().save(run.tokenizer)
    run.write_config(small_config())
    prepared = root / "prepared"
    byte_tokenizer().save(prepared / "tokenizer")
    for name in ("train.npy", "valid.npy"):
        tokens = byte_tokenizer().encode_array("hello world " * 11)
        write_token_file(
            prepared / name,
            [tokens],
            tokenizer_sha256=byte_tokenizer().sha256,
            vocab_size=257,
            source="hello",
        )
    sources = [{"file": "a.txt", "tokens": 3}, {"file": "b.txt", "tokens": 5}]
    (prepared / DESCRIPTION).write_text(json.dumps({"train_bytes": 7, "sources": sources}))
    counted = root / "counts.npz"
    PretokenCounts(
        counts={"hello": 3, " world": 2},
        num_bytes=27,
        num_replacements={},
        special_tokens=(END,),
        pattern="gpt2",
        errors="strict",
    ).save(counted)
    single = root / "single.pt"
    save_checkpoint(model, optimizer, 3, single)
    files = run.tokenizer / "vocab.json", run.tokenizer / "merges.txt"

    def restore() -> object:
        return checkpoints.restore(checkpoints.verify(place), model, [optimizer])

    def with_manifest(path: Path) -> Callable[[bytes], None]:
        def spoil(content: bytes) -> None:
            path.write_bytes(content)
            manifest = json.loads((place / checkpoints.MANIFEST).read_text())
            manifest["files"][path.name] = checkpoints._describe(path)
            (place / checkpoints.MANIFEST).write_text(json.dumps(manifest))

        return spoil

    def plain(name: str, path: Path, read: Callable[[], object]) -> Entry:
        return Entry(name, path, read, lambda content: void(path.write_bytes(content)))

    def stored(name: str) -> Entry:
        path = place / name
        return Entry(f"checkpoint {name}", path, restore, with_manifest(path))

    return [
        stored(checkpoints.MODEL),
        stored(checkpoints.OPTIMIZER),
        plain("checkpoint manifest", place / checkpoints.MANIFEST, restore),
        plain("load_checkpoint", single, lambda: load_checkpoint(single, model, optimizer)),
        plain(
            "load_checkpoint, open file",
            single,
            lambda: load_checkpoint(io.BytesIO(single.read_bytes()), model, optimizer),
        ),
        plain(
            "TransformerLM.load",
            run.model / "model.safetensors",
            lambda: TransformerLM.load(run.model),
        ),
        plain(
            "TransformerLM.load, config",
            run.model / "config.json",
            lambda: TransformerLM.load(run.model),
        ),
        plain("load_run", run.model / "model.safetensors", lambda: load_run(run.path)),
        plain(
            "Tokenizer.load, vocabulary",
            run.tokenizer / "vocab.json",
            lambda: Tokenizer.load(run.tokenizer),
        ),
        plain(
            "Tokenizer.load, special tokens",
            run.tokenizer / "special_tokens.json",
            lambda: Tokenizer.load(run.tokenizer),
        ),
        plain("Tokenizer.from_files", files[0], lambda: Tokenizer.from_files(*files, [END])),
        plain(
            "token file", prepared / "train.npy", lambda: read_token_file(prepared / "train.npy")
        ),
        plain("counts of pretokens", counted, lambda: PretokenCounts.load(counted)),
        plain("prepared data", prepared / "valid.npy", lambda: open_prepared(prepared)),
        plain("sidecar", prepared / "train.npy.json", lambda: open_prepared(prepared)),
        plain("description of data", prepared / DESCRIPTION, lambda: open_prepared(prepared)),
        plain(
            "run's configuration",
            run.config,
            lambda: config_from_mapping(read_json(run.config), run.config),
        ),
    ]


def void(_: object) -> None:
    """Forget a value."""


def mutate_and_read(root: str, mutations: int, part: int, parts: int) -> list[str]:
    """Read mutated files in a child; return what was neither read nor refused with ValueError.

    A reader that crashes takes the child along; one that hangs is ended after five seconds of work.
    """
    place, template = Path(root) / "files", Path(root) / "template"
    place.mkdir()
    entries = make_entries(place)
    shutil.copytree(place, template)
    wrong, current = Path(root) / "wrong", Path(root) / "current"
    wrong.touch()

    def work() -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        for number in range(part, mutations, parts):
            entry = entries[number // parts % len(entries)]
            original = (template / entry.file.relative_to(place)).read_bytes()
            current.write_text(f"{number} {entry.name}")
            # Of its own time: beside tests that flush to the same disk a read may wait.
            signal.setitimer(signal.ITIMER_PROF, 5)
            signal.alarm(60)
            try:
                entry.spoil(_mutated(original, random.Random(number)))
                entry.read()
            except ValueError:
                pass
            except Exception:
                found = " ".join(traceback.format_exc().split())[-400:]
                with wrong.open("a") as file:
                    file.write(f"{current.read_text()}: {found}\n")
            signal.alarm(0)
            signal.setitimer(signal.ITIMER_PROF, 0)
            entry.spoil(original)

    if status := wait(fork(work), 600):
        return [f"status {status} at {current.read_text()}"]
    return wrong.read_text().splitlines()


def _mutated(content: bytes, draw: random.Random) -> bytes:
    """Return the bytes with a few flipped, cut out, repeated, or replaced by awkward ones."""
    changed = bytearray(content)
    for _ in range(draw.choice([1, 1, 2, 5])):
        place = draw.randrange(len(changed) + 1)
        length = draw.choice([1, 2, 4, 8, 64])
        kind = draw.randrange(6)
        if kind == 0 and place < len(changed):
            changed[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del changed[place : place + length]
        elif kind == 2:
            changed[place:place] = changed[place : place + length]
        elif kind == 3:
            changed[place : place + length] = draw.randbytes(length)
        elif kind == 4:
            awkward = [b"\xff" * 8, bytes(8), b"[" * 5000, b"9" * 30, b"1e999", b'"', b"}", b"\n"]
            changed[place : place + length] = draw.choice(awkward)
        else:
            del changed[place:]
    return bytes(changed)
