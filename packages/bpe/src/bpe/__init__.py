"""Byte-level BPE: train a vocabulary, encode text, decode ids, read and write the usual formats."""

from bpe.count_files import count_pretokens as count_pretokens
from bpe.patterns import PATTERNS as PATTERNS
from bpe.pretoken_counts import PretokenCounts as PretokenCounts
from bpe.tokenizer import Tokenizer as Tokenizer
from bpe.training import TrainingProgress as TrainingProgress
from bpe.training import train_bpe as train_bpe
from bpe.training import train_bpe_from_counts as train_bpe_from_counts
