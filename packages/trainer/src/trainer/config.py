"""The configuration of a run: frozen dataclasses, one field per flag.

Every number of a run is a field here, so that the resolved configuration, written to the run
directory as `config.json`, says the whole of what was done. Rules that one field alone can break
are checked on construction; whether a setting has an effect at all is checked where flags are read.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from nn import ModelConfig
from trainer.batch_shape import resolve_batch
from trainer.mixture import check_weights


@dataclass(frozen=True)
class DataConfig:
    """Where the tokens come from."""

    corpus: tuple[Path, ...] = ()
    """Text files in UTF-8; everything is made from them: split, tokenizer, tokens."""
    val_corpus: tuple[Path, ...] = ()
    """Text files to validate on; without them the end of the corpus is kept for that."""
    tokens: Path | None = None
    """A directory that `trainer prepare` made: train.npy, valid.npy, tokenizer/."""
    vocab_size: int = 10_000
    """Size of the vocabulary; 257 is bytes and one special token, without merges."""
    special_token: str = "<|endoftext|>"
    """Separates documents; text files may contain it."""
    weights: tuple[float, ...] = ()
    """How often a sequence comes from each file of the corpus, in proportion: 3 1 draws three of
    four from the first. Without them, long files are drawn from more often. With them, the end of
    each file is kept for validation."""
    windows: Literal["anywhere", "documents"] = "anywhere"
    """Where sequences begin; documents: not in the first window's length of a document, but at its
    beginning, in training and evaluation. Short documents are then never read from their middle."""
    isolate_documents: bool = False
    """Attend within documents only, in training and evaluation, where a sequence holds several. A
    special token begins the document after it, and is all that its first token is predicted from.
    """
    val_fraction: float = 0.1
    """Share of the bytes, from the end of the text, that is kept for validation."""
    max_val_bytes: int = 10_000_000
    """No more than this is kept for validation, however long the text."""
    min_val_bytes: int = 4096
    """At least this is kept for validation, but never more than half of the text."""
    tokenizer_bytes: int = 1_000_000_000
    """The tokenizer learns from the first bytes of the training text, up to this many."""
    stories_bytes: int = 8_000_000
    """How much the story grammar writes where no text is given; 0 where text must be given."""
    cache: Path = Path("data")
    """Prepared data is kept here, in a directory named after its content."""

    def __post_init__(self) -> None:
        least = 256 + 1
        if self.vocab_size < least:
            raise ValueError(
                f"data.vocab_size={self.vocab_size} is below {least}: 256 bytes and 1 special token"
            )
        if not 0 < self.val_fraction < 1:
            raise ValueError(f"data.val_fraction={self.val_fraction} is not between 0 and 1")
        _check_positive("data", self, "max_val_bytes", "min_val_bytes", "tokenizer_bytes")
        if self.stories_bytes < 0:
            raise ValueError(f"data.stories_bytes={self.stories_bytes} is negative")
        if not self.special_token:
            raise ValueError("data.special_token='' is empty: documents need a separator")
        check_weights(self.weights)
        if self.weights and self.corpus and len(self.weights) != len(self.corpus):
            raise ValueError(
                f"data.weights has {len(self.weights)} numbers, but data.corpus has "
                f"{len(self.corpus)} file(s): give one weight for each"
            )
        if self.weights and not self.corpus and self.tokens is None:
            raise ValueError("data.weights has no effect without data.corpus or data.tokens")


@dataclass(frozen=True)
class OptimizerConfig:
    """How weights change."""

    name: Literal["adamw", "muon"] = "adamw"
    """Muon takes the matrices of the layers and leaves embeddings, head and gains to AdamW."""
    lr: float = 1e-3
    """Peak learning rate of AdamW."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's decay rates of the two moments."""
    eps: float = 1e-8
    """AdamW's guard against a division by zero."""
    weight_decay: float = 0.1
    """Decoupled decay of the matrices; gains and embeddings are not decayed."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this global norm."""
    muon_lr: float = 0.02
    """Peak learning rate of Muon."""
    muon_momentum: float = 0.95
    """Muon's momentum."""

    def __post_init__(self) -> None:
        _check_positive("optimizer", self, "lr", "eps", "max_grad_norm", "muon_lr")
        if self.weight_decay < 0:
            raise ValueError(f"optimizer.weight_decay={self.weight_decay} is negative")
        for name, value in (
            ("betas[0]", self.betas[0]),
            ("betas[1]", self.betas[1]),
            ("muon_momentum", self.muon_momentum),
        ):
            if not 0 <= value < 1:
                raise ValueError(f"optimizer.{name}={value} is not in [0, 1)")


@dataclass(frozen=True)
class ScheduleConfig:
    """How the learning rates move over the run."""

    name: Literal["cosine", "wsd", "linear", "constant"] = "cosine"
    """Cosine decay; warm-up, stable, decay (wsd); decay along a line; or warm-up and no change."""
    warmup_steps: int = 100
    """Steps in which the rate rises linearly to its peak."""
    min_lr_ratio: float = 0.1
    """The last learning rate as a share of the peak (cosine, wsd and linear)."""
    decay_ratio: float = 0.2
    """Share of the steps, at the end, in which wsd decays."""

    def __post_init__(self) -> None:
        if self.warmup_steps < 0:
            raise ValueError(f"schedule.warmup_steps={self.warmup_steps} is negative")
        for name in ("min_lr_ratio", "decay_ratio"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"schedule.{name}={value} is not between 0 and 1")


