"""The screen while the model learns: a bar with the numbers of the moment, evaluations, samples."""

from collections.abc import Mapping

from trainer.display import Display


class TrainingScreen:
    """Show the steps from `first` to `total` on `display`."""

    def __init__(self, display: Display, total: int, first: int) -> None:
        self._display = display
        self._total = total
        self._step = first
        self._numbers = ""
        self._val_loss: float | None = None
        self._meter = display.progress("training", total)

    def __enter__(self) -> "TrainingScreen":
        self._meter.__enter__()
        self._meter.update(self._step)
        return self

    def __exit__(self, *_: object) -> None:
        self._meter.__exit__()

    def step(self, step: int) -> None:
        """Count a step that has been taken."""
        self._step = step
        self._meter.update(step, self._note())

    def numbers(self, row: Mapping[str, float]) -> None:
        """Take over the numbers of a logged step."""
        speed = row["tokens_per_second"]
        self._numbers = f"loss {row['train_loss']:.3f}  {speed:,.0f} tokens/s"
        self._meter.update(self._step, self._note())

    def evaluating(self, done: int, windows: int) -> None:
        """Say that the steps wait for an evaluation, and how far that is."""
        self._meter.update(self._step, f"evaluating {done / windows:.0%}")

    def evaluation(self, row: Mapping[str, float]) -> None:
        """Print the losses of an evaluation."""
        self._val_loss = row["val_loss"]
        self._display.evaluation(int(row["step"]), row["train_loss"], row["val_loss"])
        self._meter.update(self._step, self._note())

    def sample(self, step: int, text: str) -> None:
        """Print what the model writes at this step."""
        self._display.sample(f"step {step}", text)

    def _note(self) -> str:
        val = "" if self._val_loss is None else f"  val {self._val_loss:.3f}"
        return f"{self._step}/{self._total}  {self._numbers.replace('  ', val + '  ', 1)}"
