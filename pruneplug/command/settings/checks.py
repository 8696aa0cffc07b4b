"""How a setting's value is refused."""

from collections.abc import Sequence


def require(allowed: bool, key: str, rule: str, value: object) -> None:
    """Refuse a setting's value unless it is allowed.

    Args:
        allowed: Whether the value is acceptable.
        key: The setting as the user writes it, e.g. `trainer.epochs`.
        rule: What the value must do, e.g. `be at least 1`.
        value: The value received.

    Raises:
        ValueError: If `allowed` is false.
    """
    if not allowed:
        raise ValueError(f"{key} must {rule}; got {key}={value}.")


def require_fraction(key: str, value: float) -> None:
    """Refuse a value outside [0, 1)."""
    require(0 <= value < 1, key, "lie in [0, 1)", value)


def require_positive(key: str, value: float) -> None:
    """Refuse a value that is not above 0."""
    require(value > 0, key, "be above 0", value)


def require_count(key: str, value: int) -> None:
    """Refuse a number below 1."""
    require(value >= 1, key, "be at least 1", value)


def require_counts(key: str, values: Sequence[int]) -> None:
    """Refuse a list with a number below 1 in it."""
    require(all(value >= 1 for value in values), key, "hold numbers of at least 1", values)


def require_word(key: str, value: str, words: Sequence[str]) -> None:
    """Refuse a word that is not in a list."""
    require(value in words, key, f"be one of {', '.join(words)}", value)


def require_point(key: str, value: float | None, least: int) -> None:
    """Refuse a point of the training that is neither steps (int) nor a fraction of it (float)."""
    if isinstance(value, float):
        require(0 <= value <= 1, key, "lie in [0, 1] as a fraction, or be whole steps", value)
    elif value is not None:
        require(value >= least, key, f"be at least {least} as whole steps", value)