@dataclass(frozen=True)
class EvalConfig:
    """How the loss on held-out text is measured."""

    every: int = 500
    """Steps between two evaluations."""
    windows: int = 256
    """Windows of one evaluation, at fixed places spread evenly over the validation tokens."""
    final_windows: int = 4096
    """The same for the evaluation after the last step."""

    def __post_init__(self) -> None:
        _check_positive("eval", self, "every", "windows", "final_windows")


@dataclass(frozen=True)
class CheckpointConfig:
    """When the state of the run is saved."""

    every: int = 1000
    """Steps between two checkpoints; the last step is always saved."""
    keep: int = 2
    """How many of the latest checkpoints stay on the disk."""

    def __post_init__(self) -> None:
        _check_positive("checkpoint", self, "every", "keep")


@dataclass(frozen=True)
class SampleConfig:
    """What the model is asked to write during the run."""

    every: int = 500
    """Steps between two samples; 0 writes one after the last step only."""
    prompt: str | None = None
    """How the text begins; None takes the first words of the validation text."""
    max_tokens: int = 200
    """The longest sample, in tokens."""
    temperature: float = 0.8
    """Below 1 the likelier tokens are preferred; 0 is greedy."""
    top_p: float | None = 0.95
    """Sample from the likeliest tokens that hold this much of the probability."""

    def __post_init__(self) -> None:
        _check_positive("sample", self, "max_tokens")
        if self.every < 0:
            raise ValueError(f"sample.every={self.every} is negative")
        if self.temperature < 0:
            raise ValueError(f"sample.temperature={self.temperature} is negative")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"sample.top_p={self.top_p} is not in (0, 1]")


@dataclass(frozen=True)
class TrainConfig:
    """Train a language model: from raw text to a model one can talk to."""

    run_dir: Path | None = None
    """Where the run is kept; a new name under runs/ is chosen when it is not given."""
    seed: int = 0
    """Decides the first weights, the order of the sequences and the samples."""
    max_steps: int = 1000
    """Optimizer steps."""
    batch_size: int = 32
    """Sequences of one optimizer step, over all its parts."""
    gradient_accumulation: int = 1
    """Parts in which a step's sequences pass through the model, one after the other."""
    batch_tokens: int | None = None
    """Tokens of one optimizer step, in place of batch_size: a multiple of the context length."""
    micro_batch_size: int | None = None
    """Sequences that pass through the model at once, in place of gradient_accumulation."""
    activation_checkpointing: bool = False
    """Compute each block again in the backward pass, slower and in much less memory."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """auto: the GPU where torch finds one (CUDA), else the CPU. The presets for a CPU, tiny and
    tinystories-cpu, say cpu, the others auto."""
    precision: Literal["fp32", "tf32", "bf16", "fp16"] = "fp32"
    """How products are taken; weights and optimizer stay in float32. tf32: with 10 bits after the
    point, on NVIDIA GPUs; bf16: in bfloat16 by autocast; fp16: in float16, with a loss scale."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """How several processes (see torchrun) share the model; ddp: each has all of it; fsdp: each has
    a part of every weight and of the optimizer's state, for models too large for one GPU."""
    compile: Literal["auto", "on", "off"] = "auto"
    """torch.compile the model; auto does so on CUDA."""
    resume: Literal["auto", "never", "anyway"] = "auto"
    """auto: go on from the run directory's last good checkpoint; never: set the old run aside;
    anyway: go on although settings or data are others than the run was begun with."""
    on_nonfinite: Literal["stop", "skip"] = "stop"
    """What to do at a loss or gradient that is NaN or infinite, before it reaches the weights: stop
    and save, or leave the update out and count it."""
    skip_spikes: float = 0.0
    """Leave out the update of a step whose loss or gradient norm is so many standard deviations
    above the mean of the last 128 steps, and count it; 0: never. 6 is cautious."""
    log_every: int = 10
    """Steps between two lines of metrics.jsonl."""
    log_norms: bool = False
    """Write the norms of every weight, gradient and layer's output to norms.jsonl, as often."""
    profile: int = 0
    """Trace so many steps, after the first few, into profile/trace.json, for ui.perfetto.dev."""
    objective: str = ""
    """What the run is to find out, in a sentence; `trainer log` and `trainer report` show it."""
    track: tuple[Literal["wandb", "tensorboard", "trackio"], ...] = ()
    """Where the rows of metrics.jsonl are sent too; each needs the package of that name."""
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    data: DataConfig = field(default_factory=DataConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)

    def __post_init__(self) -> None:
        batch_size, parts = resolve_batch(
            self.batch_size,
            self.gradient_accumulation,
            *(self.batch_tokens, self.micro_batch_size, self.model.context_length),
        )
        # Said in one way only: what is laid over this configuration may say it in the other.
        object.__setattr__(self, "batch_size", batch_size)
        object.__setattr__(self, "gradient_accumulation", parts)
        object.__setattr__(self, "batch_tokens", None)
        object.__setattr__(self, "micro_batch_size", None)
        for name in ("max_steps", "batch_size", "gradient_accumulation", "log_every"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name}={value} is not positive")
        for name in ("seed", "skip_spikes", "profile"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} is negative")
        if self.batch_size % self.gradient_accumulation:
            raise ValueError(
                f"batch_size={self.batch_size} is not divisible by "
                f"gradient_accumulation={self.gradient_accumulation}"
            )

    @property
    def tokens_per_step(self) -> int:
        return self.batch_size * self.model.context_length


def _check_positive(section: str, config: Any, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if value <= 0:
            raise ValueError(f"{section}.{name}={value} is not positive")
