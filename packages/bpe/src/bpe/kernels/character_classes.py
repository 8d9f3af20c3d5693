"""Which class each code point is of, asked of the `regex` module, so that no engine can disagree.

    table   4352 x uint16   for each 256 code points, the number of their row
            rows x 256 bytes, the classes; row 0 is that of U+0000 to U+00FF

Building the table takes about 50 ms; `library` caches it per version of `regex`.
"""

import numpy as np
import regex

LETTER = 1
NUMBER = 2
SPACE = 4
# Carriage return and line feed, which are SPACE too.
BREAK = 8
# What may stand in the front part and in the rear part of a word of o200k. Letters that have no
# case stand in both, and so do marks, which are no letters.
FRONT = 16
REAR = 32
# Of no code point: given for bytes that are not UTF-8.
INVALID = 64

NUM_CODE_POINTS = 0x110000
ROW_BYTES = 2 * NUM_CODE_POINTS // 256

_EXPRESSIONS = {
    LETTER: r"\p{L}",
    NUMBER: r"\p{N}",
    SPACE: r"\s",
    BREAK: r"[\r\n]",
    FRONT: r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]",
    REAR: r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]",
}


def build_table() -> bytes:
    """Return the table as bytes."""
    # UTF-8 has no surrogates; a letter in their place would join runs, so a control stands there.
    code_points = np.arange(NUM_CODE_POINTS, dtype="<u4")
    code_points[0xD800:0xE000] = 0
    text = code_points.tobytes().decode("utf-32-le")
    classes = np.zeros(NUM_CODE_POINTS, np.uint8)
    for bit, expression in _EXPRESSIONS.items():
        for run in regex.finditer(f"{expression}+", text):
            classes[run.start() : run.end()] |= bit
    numbers: dict[bytes, int] = {}
    rows = classes.reshape(-1, 256)
    index = [numbers.setdefault(row.tobytes(), len(numbers)) for row in rows]
    return np.array(index, "<u2").tobytes() + b"".join(numbers)
