"""Build the trie of special tokens that `special_search` reads; the layout is drawn there."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

FIRST_BYTES_ARE_ALL = 4
NODE_OF_BYTE = 5
NODES = NODE_OF_BYTE + 256
NODE_WORDS = 4


def build_trie(specials: Mapping[str, int]) -> NDArray[np.int64]:
    """Return the trie of special tokens, none of them empty, and their ids as an array of words."""
    nodes = [[0, 0, 0, 0]]
    roots = [0] * 256
    for special, token_id in specials.items():
        data = special.encode()
        node = roots[data[0]] = roots[data[0]] or _add(nodes, data[0])
        for byte in data[1:]:
            node = _child(nodes, node, byte)
        nodes[node][1] = token_id << 32 | len(data)
    first_bytes = [byte for byte in range(256) if roots[byte]]
    few = (first_bytes * 4 or [0])[:4]
    head = [*few, *[0] * (4 - len(few)), int(0 < len(first_bytes) <= 4)]
    return np.array([*head, *roots, *(word for node in nodes for word in node)], np.int64)


def _child(nodes: list[list[int]], parent: int, byte: int) -> int:
    node = nodes[parent][2]
    while node and nodes[node][0] != byte:
        node = nodes[node][3]
    if not node:
        node = _add(nodes, byte)
        nodes[node][3] = nodes[parent][2]
        nodes[parent][2] = node
    return node


def _add(nodes: list[list[int]], byte: int) -> int:
    nodes.append([byte, 0, 0, 0])
    return len(nodes) - 1
