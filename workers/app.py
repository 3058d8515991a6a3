"""Makes the Celery application of a fleet: checked settings, the stack's tasks, and a pulse for the health check."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import replace

from celery import Celery

from manycore.protocol.settings import Settings, load_settings
from manycore.worker.app import create_worker_app
from manycore.worker.checks import check_server, check_settings
from workers.pulse import PulseStep

TASKS = "tasks"
"""The package whose modules are loaded when MANYCORE_TASKS names none: ours, or what is mounted in its place."""


def create_fleet_app() -> Celery:
    """The application of a worker of this stack. Raises a `ManycoreError` that says what keeps it from starting."""
    settings = with_tasks(load_settings())
    check_settings(settings)
    check_server(settings)
    app = create_worker_app(settings)
    app.steps["consumer"].add(PulseStep)
    return app


def with_tasks(settings: Settings) -> Settings:
    """Settings that name tasks: every module of the package `tasks`, unless they name some already."""
    return settings if settings.tasks else replace(settings, tasks=modules_of(TASKS))


def modules_of(package: str) -> tuple[str, ...]:
    """The modules in a package's folder, by full name; none if there is no such package."""
    try:
        folders = importlib.import_module(package).__path__
    except ImportError:
        return ()
    return tuple(f"{package}.{module.name}" for module in pkgutil.iter_modules(folders))
