"""Data files travel by glob; what looks like a secret never does."""

from __future__ import annotations

from pathlib import Path

from manycore.client.datafiles import find_data

SECRETS = [
    ".env", ".env.local", "server.key", "cert.pem", "id_rsa", "secrets/url", ".git/config", ".ssh/id", ".netrc",
    "my_credentials.json", "venv/x.json", "api_token.txt", "__pycache__/m.pyc", "deep/.hidden/x.json",
]  # fmt: skip


def test_secrets_never_travel_whatever_the_globs_say(tmp_path: Path) -> None:
    for name in [*SECRETS, "data/a.json", "plain.txt"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "out.json").symlink_to("/etc/hostname")
    data = find_data([str(tmp_path)], ["**/*", "**/.*", ".*", "*"], [])
    assert set(data) == {"data/a.json", "plain.txt"}


def test_data_files_come_by_glob_and_stay_by_glob(tmp_path: Path) -> None:
    for name in ("data/a.json", "data/b.json", "data/c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert set(find_data([str(tmp_path)], ["data/*.json"], ["data/b*"])) == {"data/a.json"}
