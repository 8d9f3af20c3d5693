"""Named configurations: each a complete frozen object; flags override single fields."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from nn import ModelConfig
from trainer.config import (
    CheckpointConfig,
    DataConfig,
    EvalConfig,
    OptimizerConfig,
    SampleConfig,
    ScheduleConfig,
    TrainConfig,
)

DEFAULT_PRESET = "tiny"

# Needs nothing from outside and runs on any machine: a model of little stories in two minutes.
# Two layers, because text is then read twice as fast, and a loss falls with the text that is read.
TINY = TrainConfig(
    max_steps=660,
    batch_size=8,
    device="cpu",
    model=ModelConfig(
        vocab_size=2048, context_length=256, d_model=128, num_layers=2, num_heads=4, d_ff=384
    ),
    optimizer=OptimizerConfig(name="muon", lr=1e-2, weight_decay=0.0, muon_lr=0.02),
    schedule=ScheduleConfig(name="wsd", warmup_steps=20, min_lr_ratio=0.0, decay_ratio=0.5),
    data=DataConfig(
        vocab_size=2048, windows="documents", stories_bytes=6_000_000, tokenizer_bytes=1_500_000
    ),
    eval=EvalConfig(every=165, windows=64, final_windows=1024),
    checkpoint=CheckpointConfig(every=165, keep=2),
    sample=SampleConfig(every=165, max_tokens=250),
)

# 22.7 million parameters and 327,680,000 tokens of TinyStories; meant for a GPU.
TINYSTORIES = TrainConfig(
    max_steps=10_000,
    batch_size=128,
    precision="bf16",
    model=ModelConfig(
        vocab_size=10_000, context_length=256, d_model=512, num_layers=4, num_heads=16, d_ff=1344
    ),
    optimizer=OptimizerConfig(lr=2e-3),
    schedule=ScheduleConfig(warmup_steps=500, min_lr_ratio=0.1),
    data=DataConfig(tokens=Path("data/tinystories"), vocab_size=10_000, stories_bytes=0),
    eval=EvalConfig(every=500, windows=512, final_windows=8192),
    checkpoint=CheckpointConfig(every=1000, keep=2),
    sample=SampleConfig(every=1000),
)

# The same model for a machine without a GPU: 40,960,000 tokens.
TINYSTORIES_CPU = TrainConfig(
    max_steps=5000,
    batch_size=32,
    device="cpu",
    model=TINYSTORIES.model,
    optimizer=OptimizerConfig(lr=2e-3),
    schedule=ScheduleConfig(warmup_steps=250, min_lr_ratio=0.1),
    data=TINYSTORIES.data,
    eval=EvalConfig(every=250, windows=128, final_windows=2048),
    checkpoint=CheckpointConfig(every=250, keep=2),
    sample=SampleConfig(every=250),
)

# OpenWebText with the model and the number of steps of TinyStories.
OWT = TrainConfig(
    max_steps=10_000,
    batch_size=128,
    precision="bf16",
    model=ModelConfig(
        vocab_size=32_000, context_length=256, d_model=512, num_layers=4, num_heads=16, d_ff=1344
    ),
    optimizer=OptimizerConfig(lr=2e-3),
    schedule=ScheduleConfig(warmup_steps=500, min_lr_ratio=0.1),
    data=DataConfig(tokens=Path("data/owt"), vocab_size=32_000, stories_bytes=0),
    eval=EvalConfig(every=500, windows=512, final_windows=8192),
    checkpoint=CheckpointConfig(every=1000, keep=2),
    sample=SampleConfig(every=1000),
)

# A larger model for OpenWebText, meant for an hour and a half of one large GPU.
OWT_LEADERBOARD = TrainConfig(
    max_steps=20_000,
    batch_size=256,
    gradient_accumulation=2,
    precision="bf16",
    model=ModelConfig(
        vocab_size=32_000,
        context_length=512,
        d_model=768,
        num_layers=12,
        num_heads=12,
        d_ff=2048,
        tied_embeddings=True,
        qk_norm=True,
    ),
    optimizer=OptimizerConfig(name="muon", lr=3e-3, muon_lr=0.02),
    schedule=ScheduleConfig(name="wsd", warmup_steps=500, min_lr_ratio=0.0, decay_ratio=0.4),
    data=OWT.data,
    eval=EvalConfig(every=500, windows=512, final_windows=8192),
    checkpoint=CheckpointConfig(every=1000, keep=2),
    sample=SampleConfig(every=2000),
)

PRESETS: Mapping[str, TrainConfig] = MappingProxyType(
    {
        "tiny": TINY,
        "tinystories": TINYSTORIES,
        "tinystories-cpu": TINYSTORIES_CPU,
        "owt": OWT,
        "owt-leaderboard": OWT_LEADERBOARD,
    }
)

# Where the text of a preset can be had.
SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "tinystories": "https://huggingface.co/datasets/roneneldan/TinyStories",
        "tinystories-cpu": "https://huggingface.co/datasets/roneneldan/TinyStories",
        "owt": "https://huggingface.co/datasets/stanford-cs336/owt-sample",
        "owt-leaderboard": "https://huggingface.co/datasets/stanford-cs336/owt-sample",
    }
)
