"""Byte-level BPE: train a vocabulary, encode text, decode ids, read and write the usual formats."""

from bpe.patterns import PATTERNS as PATTERNS
from bpe.tokenizer import Tokenizer as Tokenizer
from bpe.training import TrainingProgress as TrainingProgress
from bpe.training import train_bpe as train_bpe
