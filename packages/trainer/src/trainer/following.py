"""What all processes of a run but the first do: the same steps, and nothing that is seen."""

import dataclasses
from pathlib import Path

from rich.console import Console

from trainer import checkpoints
from trainer.config import TrainConfig
from trainer.display import Display
from trainer.distributed import ProcessTeam, host
from trainer.flags import config_from_mapping
from trainer.loop import train
from trainer.prepared import PreparedData, open_prepared
from trainer.run_directory import FollowedRun
from trainer.signals import StopSignals


def follow(team: ProcessTeam) -> None:
    """Train as the first process says.

    Raises ValueError if this machine does not have the same data, or no device.
    """
    with StopSignals(team.agree_on_signal) as stop:
        plan = team.hear_plan()
        if plan is None:
            return
        config = config_from_mapping(plan["config"], Path("the first process"))
        device = team.device(config.device)
        data = _open_data(Path(plan["data"]), plan["identity"])
        resume_from = None
        if plan["checkpoint"] is not None:
            resume_from = checkpoints.verify(Path(plan["checkpoint"]))
        train(
            dataclasses.replace(config, track=(), log_norms=False, profile=0),
            _run_of(config),
            data,
            device,
            Display(Console(quiet=True)),
            identity=plan["identity"],
            resume_from=resume_from,
            stop=stop,
            team=team,
        )


def _open_data(directory: Path, identity: dict[str, str]) -> PreparedData:
    if not directory.exists():
        raise ValueError(
            f"{directory.absolute()} is not on {host()}: every machine must see the data and the "
            f"run directory under the same path"
        )
    data = open_prepared(directory)
    for key, value in data.identity.items():
        if identity[key] != value:
            raise ValueError(f"{directory} on {host()} has other {key} than the first process's")
    return data


def _run_of(config: TrainConfig) -> FollowedRun:
    assert config.run_dir is not None
    if not config.run_dir.exists():
        raise ValueError(
            f"{config.run_dir.absolute()} is not on {host()}: every machine must see the data and "
            f"the run directory under the same path"
        )
    return FollowedRun(config.run_dir)
