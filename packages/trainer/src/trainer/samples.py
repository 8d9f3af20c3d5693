"""Text that the model writes on the way: where it starts, how it is drawn, where it ends."""

from collections.abc import Callable

from bpe import Tokenizer
from bpe.token_file import TokenArray
from nn import TransformerLM
from sampling import SamplingConfig, stream
from trainer.config import SampleConfig

# Without documents a sample goes on from this many tokens of the validation text.
PROMPT_TOKENS = 8
# Where documents are looked for.
FIRST_TOKENS = 100_000


class Sampler:
    """Ask the model for text, always from the same beginning.

    Without a prompt in the configuration that is the separator, which asks for a new document, if
    the text is made of documents; else the first words of the validation text. `model` may be
    replaced by another one of the same configuration.
    """

    def __init__(
        self,
        model: TransformerLM,
        tokenizer: Tokenizer,
        config: SampleConfig,
        separator: str,
        valid: TokenArray,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.config = config
        self.separator_id = tokenizer.special_tokens[separator]
        if config.prompt:
            self.prompt = tokenizer.encode(config.prompt)
        elif (valid[:FIRST_TOKENS] == self.separator_id).any():
            self.prompt = [self.separator_id]
        else:
            self.prompt = [int(token) for token in valid[:PROMPT_TOKENS]]
        if len(self.prompt) > model.config.context_length:
            raise ValueError(
                f"sample.prompt has {len(self.prompt)} tokens, more than "
                f"model.context_length={model.config.context_length}"
            )

    def write(self, *, seed: int, check: Callable[[], None] = lambda: None) -> str:
        """Return the prompt and what follows it, up to the end of the document.

        `check` is called before each token, and may raise.
        """
        settings = SamplingConfig(
            temperature=self.config.temperature,
            top_p=self.config.top_p,
            max_tokens=self.config.max_tokens,
            stop_tokens=(self.separator_id,),
            seed=seed,
        )
        written = [token for token in self.prompt if token != self.separator_id]
        check()
        for token in stream(self.model, self.prompt, settings, tokenizer=self.tokenizer):
            written.append(token)
            check()
        return self.tokenizer.decode(written).strip("\n")
