"""One `train` command from start to end: find or make the run, its data, train, show the result."""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from trainer import checkpoints, memory, retention, run_lock
from trainer.config import TrainConfig
from trainer.corpus import corpus_size
from trainer.devices import check_precision
from trainer.display import Display
from trainer.loop import train
from trainer.prepare import prepare
from trainer.prepared import PreparedData, open_prepared
from trainer.presets import PRESETS, SOURCES
from trainer.provenance import now, provenance
from trainer.run_directory import (
    RunDirectory,
    choose_directory,
    config_hash,
    copy_tokenizer,
    different_settings,
    read_json,
    set_aside,
    write_json,
)
from trainer.signals import StopRequested, StopSignals
from trainer.summary import describe_model, show_finished, show_interrupted, show_outcome
from trainer.team import Team
from trainer.trackers import check_trackers

RUNS = Path("runs")


def run_training(
    config: TrainConfig,
    preset: str,
    command: Sequence[str],
    display: Display,
    team: Team | None = None,
) -> RunDirectory:
    """Do what `config` says, or go on with what was begun in its run directory.

    Of a `team`, the first process does so, and the others `follow`. Raises ValueError for bad input
    before anything is written to the run directory, and StopRequested after a signal.
    """
    team = team or Team()
    agree = team.agree_on_signal if team.size > 1 else None
    with StopSignals(agree) as stop, contextlib.ExitStack() as lock:
        return _run(config, preset, command, display, stop, lock, team)


def _run(
    config: TrainConfig,
    preset: str,
    command: Sequence[str],
    display: Display,
    stop: StopSignals,
    lock: contextlib.ExitStack,
    team: Team,
) -> RunDirectory:
    device = team.device(config.device)
    team.check(config)
    check_precision(config.precision, device)
    check_trackers(config.track)
    earlier = _find_run(config)
    if config.run_dir is not None:
        lock.enter_context(run_lock.hold(config.run_dir))
    elif not os.access(_existing(RUNS), os.W_OK):
        raise ValueError(f"{RUNS.absolute()} cannot be written: give a --run-dir that can be")
    checkpoint, removed = None, 0
    if earlier is not None and config.resume != "never":
        # The tokenizer decides the size of the vocabulary, and is compared below.
        _compare(earlier, config, different_settings(earlier, config, but=["model.vocab_size"]))
        removed = retention.tidy(earlier.checkpoints)
        checkpoint = _find_checkpoint(earlier, config)
        if checkpoint is not None and checkpoint.step == config.max_steps:
            record = read_json(earlier.record)
            if record.get("exit") == "finished":
                show_finished(display, config, earlier, record)
                team.nothing_to_do()
                return earlier
    _check_source(config, preset)
    display.title("Training a language model", f"preset {preset}, seed {config.seed}")
    data = _open_data(config, display)
    config = _with_vocabulary(config, data)
    data.check_context(config.model.context_length)
    data.check_documents(config.data)
    data.mixture(config.data, config.model.context_length)
    identity = {"config": config_hash(config), **data.identity}
    if earlier is not None and checkpoint is not None:
        different = different_settings(earlier, config) or _different_data(checkpoint, identity)
        _compare(earlier, config, different)
        cleaned = f"; removed {removed} unfinished checkpoint{'s' * (removed > 1)}"
        cleaned = cleaned if removed else ""
        display.stage("Resume", f"resumed from step {checkpoint.step} (verified){cleaned}")
    run = _open_run(config, preset, earlier, display, lock)
    config = dataclasses.replace(config, run_dir=run.path)
    run.write_config(config)
    copy_tokenizer(data.directory / "tokenizer", run)
    record = {
        **provenance(command, device),
        "preset": preset,
        "processes": team.size,
        "precision": config.precision,
        "data": data.describe(),
        "started": now(),
        "resumed_from_step": checkpoint.step if checkpoint else None,
        "ended": None,
        "exit": "running",
    }
    if earlier is not None and run.record.exists():
        record["earlier"] = read_json(run.record)
    write_json(run.record, record)
    try:
        done = checkpoint.step if checkpoint else 0
        describe_model(display, config, data, device, team.size, done=done)
        resume_from = checkpoint.directory if checkpoint else None
        team.begin(config, data.directory, identity, resume_from)
        with memory.explained(config, team.size):
            outcome = train(
                *(config, run, data, device, display),
                identity=identity,
                resume_from=checkpoint,
                stop=stop,
                team=team,
            )
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt | StopRequested)
        reason = "interrupted" if interrupted else f"failed: {error!r}"
        write_json(run.record, {**record, "ended": now(), "exit": reason})
        if interrupted:
            show_interrupted(display, run)
        raise
    result = show_outcome(display, config, run, data, outcome)
    write_json(run.record, {**record, "ended": now(), "exit": "finished", "result": result})
    return run


