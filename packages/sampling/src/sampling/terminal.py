"""What `generate` shows: text on standard output as it comes, dim figures on standard error."""

import dataclasses
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.status import Status

from sampling.config import SamplingConfig

# What needs torch is imported late: the spinner says that it is being loaded.
if TYPE_CHECKING:
    from bpe import Tokenizer
    from nn import TransformerLM
    from sampling.generation import Truncate
    from sampling.text import TextStream

# A model may write any byte. Shown raw, an escape sequence could clear the screen or retitle it.
_CONTROL = {
    code: "\ufffd" for code in (*range(32), *range(127, 160)) if code not in (ord("\n"), ord("\t"))
}


class Reading(Protocol):
    """The flags that say how a prompt is read, and how often it is continued."""

    @property
    def allow_special(self) -> bool: ...
    @property
    def truncate(self) -> "Truncate": ...
    @property
    def num_samples(self) -> int: ...


class Terminal:
    """The two streams of one command. Without a terminal behind them, text is passed on exactly."""

    def __init__(self, *, prompt_shown: bool) -> None:
        self._prompt_shown = prompt_shown
        self._is_screen = sys.stdout.isatty()
        self._text = Console(highlight=False)
        self._notes = Console(stderr=True, highlight=False)
        self.is_interactive = self._is_screen and sys.stdin.isatty()

    def loading(self, what: object) -> AbstractContextManager[Status]:
        """Say that the model is being loaded, where someone looks."""
        return self._notes.status(f"loading {what}", spinner="dots")

    def write_samples(
        self,
        model: "TransformerLM",
        tokenizer: "Tokenizer",
        prompt: str,
        config: SamplingConfig,
        reading: Reading,
    ) -> None:
        """Continue `prompt` as often as asked, with one seed after another."""
        seed = secrets.randbits(32) if config.seed is None else config.seed
        for number in range(reading.num_samples):
            if number > 0:
                self._write("\n")
            settings = dataclasses.replace(config, seed=seed + number)
            self._write_sample(model, tokenizer, prompt, settings, reading)

    def converse(
        self,
        model: "TransformerLM",
        tokenizer: "Tokenizer",
        config: SamplingConfig,
        reading: Reading,
    ) -> int:
        """Ask for prompts until the input ends; Ctrl-C ends a text, and at the prompt the command.

        Returns the exit status.
        """
        self._note("Type the beginning of a text. Ctrl-C stops one, Ctrl-D ends.")
        while True:
            try:
                prompt = self._text.input("[bold cyan]>[/] ")
            except EOFError:
                self._write("\n")
                return 0
            if not prompt:
                continue
            try:
                self.write_samples(model, tokenizer, prompt, config, reading)
            except KeyboardInterrupt:
                self._write("\n")
            except ValueError as error:
                self._notes.print(str(error), style="red", markup=False)
            if config.seed is not None:
                # The same prompt again is meant to give another text.
                config = dataclasses.replace(config, seed=config.seed + reading.num_samples)

    def _write_sample(
        self,
        model: "TransformerLM",
        tokenizer: "Tokenizer",
        prompt: str,
        config: SamplingConfig,
        reading: Reading,
    ) -> None:
        from sampling.text import stream_text

        started = time.perf_counter()
        stream = stream_text(
            model,
            tokenizer,
            prompt,
            config,
            allow_special=reading.allow_special,
            truncate=reading.truncate,
        )
        if self._prompt_shown:
            self._write(prompt, bold=True)
        last = self._write_stream(stream)
        if not last.endswith("\n"):
            self._write("\n")
        seconds = time.perf_counter() - started
        why = "ended by itself" if stream.finish_reason == "stop" else "reached --max-tokens"
        self._note(
            f"{stream.num_tokens} tokens in {seconds:.1f} s, "
            f"{stream.num_tokens / seconds:.0f} tokens/s, {why}, seed {config.seed}"
        )

    def _write_stream(self, stream: "TextStream") -> str:
        """Write all of `stream`; a text that is cut short by Ctrl-C gets its line break here."""
        piece = ""
        try:
            for piece in self._guarded(stream):
                self._write(piece)
        except KeyboardInterrupt:
            self._write("\n")
            raise
        return piece

    def _guarded(self, pieces: Iterator[str]) -> Iterator[str]:
        return (piece.translate(_CONTROL) for piece in pieces) if self._is_screen else pieces

    def _write(self, text: str, *, bold: bool = False) -> None:
        if bold and self._is_screen:
            self._text.out(text, style="bold", highlight=False, end="")
        else:
            sys.stdout.write(text)
        sys.stdout.flush()

    def _note(self, text: str) -> None:
        self._notes.print(text, style="dim", markup=False)
