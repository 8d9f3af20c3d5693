"""The two range checks of the optimizers' hyperparameters. A NaN is in no range."""


def check_not_negative(name: str, value: float) -> None:
    """Raise ValueError unless `value` is a finite number of at least zero."""
    if not 0.0 <= value < float("inf"):
        raise ValueError(f"{name}={value!r} must be a finite number, at least 0")


def check_between(name: str, value: float, low: float, high: float) -> None:
    """Raise ValueError unless `value` is in [low, high)."""
    if not low <= value < high:
        raise ValueError(f"{name}={value!r} must be in [{low:g}, {high:g})")
