"""The training loop, from top to bottom: batch, loss, backward, clip, rate, step, then the rest.

Everything that a step depends on is the state of model and optimizers, and the step's number: the
sequences, the rates and the samples follow from it. So a run that goes on from a checkpoint
computes what it would have computed without the interruption; on a CPU bit by bit.

A signal may come at any time. The loop asks for it by `stop.check`, which raises, at every place
where it can stop; a step counts when its update is done, and one that is cut off is taken again.
"""

import math
import time
from dataclasses import dataclass

import torch
from torch.optim import Optimizer

from contracts import contract
from nn import TransformerLM
from trainer import checkpoints, nonfinite
from trainer.accumulation import accumulate_gradients
from trainer.batches import SequenceSampler, document_starts
from trainer.config import TrainConfig
from trainer.devices import autocast, float32_products, flops_utilization
from trainer.display import Display
from trainer.evaluation import evaluate, held_out_windows, other_units
from trainer.isolation import isolation
from trainer.loss_scaler import LossScaler
from trainer.norms import measure_norms
from trainer.optimization import build_optimizers, learning_rate_factor, set_learning_rates
from trainer.prefetch import Prefetcher
from trainer.prepared import PreparedData
from trainer.profiling import profiled
from trainer.run_directory import RunDirectory
from trainer.samples import Sampler
from trainer.saver import Saver
from trainer.signals import StopSignals
from trainer.spikes import SpikeFilter
from trainer.team import Team
from trainer.trackers import Tracking
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
    stop: StopSignals | None = None,
    team: Team | None = None,
) -> Outcome:
    """Take the steps from the checkpoint (or from the start) to `config.max_steps`.

    Writes metrics, samples, checkpoints and the model to the run directory on the way. `identity`
    goes into the checkpoints. Raises StopRequested after a signal, and NonFiniteError before an
    update that would spoil the weights; the last good step has been saved then. Of a `team`, every
    process calls this with a run and a display of its own; those of the first are seen.
    """
    stop, team = stop or StopSignals(), team or Team()
    # The first optimizer of a process makes torch load its compiler, which takes seconds.
    with display.progress("getting ready"):
        model, optimizers = build(config, team.first_device(config, device))
        # Nothing here draws from torch's own generator; layers of yours may.
        torch.manual_seed(config.seed)
        done = checkpoints.Counters(step=0, tokens=0, seconds=0.0)
        if resume_from is not None:
            done = checkpoints.restore(resume_from, model, optimizers)
        spread = team.spread(model, optimizers, config, device)
        optimizers = spread.optimizers
    context_length = config.model.context_length
    separator = data.window_separator(config.data)
    isolated_by = data.isolating_separator(config.data)
    documents = None if separator is None else document_starts(data.train, separator)
    sequences = SequenceSampler(
        *(config.seed, len(data.train), context_length, config.batch_size),
        documents=documents,
        mixture=data.mixture(config.data, context_length),
        rank=team.rank,
        size=team.size,
    )
    held_out = held_out_windows(data.valid, context_length, separator)
    texts = Sampler(model, data.tokenizer, config.sample, config.data.special_token, data.valid)
    saver = Saver(
        run.checkpoints,
        spread.whole,
        identity=identity,
        keep=config.checkpoint.keep,
        warn=lambda text: display.detail(text, "yellow"),
        team=team,
    )
    step, tokens, skipped = done.step, done.tokens, done.skipped
    scaler = LossScaler(config.precision, done.loss_scale, done.good_steps)
    spikes = SpikeFilter(config.skip_spikes, done.spikes, done.recent)
    # A signal may have cut off the evaluation or the sample of the last step; they are made up for.
    unfinished = done.unfinished
    run.cut_back(step - unfinished)
    row = done.row if unfinished else run.last_metrics()
    samples: list[str] = []

    def counters() -> checkpoints.Counters:
        seconds = time.perf_counter() - begun
        progress = (step, tokens, seconds, skipped, unfinished, row if unfinished else {})
        return checkpoints.Counters(*progress, *scaler.state, *spikes.state)

    def write_samples(count: int) -> list[str]:
        # One process writes; a signal would not find the others at the same place.
        check = stop.check if team.size == 1 else lambda: None
        texts.model = spread.whole_model()
        seeds = range(config.seed, config.seed + (count if team.leads else 0))
        written = [texts.write(seed=seed, check=check) for seed in seeds] or [""]
        run.append_samples(step, written)
        screen.sample(step, written[0])
        return written

    def show_evaluation(windows_done: int, windows: int) -> None:
        stop.check()
        screen.evaluating(windows_done, windows)

    with (
        Tracking(config, run, display, first_step=step - unfinished + 1) as tracking,
        TrainingScreen(display, config.max_steps, done.step) as screen,
        Prefetcher(sequences, data.train, device, first=step + 1) as batches,
        profiled(config.profile, run.profile, device) as end_of_step,
        float32_products(config.precision),
        stop.deferred(),
        saver.last_good_step(done, counters),
    ):
        begun = time.perf_counter() - done.seconds
        if step == 0 and config.sample.every:
            samples = write_samples(1)
        interval_begun, interval_tokens = time.perf_counter(), 0
        while step < config.max_steps or unfinished:
            stop.check()
            if not unfinished:
                inputs, targets = batches.next()
                mean = accumulate_gradients(
                    spread.loss,
                    inputs,
                    targets,
                    config,
                    device,
                    scale=scaler.scale,
                    isolated_by=isolated_by,
                    check=stop.check,
                )
                factor = learning_rate_factor(step + 1, config.schedule, config.max_steps)
                set_learning_rates(optimizers, factor)
                # The only place where the loop waits for the device; nothing is scaled yet.
                loss, grad_norm = spread.measure(mean)
                grad_norm = scaler.unscale(spread.tensors.values(), grad_norm)
                if config.log_norms and (step + 1) % config.log_every == 0:
                    part = inputs.chunk(config.gradient_accumulation)[0]
                    with autocast(config.precision, device):
                        norms = measure_norms(model, part, **isolation(part, isolated_by))
                    run.append_norms(step + 1, norms)
                overflowed = scaler.overflowed(loss, grad_norm)
                spike = spikes.is_spike(loss, grad_norm)
                if spike:
                    text = f"step {step + 1}: loss {loss:.4g}, gradient norm {grad_norm:.4g}"
                    display.detail(f"skipped a spike at {text}", "yellow")
                elif math.isfinite(loss + grad_norm):
                    spread.clip(grad_norm, config.optimizer.max_grad_norm)
                    for optimizer in optimizers:
                        optimizer.step()
                elif not overflowed:
                    rate = optimizers[0].param_groups[0]["lr"]
                    found = nonfinite.describe(spread, step + 1, loss, grad_norm, rate)
                    if config.on_nonfinite == "stop" or nonfinite.bad_weight(spread):
                        raise nonfinite.NonFiniteError(found)
                    display.detail(f"skipped {found}", "yellow")
                    skipped += 1
                for optimizer in optimizers:
                    optimizer.zero_grad()
                step += 1
                tokens += config.tokens_per_step
                interval_tokens += config.tokens_per_step
                screen.step(step)

            last = step == config.max_steps
            evaluating = last or step % config.eval.every == 0
            sampling = last or bool(config.sample.every and step % config.sample.every == 0)
            saving = last or step % config.checkpoint.every == 0
            if not unfinished and (evaluating or step % config.log_every == 0):
                now = time.perf_counter()
                speed = interval_tokens / (now - interval_begun)
                interval_begun, interval_tokens = now, 0
                row = {
                    "step": step,
                    "tokens": tokens,
                    "seconds": round(now - begun, 3),
                    "train_loss": loss,
                    "learning_rate": optimizers[0].param_groups[0]["lr"],
                    "grad_norm": grad_norm,
                    "tokens_per_second": round(speed, 1),
                }
                if skipped:
                    row["skipped"] = skipped
                if spikes.count:
                    row["spikes"] = spikes.count
                if scaler.enabled:
                    row["loss_scale"] = scaler.scale
                utilization = flops_utilization(
                    speed / team.size, config.model, device, config.precision
                )
                if utilization is not None:
                    row["mfu"] = round(utilization, 4)
                screen.numbers(row)
            unfinished = evaluating or sampling
            if evaluating:
                windows = config.eval.final_windows if last else config.eval.windows
                with autocast(config.precision, device):
                    row["val_loss"] = evaluate(
                        spread.forward,
                        data.valid,
                        held_out.at_most(windows),
                        batch_size=config.batch_size // config.gradient_accumulation // team.size,
                        device=device,
                        progress=show_evaluation,
                        team=team,
                        fixed_shape=spread.compiled,
                        isolated_by=isolated_by,
                    )
                row |= other_units(row["val_loss"], len(data.valid), data.valid_bytes)
                evaluated = spread.whole_model()
                if team.leads:
                    evaluated.save(run.model)
                screen.evaluation(row)
                saving = saving or row["val_loss"] < saver.best_loss
            if row.get("step") == step:
                run.append_metrics(row)
                tracking.log(row)
            if sampling:
                samples = write_samples(LAST_SAMPLES if last else 1)
            unfinished = False
            if saving:
                saver.save(counters(), row["val_loss"] if evaluating else None)
            if evaluating or sampling or saving:
                # Their time is not the steps'.
                interval_begun, interval_tokens = time.perf_counter(), 0
            end_of_step()
    return Outcome(
        steps=step,
        tokens=tokens,
        seconds=time.perf_counter() - begun,
        train_loss=row["train_loss"],
        val_loss=row["val_loss"],
        samples=tuple(samples),
    )


@contract
def build(config: TrainConfig, device: torch.device) -> tuple[TransformerLM, list[Optimizer]]:
    """Return the model with its first weights and its optimizers."""
    # Drawn on the CPU, so that every device starts from the same weights.
    model = TransformerLM(config.model, generator=torch.Generator().manual_seed(config.seed))
    model.to(device)
    model.activation_checkpointing = config.activation_checkpointing
    return model, build_optimizers(model, config.optimizer)
