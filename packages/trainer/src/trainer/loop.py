"""The training loop, from top to bottom: batch, loss, backward, clip, rate, step, then the rest.

Everything that a step depends on is the state of model and optimizers, and the step's number: the
sequences, the rates and the samples follow from it. So a run that goes on from a checkpoint
computes what it would have computed without the interruption; on a CPU bit by bit.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.optim import Optimizer

from contracts import contract
from nn import TransformerLM, cross_entropy
from optim import clip_grad_norm
from trainer import checkpoints
from trainer.batches import SequenceSampler, document_starts, gather_windows
from trainer.config import TrainConfig
from trainer.devices import autocast, flops_utilization, should_compile
from trainer.display import Display
from trainer.evaluation import evaluate, held_out_windows
from trainer.optimization import build_optimizers, learning_rate_factor, set_learning_rates
from trainer.prepared import PreparedData
from trainer.run_directory import RunDirectory
from trainer.samples import Sampler
from trainer.training_screen import TrainingScreen

# Samples after the last step: one can be lucky.
LAST_SAMPLES = 2


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    steps: int
    tokens: int
    seconds: float
    """Time in the loop over all parts of the run: with evaluations, without preparation."""
    train_loss: float
    val_loss: float
    samples: tuple[str, ...]
    """What the model wrote after the last step."""


def train(
    config: TrainConfig,
    run: RunDirectory,
    data: PreparedData,
    device: torch.device,
    display: Display,
    *,
    identity: dict[str, str],
    resume_from: checkpoints.Checkpoint | None = None,
) -> Outcome:
    """Take the steps from the checkpoint (or from the start) to `config.max_steps`.

    Writes metrics, samples, checkpoints and the model to the run directory on the way. `identity`
    goes into the checkpoints.
    """
    # The first optimizer of a process makes torch load its compiler, which takes seconds.
    with display.progress("getting ready"):
        model, forward, optimizers = build(config, device)
        done = checkpoints.Counters(step=0, tokens=0, seconds=0.0)
        if resume_from is not None:
            done = checkpoints.restore(resume_from, model, optimizers)
    parameters = list(model.parameters())
    context_length = config.model.context_length
    separator = data.separator(config.data)
    documents = None if separator is None else document_starts(data.train, separator)
    sequences = SequenceSampler(
        config.seed, len(data.train), context_length, config.batch_size, documents
    )
    held_out = held_out_windows(data.valid, context_length, separator)
    texts = Sampler(model, data.tokenizer, config.sample, config.data.special_token, data.valid)
    run.cut_back(done.step)
    step, tokens = done.step, done.tokens
    begun = time.perf_counter() - done.seconds
    row = run.last_metrics()
    samples: list[str] = []

    with TrainingScreen(display, config.max_steps, done.step) as screen:
        if step == 0 and config.sample.every:
            samples = [texts.write(seed=config.seed)]
            run.append_samples(0, samples)
            screen.sample(0, samples[0])
        interval_begun, interval_tokens = time.perf_counter(), 0
        while step < config.max_steps:
            starts = sequences.starts(step := step + 1)
            inputs, targets = gather_windows(data.train, starts, context_length, device)
            loss = accumulate_gradients(forward, inputs, targets, config, device)
            grad_norm = clip_grad_norm(parameters, config.optimizer.max_grad_norm)
            factor = learning_rate_factor(step, config.schedule, config.max_steps)
            set_learning_rates(optimizers, factor)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            tokens += config.tokens_per_step
            interval_tokens += config.tokens_per_step
            screen.step(step)

            last = step == config.max_steps
            evaluating = last or step % config.eval.every == 0
            sampling = last or bool(config.sample.every and step % config.sample.every == 0)
            saving = last or step % config.checkpoint.every == 0
            if evaluating or step % config.log_every == 0:
                row = {"step": step, "tokens": tokens, "seconds": 0.0, "train_loss": loss.item()}
                # Reading the loss has waited for the device, so the clock is right from here.
                now = time.perf_counter()
                speed = interval_tokens / (now - interval_begun)
                interval_begun, interval_tokens = now, 0
                row |= {
                    "seconds": round(now - begun, 3),
                    "learning_rate": optimizers[0].param_groups[0]["lr"],
                    "grad_norm": grad_norm.item(),
                    "tokens_per_second": round(speed, 1),
                }
                utilization = flops_utilization(speed, config.model, device, config.precision)
                if utilization is not None:
                    row["mfu"] = round(utilization, 4)
                screen.numbers(row)
            if evaluating:
                windows = config.eval.final_windows if last else config.eval.windows
                with autocast(config.precision, device):
                    row["val_loss"] = evaluate(
                        forward,
                        data.valid,
                        held_out.at_most(windows),
                        batch_size=config.batch_size // config.gradient_accumulation,
                        device=device,
                        progress=screen.evaluating,
                    )
                model.save(run.model)
                screen.evaluation(row)
            if row.get("step") == step:
                run.append_metrics(row)
            if sampling:
                count = LAST_SAMPLES if last else 1
                samples = [texts.write(seed=config.seed + index) for index in range(count)]
                run.append_samples(step, samples)
                screen.sample(step, samples[0])
            if saving:
                counters = checkpoints.Counters(step, tokens, time.perf_counter() - begun)
                checkpoints.save(
                    run.checkpoints, model, optimizers, counters=counters, identity=identity
                )
                checkpoints.keep_last(run.checkpoints, config.checkpoint.keep)
            if evaluating or sampling or saving:
                # Their time is not the steps'.
                interval_begun, interval_tokens = time.perf_counter(), 0
    return Outcome(
        steps=step,
        tokens=tokens,
        seconds=time.perf_counter() - begun,
        train_loss=row["train_loss"],
        val_loss=row["val_loss"],
        samples=tuple(samples),
    )


@contract
def build(
    config: TrainConfig, device: torch.device
) -> tuple[TransformerLM, Callable[[Tensor], Tensor], list[Optimizer]]:
    """Return the model with its first weights, what computes its logits, and its optimizers."""
    # Drawn on the CPU, so that every device starts from the same weights.
    model = TransformerLM(config.model, generator=torch.Generator().manual_seed(config.seed))
    model.to(device)
    forward: Callable[[Tensor], Tensor] = model
    if should_compile(config.compile, device):
        forward = torch.compile(model)
    return model, forward, build_optimizers(model, config.optimizer)


@contract
def accumulate_gradients(
    forward: Callable[[Tensor], Tensor],
    inputs: Int[Tensor, "batch seq"],
    targets: Int[Tensor, "batch seq"],
    config: TrainConfig,
    device: torch.device,
) -> Float[Tensor, ""]:
    """Add the gradients of the mean loss over all sequences, part by part; return that loss."""
    parts = config.gradient_accumulation
    total = torch.zeros((), device=device)
    for part_inputs, part_targets in zip(inputs.chunk(parts), targets.chunk(parts), strict=True):
        with autocast(config.precision, device):
            loss = cross_entropy(forward(part_inputs), part_targets) / parts
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    return total
