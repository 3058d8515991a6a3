"""`manycore exporter`: metrics for Prometheus, over HTTP."""

from __future__ import annotations

import signal
import threading
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import click

from manycore.cli.terminal import example, in_words

if TYPE_CHECKING:
    from manycore.protocol.settings import Settings

PORT = 9540


@click.command(epilog=example("manycore exporter --port 9540"), short_help="Serve metrics for Prometheus.")
@click.option("--address", default="127.0.0.1", help="Where it listens.")
@click.option("--port", type=click.IntRange(0, 65_535), default=PORT, help="0: any that is free.")
@click.option("--url", metavar="ADDRESS", help="The server.  [default: MANYCORE_URL, MANYCORE_URL_FILE]")
@click.option(
    "--probe", metavar="SECONDS", type=click.FloatRange(0), default=0, help="Call each fleet so often; 0: never."
)
@click.option(
    "--probe-secrets",
    metavar="FOLDER",
    type=Path,
    help="With `url` and `key` for the probe.  [default: what --url and MANYCORE_KEY_FILE say]",
)
def exporter(address: str, port: int, url: str | None, probe: float, probe_secrets: Path | None) -> None:
    """Serve metrics of the cluster at http://ADDRESS:PORT/metrics until Ctrl-C or SIGTERM.

    It reads the server at each scrape, and needs no signing key but for --probe. A server that is away shows as
    `manycore_up 0`.
    """
    if not isfinite(probe):
        raise click.BadParameter("--probe is a number of seconds")
    with in_words():
        settings = _settings(url)
        callers = _callers(settings, probe_secrets) if probe else None
    try:
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError as exc:
        raise click.ClickException(
            "prometheus-client is not installed here. "
            "Next: pip install prometheus-client, or '.[stack]' in a copy of the repository."
        ) from exc
    from manycore.metrics.collector import ClusterCollector
    from manycore.protocol.broker import BRIEF_SECONDS, connect

    stopped = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: stopped.set())
    registry = CollectorRegistry()
    registry.register(ClusterCollector(connect(settings, BRIEF_SECONDS)))
    if callers is not None:
        from manycore.metrics.probe import Probe

        prober = Probe(callers, probe)
        registry.register(prober)
        prober.start()
    try:
        server, _ = start_http_server(port, address, registry)
    except OSError as exc:
        raise click.ClickException(f"{address}:{port} cannot be listened at: {exc.strerror or exc}.") from exc
    click.echo(f"Metrics at http://{address}:{server.server_port}/metrics. Ctrl-C ends it.", err=True)
    stopped.wait()
    server.shutdown()


def _callers(settings: Settings, secrets: Path | None) -> Settings:
    """What a probe calls with: it may do more than read. Raises `SettingsError`, or `SigningKeyMissing`."""
    from manycore.errors import SettingsError
    from manycore.protocol.settings import load_settings

    if secrets is not None:
        try:
            url = (secrets / "url").read_text().strip()
        except OSError as exc:
            raise SettingsError(f"The address for the probe is not in {secrets}: {exc.strerror}.") from exc
        settings = load_settings(url=url, key_file=secrets / "key")
    settings.keyring()
    return settings


def _settings(url: str | None) -> Settings:
    from manycore.protocol.settings import at_server, load_settings

    return at_server(load_settings(url=url))
