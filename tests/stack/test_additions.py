"""What a user adds to the stack, as the docs show it: packages of his own in the image, and another fleet."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from manycore import Cluster
from tests.stack.stack import ROOT, Stack, docker

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def image(stack: Stack) -> Iterator[str]:
    """The stack's image with two small packages, by the variable alone."""
    name = f"manycore:test-{secrets.token_hex(3)}"
    packages = "tomli-w==1.* roman>=4,<6"
    stack.compose("build", "--quiet", "init", MANYCORE_IMAGE=name, MANYCORE_EXTRA_PACKAGES=packages)
    yield name
    docker("image", "rm", "--force", name)


def with_gpu(folder: Path) -> str:
    """The compose file with the four lines that stand in it as a comment, and in docs/operations.md."""
    text = (ROOT / "docker-compose.yml").read_text()
    commented = "".join(re.findall(r"^  # (?: .*|gpu:)\n", text, re.MULTILINE))
    lines = commented.replace("  # ", "  ")
    assert len(lines.splitlines()) == 4
    assert f"```yaml\n{lines}```" in (ROOT / "docs/operations.md").read_text()
    path = folder / "docker-compose.yml"
    path.write_text(text.replace(commented, lines))
    return str(path)


def test_another_fleet_is_four_lines_and_its_image_has_the_packages_that_it_was_built_with(
    stack: Stack, connected: Cluster, image: str, tmp_path: Path
) -> None:
    def packages(number: int) -> tuple[str, str]:
        import roman  # type: ignore[import-not-found]
        import tomli_w  # type: ignore[import-not-found]

        return tomli_w.dumps({"n": number}), roman.toRoman(number)

    files = f"{with_gpu(tmp_path)}:{ROOT / 'tests/stack/override.yml'}"

    def compose(*arguments: str) -> None:
        stack.compose("--project-directory", str(ROOT), *arguments, "gpu", COMPOSE_FILE=files, MANYCORE_IMAGE=image)

    compose("up", "-d", "--wait", "--no-deps")
    try:
        batch = connected.batch(packages, range(1, 5), fleet="gpu")
        assert batch.gather() == [("n = 1\n", "I"), ("n = 2\n", "II"), ("n = 3\n", "III"), ("n = 4\n", "IV")]
        assert "# fleet gpu: 1 slot of 1 worker" in stack.command("env", "--secrets", str(stack.runs / "secrets"))
    finally:
        compose("rm", "--stop", "--force")
