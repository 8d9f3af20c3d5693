"""The subcommands of `trainer`.

What they need is imported late: torch takes seconds, and an unknown word needs none of it.
"""

from collections.abc import Callable, Sequence
from functools import partial

from trainer.words import unknown_word

COMMANDS = {
    "prepare": "from text, fetched or yours: split it, train a tokenizer, encode",
    "evaluate": "measure a run's model on all of its validation text",
    "verify": "compare a run's checkpoints with their manifests",
    "export": "write a run's model and tokenizer for transformers",
    "report": "compare runs: one page that needs no network, and pictures",
    "log": "write the experiment log of all runs, or conclude something from one",
}


def show_help() -> None:
    """Print what commands there are."""
    print("usage: trainer COMMAND [--flag value ...]\n")
    for name, what in COMMANDS.items():
        print(f"  trainer {name:<10}{what}")
    print("\n`trainer COMMAND --help` lists its flags; `train` trains.")


def find_command(name: str) -> Callable[[Sequence[str]], None]:
    """Load a subcommand, which takes its arguments; raise ValueError for one that is not known."""
    if name not in COMMANDS:
        otherwise = f"there are {', '.join(COMMANDS)}"
        raise ValueError(unknown_word("command", name, COMMANDS, otherwise=otherwise))
    from trainer.flags import parse

    prog = f"trainer {name}"
    if name == "prepare":
        from trainer.prepare_command import prepare_command

        return partial(prepare_command, prog=prog)
    if name == "evaluate":
        from trainer.evaluate_command import EvaluateFlags, evaluate_command

        return lambda arguments: evaluate_command(parse(arguments, EvaluateFlags(), prog=prog))
    if name == "verify":
        from trainer.verify_command import VerifyFlags, verify_command

        return lambda arguments: verify_command(parse(arguments, VerifyFlags(), prog=prog))
    if name == "export":
        from trainer.export_command import ExportFlags, export

        return lambda arguments: export(parse(arguments, ExportFlags(), prog=prog))
    if name == "report":
        from trainer.report.command import ReportFlags, report

        return lambda arguments: report(parse(arguments, ReportFlags(), prog=prog))
    from trainer.log.command import log_command

    return partial(log_command, prog=prog)
