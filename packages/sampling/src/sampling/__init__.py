"""Text from a language model: filters, generate, stream."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sampling.config import SamplingConfig as SamplingConfig
    from sampling.decoder import LogitsError as LogitsError
    from sampling.drawing import draw as draw
    from sampling.filters import apply_filters as apply_filters
    from sampling.filters import min_p as min_p
    from sampling.filters import repetition_penalty as repetition_penalty
    from sampling.filters import temperature as temperature
    from sampling.filters import top_k as top_k
    from sampling.filters import top_p as top_p
    from sampling.generation import generate as generate
    from sampling.generation import stream as stream
    from sampling.run_directory import RunDamagedError as RunDamagedError
    from sampling.run_directory import RunError as RunError
    from sampling.run_directory import load_run as load_run
    from sampling.text import TextStream as TextStream
    from sampling.text import generate_text as generate_text
    from sampling.text import stream_text as stream_text

__all__ = [
    "LogitsError",
    "RunDamagedError",
    "RunError",
    "SamplingConfig",
    "TextStream",
    "apply_filters",
    "draw",
    "generate",
    "generate_text",
    "load_run",
    "min_p",
    "repetition_penalty",
    "stream",
    "stream_text",
    "temperature",
    "top_k",
    "top_p",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    # Names are imported when they are asked for: torch takes seconds, and the commands have
    # something to say, and to set, before it has come.
    homes = {
        "SamplingConfig": "config",
        "LogitsError": "decoder",
        "draw": "drawing",
        "apply_filters": "filters",
        "min_p": "filters",
        "repetition_penalty": "filters",
        "temperature": "filters",
        "top_k": "filters",
        "top_p": "filters",
        "generate": "generation",
        "stream": "generation",
        "RunDamagedError": "run_directory",
        "RunError": "run_directory",
        "load_run": "run_directory",
        "TextStream": "text",
        "generate_text": "text",
        "stream_text": "text",
    }
    if name not in homes:
        raise AttributeError(f"module 'sampling' has no attribute {name!r}")
    return getattr(import_module(f"sampling.{homes[name]}"), name)
