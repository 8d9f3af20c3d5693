"""`generate`: continue a text with a trained model, on the terminal or through a pipe.

Standard output gets the text alone, as it comes; figures and errors go to standard error. Exit
status: 0, 2 for bad input, 3 for a damaged run, 4 for too little memory, 130 after Ctrl-C.

What needs torch is imported late: help and mistakes are shown at once.
"""

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from sampling.config import SamplingConfig
from sampling.flags import parse_flags
from sampling.run_directory import RunDamagedError, RunError, check_run, load_run

if TYPE_CHECKING:
    import torch

    from bpe import Tokenizer

DESCRIPTION = """Continue a text with a trained model.

Examples:
  generate runs/tiny --prompt "Once upon a time"
  generate runs/tiny --prompt "Once upon a time" --temperature 0 --max-tokens 50
  generate runs/tiny --prompt "The fox said:" --num-samples 3 --seed 7
  generate runs/tiny < beginning.txt > story.txt
  generate runs/tiny                   asks for one prompt after another
"""

END_OF_TEXT = "<|endoftext|>"
NO_PROMPT = 'there is no prompt: give --prompt "Once upon a time", or write it to standard input'


@dataclasses.dataclass(frozen=True)
class GenerateFlags:
    """The flags of `generate`."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Directory of a run: it holds model/ and tokenizer/."""
    prompt: Annotated[str | None, tyro.conf.arg(metavar="TEXT")] = None
    """Text to continue; - or none reads standard input. On a terminal, none asks for one."""
    max_tokens: int = 256
    """Most tokens to draw."""
    temperature: float = 0.8
    """Below 1 plainer, above 1 wilder; 0 always takes the likeliest token."""
    top_p: float | None = 0.95
    """Draw among the fewest likeliest tokens that have this much probability together."""
    top_k: int | None = None
    """Draw among this many likeliest tokens."""
    min_p: float | None = None
    """Draw among tokens at least this fraction as probable as the likeliest."""
    repetition_penalty: float = 1.0
    """Above 1 makes tokens that the text already holds less likely."""
    seed: int | None = None
    """Same seed, same text. Without it a new one is chosen, and shown."""
    num_samples: int = 1
    """How many texts; the second is drawn with seed + 1, and so on."""
    stop: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="TEXT")] = ()
    """End before this text; may be given several times."""
    ignore_eos: bool = False
    """Go on after <|endoftext|>, where a text would end."""
    allow_special: bool = False
    """Read special tokens in the prompt as such; else they are ordinary text."""
    truncate: Literal["never", "left"] = "never"
    """What to do with a prompt longer than the model's context: refuse it, or keep its end."""
    echo: bool = True
    """Show the prompt before its continuation."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute; auto takes an accelerator if there is one."""


def command() -> int:
    """Run the command as a process of its own."""
    own_process()
    return main()


def own_process() -> None:
    """Set what libraries read when they are imported, where the environment does not say.

    Nothing but our own code calls our own code here. Checking the shapes of each of its calls would
    take longer than computing a token of a small model, so it is left out. And threads of OpenMP
    sleep where they would wait for each other in a busy loop: beside another busy process, that
    takes the core which the late one needs.
    """
    os.environ.setdefault("JAXTYPING_DISABLE", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        flags = parse_flags(GenerateFlags, given, prog="generate", description=DESCRIPTION)
        return run(flags)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of the pipe has seen enough. Nothing must be flushed into it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, MemoryError, RuntimeError) as error:
        status = exit_status(error)
        if status is None:
            raise
        # Functions speak of their arguments, commands of their flags.
        message = str(error).replace("truncate='left'", "--truncate left")
        print(f"generate: {' '.join(message.split())}", file=sys.stderr)
        return status


def run(flags: GenerateFlags) -> int:
    """Load the run, and continue one prompt or several."""
    if flags.num_samples < 1:
        raise ValueError(f"num_samples={flags.num_samples} must be an integer of at least 1")
    config = sampling_config(flags)
    check_run(flags.run)
    # Imported late, as drawing a spinner takes a library too.
    from sampling.terminal import Terminal

    terminal = Terminal(prompt_shown=flags.echo)
    prompt = None if terminal.is_interactive and flags.prompt is None else _read_prompt(flags)
    with terminal.loading(flags.run):
        model, tokenizer = load_run(flags.run, device=choose_device(flags.device))
    config = with_end_of_text(config, tokenizer, ignore=flags.ignore_eos)
    if prompt is not None:
        terminal.write_samples(model, tokenizer, prompt, config, flags)
        return 0
    return terminal.converse(model, tokenizer, config, flags)


def sampling_config(flags: GenerateFlags) -> SamplingConfig:
    """Return the settings that the flags ask for."""
    return SamplingConfig(
        temperature=flags.temperature,
        top_k=flags.top_k,
        top_p=flags.top_p,
        min_p=flags.min_p,
        repetition_penalty=flags.repetition_penalty,
        max_tokens=flags.max_tokens,
        stop_strings=flags.stop,
        seed=flags.seed,
    )


def with_end_of_text(
    config: SamplingConfig, tokenizer: "Tokenizer", *, ignore: bool
) -> SamplingConfig:
    """Make <|endoftext|> a stop token where the tokenizer has it."""
    end = tokenizer.special_tokens.get(END_OF_TEXT)
    if end is None or ignore:
        return config
    return dataclasses.replace(config, stop_tokens=(*config.stop_tokens, end))


def choose_device(name: str) -> "torch.device":
    """Return the device; raises ValueError if this machine does not have it."""
    import torch

    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(kind for kind, there in available.items() if there)
    if not available[name]:
        there = ", ".join(kind for kind, is_there in available.items() if is_there)
        raise ValueError(f"--device {name}: this machine has none; it has {there}")
    return torch.device(name)


def exit_status(error: BaseException) -> int | None:
    """Return 2 for bad input, 3 for a damaged run, 4 for too little memory; None is our mistake."""
    if type(error) is ValueError or isinstance(error, RunError | OSError):
        return 2
    # Imported late: the line above has to be quick.
    from torch import OutOfMemoryError

    from sampling.decoder import LogitsError

    if isinstance(error, MemoryError | OutOfMemoryError):
        return 4
    if isinstance(error, LogitsError | RunDamagedError):
        return 3
    return 2 if isinstance(error, ValueError) else None


def _read_prompt(flags: GenerateFlags) -> str:
    prompt = flags.prompt
    if prompt is None and sys.stdin.isatty():
        raise ValueError(NO_PROMPT)
    if prompt is None or prompt == "-":
        try:
            # The line break that ends a typed or echoed text is no part of the prompt.
            prompt = sys.stdin.buffer.read().decode("utf-8").removesuffix("\n")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"standard input is not UTF-8: invalid byte 0x{error.object[error.start]:02x} "
                f"at offset {error.start}"
            ) from None
    if flags.prompt is None and not prompt:
        raise ValueError(NO_PROMPT)
    if prompt == "":
        raise ValueError(
            f'prompt="" is empty: give 1 or more characters, or for a text from nothing '
            f'--prompt "{END_OF_TEXT}" --allow-special'
        )
    return prompt
