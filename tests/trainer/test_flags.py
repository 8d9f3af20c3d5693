import dataclasses
from itertools import pairwise
from pathlib import Path

import pytest

from trainer.cli import value_of
from trainer.config import DataConfig, TrainConfig
from trainer.flags import (
    config_from_mapping,
    parse_train_config,
    split_arguments,
)
from trainer.presets import PRESETS
from trainer.settings import to_mapping
from trainer.words import nearest


def toml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(text)
    return path


def test_flag_overrides_file_and_file_overrides_preset(tmp_path: Path) -> None:
    file = toml(tmp_path, "seed = 3\nmax_steps = 5\n[model]\nd_model = 64\n")
    base = TrainConfig(seed=1, max_steps=2, batch_size=7)
    config = parse_train_config(["--max-steps", "11"], base, file=file)
    assert (config.batch_size, config.seed, config.max_steps) == (7, 3, 11)
    assert config.model.d_model == 64


@pytest.mark.parametrize(
    "flags",
    [
        "--run-dir x --max-steps 3 --batch-size 5 --seed 7 --device cpu --precision bf16",
        "--compile off --resume never --log-every 2 --eval.every 3 --checkpoint.every 5",
        "--checkpoint.keep 7 --model.d-model 64 --model.num-heads 2 --optimizer.lr 1e-3",
        "--schedule.warmup-steps 3 --data.vocab-size 257 --data.corpus a.txt b.txt",
        "--data.tokens some/dir --gradient-accumulation 2 --sample.prompt Once",
        "--precision fp16 --activation-checkpointing --skip-spikes 6 --log-norms --profile 5",
        "--batch-tokens 2048 --micro-batch-size 2 --schedule.name linear",
    ],
)
def test_flags_that_scripts_rely_on_are_there(flags: str) -> None:
    parse_train_config(flags.split(), PRESETS["tiny"])


def test_file_may_hold_lists_and_switches(tmp_path: Path) -> None:
    file = toml(
        tmp_path,
        '[data]\ncorpus = ["a.txt", "b.txt"]\n[model]\ntied-embeddings = true\nqk_norm = false\n',
    )
    config = parse_train_config([], TrainConfig(), file=file)
    assert config.data.corpus == (Path("a.txt"), Path("b.txt"))
    assert config.model.tied_embeddings
    assert not config.model.qk_norm


def test_list_whose_first_value_is_empty_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^--data\.corpus needs at least one file$"):
        parse_train_config(["--data.corpus", "", "--seed", "3"], TrainConfig())


def test_file_may_empty_a_list(tmp_path: Path) -> None:
    base = TrainConfig(track=("wandb",))
    assert parse_train_config([], base, file=toml(tmp_path, "track = []")).track == ()


def test_settings_of_file_and_flags_are_checked_together(tmp_path: Path) -> None:
    # 96 alone cannot be divided by the preset's 16 heads... of 5: only both together fit.
    file = toml(tmp_path, "[model]\nd_model = 66\n")
    config = parse_train_config(["--model.num-heads", "11"], TrainConfig(), file=file)
    assert config.model.d_head == 6


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--max-stps 3", "unknown flag '--max-stps': did you mean '--max-steps'?"),
        ("--lr 3", "unknown flag '--lr': did you mean '--optimizer.lr'?"),
        ("--model.dmodel 3", "unknown flag '--model.dmodel': did you mean '--model.d-model'?"),
        ("--zzzzzz", "unknown flag '--zzzzzz': see --help"),
        ("stray", "unexpected argument 'stray'"),
        ("--max-steps many", "--max-steps: 'many' is not a whole number"),
        ("--optimizer.lr 1e-3e", "--optimizer.lr: '1e-3e' is not a number"),
        ("--data.weights x", "--data.weights: 'x' is not a number"),
        ("--data.weights 1 x", "--data.weights: 'x' is not a number"),
        ("--data.weights=", "--data.weights needs at least one value"),
        ("--data.weights --seed 3", "--data.weights needs at least one value"),
        ("--data.corpus", "--data.corpus needs at least one file"),
        ("--data.val_corpus --seed 3", "--data.val_corpus needs at least one file"),
        ("--track", "--track needs at least one value"),
        ("--model.value-embeddings 1 1.5", "--model.value-embeddings: '1.5' is not a whole number"),
        ("--optimizer.betas 0.9 x", "--optimizer.betas: 'x' is not a number"),
        ("--optimizer.betas 0.9", "--optimizer.betas needs 2 values"),
        ("--batch-tokens 1.5", "--batch-tokens: '1.5' is not a whole number"),
        ("--sample.top-p x", "--sample.top-p: 'x' is not a number"),
        ("--max-steps 0", "max_steps=0 is not positive"),
        ("--precision fp8", "invalid choice 'fp8'"),
        ("--model.d-model 100", "model.d_model=100 is not divisible by model.num_heads=16"),
        ("--optimizer.muon-lr 0.1", "optimizer.muon_lr has no effect"),
        ("--schedule.decay-ratio 0.1", "schedule.decay_ratio has no effect"),
        ("--data.corpus a --data.tokens b", "exclude each other"),
        ("--data.vocab-size 300 --model.vocab-size 299", "model.vocab_size=299 is smaller"),
    ],
)
def test_mistake_is_one_line_that_names_the_right_word(flags: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        parse_train_config(flags.split(), TrainConfig())
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_stps = 3", "unknown setting 'max_stps': did you mean 'max_steps'?"),
        ("[optimizer]\nlearning_rate = 3", "unknown setting 'optimizer.learning_rate'"),
        ('max_steps = "many"', "--max-steps"),
        ("max_steps = ", "not valid TOML"),
    ],
)
def test_mistake_in_a_file_names_the_file(tmp_path: Path, text: str, message: str) -> None:
    file = toml(tmp_path, text)
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        parse_train_config([], TrainConfig(), file=file)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("columns", [80, 120])
def test_help_is_broken_where_the_terminal_ends(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit):
        parse_train_config(["--help"], TrainConfig())
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    joined = [
        f"{line} {following.split()[0]}"
        for line, following in pairwise(lines)
        if line.startswith(" " * 8) and following.startswith(" " * 8)
    ]
    assert len(joined) > 5
    # No line has room for the first word of the next.
    assert min(map(len, joined)) > columns - 4


