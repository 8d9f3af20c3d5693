"""The layers of a Transformer language model, from scratch."""

from nn import accounting as accounting
from nn.attention import MultiHeadSelfAttention as MultiHeadSelfAttention
from nn.attention import causal_attention as causal_attention
from nn.attention import causal_mask as causal_mask
from nn.attention import scaled_dot_product_attention as scaled_dot_product_attention
from nn.block import TransformerBlock as TransformerBlock
from nn.config import ModelConfig as ModelConfig
from nn.cross_entropy import cross_entropy as cross_entropy
from nn.cross_entropy import linear_cross_entropy as linear_cross_entropy
from nn.cross_entropy import perplexity as perplexity
from nn.embedding import Embedding as Embedding
from nn.embedding import embedding as embedding
from nn.ffn import SiLUFFN as SiLUFFN
from nn.ffn import SwiGLU as SwiGLU
from nn.ffn import silu as silu
from nn.ffn import swiglu as swiglu
from nn.kv_cache import KVCache as KVCache
from nn.linear import Linear as Linear
from nn.linear import linear as linear
from nn.rms_norm import RMSNorm as RMSNorm
from nn.rms_norm import rms_norm as rms_norm
from nn.rope import RotaryPositionalEmbedding as RotaryPositionalEmbedding
from nn.rope import rope as rope
from nn.saving import ModelFileError as ModelFileError
from nn.softmax import softmax as softmax
from nn.transformer import TransformerLM as TransformerLM
