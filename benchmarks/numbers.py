"""Figures as people read them."""

from __future__ import annotations


def number(value: float) -> str:
    """Three digits or more: 1,234 or 12.3 or 0.123."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def brief(value: float) -> str:
    """At most five characters: 2.36M, 64.0k, 568, 12.3, 0.94, 0.077."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= unit * 0.9995:
            scaled = value / unit
            return f"{scaled:.0f}{name}" if scaled >= 99.95 else f"{scaled:.3g}{name}"
    if abs(value) >= 99.5:
        return f"{value:.0f}"
    if abs(value) >= 9.95:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.0995 else f"{value:.3f}"
