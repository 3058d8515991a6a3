"""Metric families out of what was counted: labels' values -> a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric


def gauge(name: str, text: str, values: Mapping[Any, float], *labels: str) -> Metric:
    return _filled(GaugeMetricFamily(name, text, labels=labels), values)


def counter(name: str, text: str, values: Mapping[Any, float], *labels: str) -> Metric:
    """Its name as it is without `_total`."""
    return _filled(CounterMetricFamily(name, text, labels=labels), values)


def _text(label: str) -> str:
    """What is read from JSON can have halves of characters, which no text on the wire can."""
    return label.encode(errors="replace").decode()


def _filled(family: Any, values: Mapping[Any, float]) -> Metric:
    for labels, value in sorted(values.items()):
        family.add_metric([_text(label) for label in labels], value)
    metric: Metric = family
    return metric
