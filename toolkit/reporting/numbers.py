"""Numbers in sentences and tables."""

from __future__ import annotations


def format_number(value: float, digits: int = 3, *, sign: bool = False) -> str:
    """Fixed-point, and scientific where that would show nothing: a probability of 1.7e-05 is not 0.000.

    Args:
        value: Any finite number.
        digits: Digits behind the point.
        sign: A plus before what is above zero.

    Example:
        >>> format_number(0.5), format_number(-1.7e-5), format_number(0.25, sign=True), format_number(-0.0)
        ('0.500', '-1.7e-05', '+0.250', '0.000')
    """
    if value == 0:
        return f"{0.0:.{digits}f}"
    kind = f".{digits}f" if abs(value) >= 10.0**-digits else ".1e"
    return f"{value:{'+' if sign else ''}{kind}}"
