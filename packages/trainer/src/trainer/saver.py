"""When a run is saved: at its steps, and once more when a signal or a bad number ends it."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from torch.nn import Module
from torch.optim import Optimizer

from trainer import checkpoints, retention
from trainer.checkpoints import Counters
from trainer.nonfinite import NonFiniteError
from trainer.signals import StopRequested
from trainer.team import Team


class Saver:
    """Write the checkpoints of one run and delete those that it no longer needs.

    `whole` returns the model and the optimizers with all of their state. Of a `team`, all processes
    call the same methods, and the first one writes.
    """

    def __init__(
        self,
        root: Path,
        whole: Callable[[], tuple[Module, Sequence[Optimizer]]],
        *,
        identity: Mapping[str, str],
        keep: int,
        warn: Callable[[str], None],
        team: Team | None = None,
    ) -> None:
        root.mkdir(exist_ok=True)
        self._root = root
        self._whole = whole
        self._team = team or Team()
        self._identity = identity
        self._keep = keep
        self._warn = warn
        self._seconds: dict[int, float] = {}
        # What the first process finds: all must save at the same steps.
        self.best_loss = self._team.gather(retention.best_loss(root))[0][0]

    def save(self, counters: Counters, val_loss: float | None = None) -> None:
        """Save the run as it is, with the validation loss of these weights if it is known."""
        begun = time.perf_counter()
        model, optimizers = self._whole()
        if self._team.leads:
            checkpoints.save(
                self._root,
                model,
                optimizers,
                counters=counters,
                identity=self._identity,
                val_loss=val_loss,
            )
        self._seconds = {counters.step: time.perf_counter() - begun}
        if val_loss is not None:
            self.best_loss = min(self.best_loss, val_loss)
        if self._team.leads:
            for failure in retention.keep(self._root, self._keep):
                self._warn(failure)
        # A process that ended now might take with it the one that still writes.
        self._team.gather(0)

    @contextlib.contextmanager
    def last_good_step(self, done: Counters, current: Callable[[], Counters]) -> Iterator[None]:
        """Save the last step that was counted when the block is ended by a signal or a bad number.

        `done` are the counters that the run went on from.
        """
        try:
            yield
        except StopRequested as stop:
            raise StopRequested(stop.number, self._save_last(done.step, current())) from None
        except NonFiniteError as error:
            try:
                saved = self._save_last(done.step, current())
            except NonFiniteError as worse:
                saved = str(worse)
            raise NonFiniteError(f"{error}; {saved}") from None

    def _save_last(self, begun_at: int, counters: Counters) -> str:
        step = counters.step
        if step == begun_at:
            return f"nothing is lost: step {step} was saved before" if step else "no step was taken"
        if step not in self._seconds:
            self.save(counters)
        return f"saved step {step} in {self._seconds[step]:.1f} s"
