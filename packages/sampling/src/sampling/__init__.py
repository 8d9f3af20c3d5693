"""Text from a language model: filters, generate, stream."""

from sampling.config import SamplingConfig as SamplingConfig
from sampling.decoder import LogitsError as LogitsError
from sampling.drawing import draw as draw
from sampling.filters import apply_filters as apply_filters
from sampling.filters import min_p as min_p
from sampling.filters import repetition_penalty as repetition_penalty
from sampling.filters import temperature as temperature
from sampling.filters import top_k as top_k
from sampling.filters import top_p as top_p
from sampling.generate import generate as generate
from sampling.generate import stream as stream
from sampling.run_directory import RunDamagedError as RunDamagedError
from sampling.run_directory import RunError as RunError
from sampling.run_directory import load_run as load_run
from sampling.text import TextStream as TextStream
from sampling.text import generate_text as generate_text
from sampling.text import stream_text as stream_text