def test_missing_file_is_named() -> None:
    with pytest.raises(ValueError, match=r"nowhere\.toml: no such file"):
        parse_train_config([], TrainConfig(), file=Path("nowhere.toml"))


def test_model_vocabulary_follows_that_of_the_data() -> None:
    config = parse_train_config(["--data.vocab-size", "311"], TrainConfig())
    assert config.model.vocab_size == 311


def test_model_vocabulary_may_be_padded() -> None:
    flags = ["--data.vocab-size", "311", "--model.vocab-size", "320"]
    config = parse_train_config(flags, TrainConfig())
    assert (config.data.vocab_size, config.model.vocab_size) == (311, 320)


def test_tokens_take_the_place_of_a_corpus() -> None:
    base = TrainConfig(data=DataConfig(corpus=(Path("a.txt"),)))
    config = parse_train_config(["--data.tokens", "b"], base)
    assert (config.data.corpus, config.data.tokens) == ((), Path("b"))


@pytest.mark.parametrize("preset", PRESETS)
def test_saved_configuration_is_read_back(preset: str) -> None:
    config = dataclasses.replace(PRESETS[preset], run_dir=Path("runs/x"), seed=7)
    assert config_from_mapping(to_mapping(config), Path("config.json")) == config


def test_saved_configuration_of_another_version_is_refused() -> None:
    mapping = to_mapping(TrainConfig()) | {"flux": 3}
    with pytest.raises(ValueError, match=r"config\.json: unknown setting 'flux'"):
        config_from_mapping(mapping, Path("config.json"))


@pytest.mark.parametrize(
    ("command", "preset", "file", "flags"),
    [
        ("", None, None, ""),
        ("owt --seed 3", "owt", None, "--seed 3"),
        ("--seed 3 --config a.toml --max-steps 5", None, "a.toml", "--seed 3 --max-steps 5"),
        ("tiny --config=a.toml", "tiny", "a.toml", ""),
    ],
)
def test_command_line_is_taken_apart(
    command: str, preset: str | None, file: str | None, flags: str
) -> None:
    expected = (preset, Path(file) if file else None, flags.split())
    assert split_arguments(command.split()) == expected


def test_config_flag_needs_a_file() -> None:
    with pytest.raises(ValueError, match="--config needs a file"):
        split_arguments(["--config"])


def test_last_value_of_a_flag_counts() -> None:
    assert value_of("--run-dir", ["--run-dir", "a", "--run_dir=b", "--seed", "1"]) == "b"


def test_value_of_an_absent_flag_is_none() -> None:
    assert value_of("--run-dir", ["--seed", "1"]) is None


def test_setting_without_its_section_is_near() -> None:
    assert nearest("keep", ["checkpoint.keep", "seed"]) == "checkpoint.keep"


def test_batch_in_tokens_becomes_sequences_and_parts() -> None:
    flags = ["--batch-tokens", "1792", "--micro-batch-size", "2", "--model.context-length", "128"]
    config = parse_train_config(flags, TrainConfig(batch_size=5, gradient_accumulation=5))
    assert (config.batch_size, config.gradient_accumulation) == (14, 7)
    assert config.tokens_per_step == 1792


def test_resolved_batch_can_be_given_the_other_way_later() -> None:
    config = parse_train_config(["--batch-tokens", "1792"], TrainConfig())
    again = config_from_mapping(to_mapping(config), Path("config.json"))
    assert again == config
    assert parse_train_config(["--batch-size", "3"], again).batch_size == 3


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (
            "--batch-tokens 300",
            "batch_tokens=300 is not a multiple of model.context_length=256: give 256 or 512",
        ),
        (
            "--batch-tokens 100",
            "batch_tokens=100 is not a multiple of model.context_length=256: give 256 or 512",
        ),
        (
            "--batch-tokens 2560 --micro-batch-size 3",
            "batch_size=10 is not divisible by micro_batch_size=3",
        ),
        (
            "--batch-tokens 256 --batch-size 1",
            "batch_size and batch_tokens exclude each other: give one of them",
        ),
        (
            "--micro-batch-size 2 --gradient-accumulation 2",
            "gradient_accumulation and micro_batch_size exclude each other: give one of them",
        ),
    ],
)
def test_batch_that_does_not_fit_is_one_line(flags: str, line: str) -> None:
    with pytest.raises(ValueError, match=line):
        parse_train_config(flags.split(), TrainConfig())