def _find_run(config: TrainConfig) -> RunDirectory | None:
    """Return the run that the directory holds already, None where there is none."""
    if config.run_dir is None or not config.run_dir.exists():
        return None
    if not config.run_dir.is_dir():
        raise ValueError(f"run_dir {config.run_dir} is a file; give a directory")
    run = RunDirectory(config.run_dir)
    if run.holds_run():
        return run
    if any(path.name != run_lock.NAME for path in config.run_dir.iterdir()):
        raise ValueError(
            f"run_dir {config.run_dir} holds files but no run; give a new or an empty directory"
        )
    return None


def _check_source(config: TrainConfig, preset: str) -> None:
    """Refuse what can be known to be too little before the text is read."""
    data = config.data
    if data.tokens is not None:
        missing = preset in SOURCES and not data.tokens.exists()
        if missing and data.tokens == PRESETS[preset].data.tokens:
            raise ValueError(
                f"preset {preset!r} needs its text: `uv run --package trainer trainer prepare "
                f"{data.tokens.name}` fetches it from {SOURCES[preset]} and makes {data.tokens}; "
                f"or add --data.corpus FILE"
            )
        return
    size = corpus_size([*data.corpus, *data.val_corpus]) or data.stories_bytes
    needed = config.model.context_length + 1
    if size < 2 * needed:
        names = ", ".join(map(str, data.corpus)) or "the stories"
        raise ValueError(
            f"{names}: {size} bytes are too few to train and to validate on, each at least one "
            f"window of model.context_length + 1 = {needed} tokens: give more text or lower "
            f"--model.context-length"
        )


def _open_data(config: TrainConfig, display: Display) -> PreparedData:
    directory = config.data.tokens or prepare(config.data, display)
    with display.progress("checking the tokens") as meter:
        return open_prepared(directory, meter.update_share)


def _with_vocabulary(config: TrainConfig, data: PreparedData) -> TrainConfig:
    """Give the model as many ids as the tokenizer has, unless more were asked for."""
    found, wanted = data.tokenizer.vocab_size, config.model.vocab_size
    padded = wanted > config.data.vocab_size
    if padded and wanted < found:
        raise ValueError(
            f"model.vocab_size={wanted} is smaller than the {found} ids of {data.directory}"
        )
    model = dataclasses.replace(config.model, vocab_size=wanted if padded else found)
    return dataclasses.replace(config, model=model)


def _find_checkpoint(run: RunDirectory, config: TrainConfig) -> checkpoints.Checkpoint | None:
    """Return the last checkpoint of the run that is whole, None where there is none."""
    checkpoint, damaged = retention.find_last_good(run.checkpoints)
    for line in damaged:
        print(f"train: {line}", file=sys.stderr)
    if checkpoint is not None and checkpoint.step > config.max_steps:
        raise ValueError(
            f"{run.path} is at step {checkpoint.step}, beyond max_steps={config.max_steps}; "
            f"give a larger --max-steps, or another --run-dir"
        )
    return checkpoint


def _different_data(checkpoint: checkpoints.Checkpoint, identity: Mapping[str, str]) -> list[str]:
    """Return what of config, tokenizer and data has another hash than the checkpoint's."""
    return [
        f"the hash of {key} is {checkpoint.identity.get(key, 'missing')[:12]} there and "
        f"{value[:12]} here"
        for key, value in identity.items()
        if checkpoint.identity.get(key) != value
    ]


def _compare(run: RunDirectory, config: TrainConfig, different: Sequence[str]) -> None:
    """Refuse to go on with a run under other settings or with other data, unless told to."""
    if not different:
        return
    told = f"{run.path} was begun with other settings or data: {'; '.join(different)}"
    if config.resume != "anyway":
        raise ValueError(
            f"{told}. Use the same ones, or another --run-dir; --resume anyway goes on all the same"
        )
    print(f"train: {told}; going on all the same", file=sys.stderr)


def _open_run(
    config: TrainConfig,
    preset: str,
    earlier: RunDirectory | None,
    display: Display,
    lock: contextlib.ExitStack,
) -> RunDirectory:
    """Return the directory of the run, locked."""
    if config.run_dir is None:
        name = config.data.corpus[0].stem if config.data.corpus else preset
        path = choose_directory(RUNS, name)
        lock.enter_context(run_lock.hold(path))
        return RunDirectory(path)
    if earlier is not None and config.resume == "never":
        lock.close()
        aside = set_aside(earlier.path)
        display.stage("Begin again", f"the earlier run is kept as {aside}")
        lock.enter_context(run_lock.hold(config.run_dir))
    return RunDirectory(config.run_dir)


def _existing(path: Path) -> Path:
    """Return the path itself or the nearest directory above it that exists."""
    path = path.absolute()
    return path if path.exists() else _existing(path.parent)
