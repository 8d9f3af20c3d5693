"""A batch given in tokens, and in sequences at once, as the sizes that the loop works with."""


def resolve_batch(
    batch_size: int,
    gradient_accumulation: int,
    batch_tokens: int | None,
    micro_batch_size: int | None,
    context_length: int,
) -> tuple[int, int]:
    """Return the sequences of a step and its parts; tokens and sequences at once decide if given.

    Raises ValueError with one line for sizes that do not divide each other.
    """
    if batch_tokens is not None:
        if batch_tokens < context_length or batch_tokens % context_length:
            below = max(1, batch_tokens // context_length) * context_length
            raise ValueError(
                f"batch_tokens={batch_tokens} is not a multiple of "
                f"model.context_length={context_length}: give {below} or {below + context_length}"
            )
        batch_size = batch_tokens // context_length
    if micro_batch_size is not None:
        if micro_batch_size < 1 or batch_size % micro_batch_size:
            raise ValueError(
                f"batch_size={batch_size} is not divisible by micro_batch_size={micro_batch_size}"
            )
        gradient_accumulation = batch_size // micro_batch_size
    return batch_size, gradient_accumulation
