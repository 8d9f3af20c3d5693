"""One `train` command from start to end: find or make the run, its data, train, show the result."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from trainer import checkpoints
from trainer.config import TrainConfig
from trainer.corpus import corpus_size
from trainer.devices import resolve_device
from trainer.display import Display
from trainer.loop import train
from trainer.prepare import prepare
from trainer.prepared import PreparedData, open_prepared
from trainer.presets import SOURCES
from trainer.provenance import now, provenance
from trainer.run_directory import (
    RunDirectory,
    check_same_settings,
    choose_directory,
    config_hash,
    copy_tokenizer,
    read_json,
    set_aside,
    write_json,
)
from trainer.summary import describe_model, show_finished, show_interrupted, show_outcome

RUNS = Path("runs")


def run_training(
    config: TrainConfig, preset: str, command: Sequence[str], display: Display
) -> RunDirectory:
    """Do what `config` says, or go on with what was begun in its run directory.

    Raises ValueError for bad input before anything is written to the run directory.
    """
    device = resolve_device(config.device)
    earlier = _find_run(config)
    checkpoint = None
    if earlier is not None and config.resume == "auto":
        # The tokenizer decides the size of the vocabulary, and is compared below.
        check_same_settings(earlier, config, but=["model.vocab_size"])
        checkpoint = _find_checkpoint(earlier, config)
        if checkpoint is not None and checkpoint.step == config.max_steps:
            record = read_json(earlier.record)
            if record.get("exit") == "finished":
                show_finished(display, config, earlier, record)
                return earlier
    _check_source(config, preset)
    display.title("Training a language model", f"preset {preset}, seed {config.seed}")
    data = _open_data(config, display)
    config = _with_vocabulary(config, data)
    data.check_context(config.model.context_length)
    data.separator(config.data)
    identity = {"config": config_hash(config), **data.identity}
    if earlier is not None and checkpoint is not None:
        check_same_settings(earlier, config)
        _check_identity(checkpoint, identity)
        removed = checkpoints.remove_unfinished(earlier.checkpoints)
        cleaned = f"; removed {removed} unfinished checkpoint(s)" if removed else ""
        display.stage("Resume", f"goes on from step {checkpoint.step:,} (verified){cleaned}")
    run = _open_run(config, preset, earlier, display)
    config = dataclasses.replace(config, run_dir=run.path)
    run.write_config(config)
    copy_tokenizer(data.directory / "tokenizer", run)
    record = {
        **provenance(command, device),
        "preset": preset,
        "data": data.describe(),
        "started": now(),
        "resumed_from_step": checkpoint.step if checkpoint else None,
        "ended": None,
        "exit": "running",
    }
    if earlier is not None and run.record.exists():
        record["earlier"] = read_json(run.record)
    write_json(run.record, record)
    describe_model(display, config, data, device)
    try:
        outcome = train(
            config, run, data, device, display, identity=identity, resume_from=checkpoint
        )
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt)
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
    if any(config.run_dir.iterdir()):
        raise ValueError(
            f"run_dir {config.run_dir} holds files but no run; give a new or an empty directory"
        )
    return None


def _check_source(config: TrainConfig, preset: str) -> None:
    """Refuse what can be known to be too little before the text is read."""
    data = config.data
    if data.tokens is not None:
        return
    if not data.corpus and not data.stories_bytes:
        raise ValueError(
            f"preset {preset!r} needs its text: get it from {SOURCES.get(preset, 'its source')} "
            f"and add --data.corpus FILE"
        )
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
    with display.progress("checking the tokens"):
        return open_prepared(directory)


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
    """Return the last checkpoint of the run after verifying it, None where there is none."""
    found = checkpoints.steps(run.checkpoints)
    if not found:
        return None
    checkpoint = checkpoints.verify(found[-1])
    if checkpoint.step > config.max_steps:
        raise ValueError(
            f"{run.path} is at step {checkpoint.step}, beyond max_steps={config.max_steps}; "
            f"give a larger --max-steps, or another --run-dir"
        )
    return checkpoint


def _check_identity(checkpoint: checkpoints.Checkpoint, identity: Mapping[str, str]) -> None:
    for key, value in identity.items():
        saved = checkpoint.identity.get(key, "missing")
        if saved != value:
            raise ValueError(
                f"{checkpoint.directory} was made with other data: the hash of its {key} is "
                f"{saved[:12]} there and {value[:12]} here. Use the same text, or another --run-dir"
            )


def _open_run(
    config: TrainConfig, preset: str, earlier: RunDirectory | None, display: Display
) -> RunDirectory:
    if config.run_dir is None:
        name = config.data.corpus[0].stem if config.data.corpus else preset
        return RunDirectory(choose_directory(RUNS, name))
    if earlier is not None and config.resume == "never":
        aside = set_aside(earlier.path)
        display.stage("Begin again", f"the earlier run is kept as {aside}")
    config.run_dir.mkdir(parents=True, exist_ok=True)
    return RunDirectory(config.run_dir)
