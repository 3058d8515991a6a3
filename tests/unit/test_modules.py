"""Which modules travel: those of this process that are not installed, with all that they import."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from pathlib import Path
from zipfile import ZipFile

import pytest

from manycore.client.edits import Edits
from manycore.client.modules import find_modules, imports_of, is_installed
from manycore.protocol import archive
from manycore.protocol.signing import Keyring, generate_key
from tests.modules import write

KEYRING = Keyring([generate_key().encode()])


def found(*prefixes: str) -> set[str]:
    return {path for path in find_modules().files if path.startswith(prefixes)}


def test_a_module_beside_the_script_travels(project: Path) -> None:
    write(project, tm_one="x = 1")
    importlib.import_module("tm_one")
    assert found("tm_") == {"tm_one.py"}


def test_so_does_what_it_imports_inside_a_function(project: Path) -> None:
    write(
        project,
        tm_one="def f():\n    import tm_two as two, os\n    from tm_three import x\n",
        tm_two="",
        tm_three="x=1",
    )
    importlib.import_module("tm_one")
    assert found("tm_") == {"tm_one.py", "tm_two.py", "tm_three.py"}


def test_a_package_travels_whole(project: Path) -> None:
    write(
        project, tm_pkg__of____init__="", tm_pkg__of__a="", tm_pkg__of__sub__of____init__="", tm_pkg__of__sub__of__b=""
    )
    importlib.import_module("tm_pkg.a")
    assert found("tm_") == {f"tm_pkg/{name}.py" for name in ("__init__", "a", "sub/__init__", "sub/b")}


def test_of_a_namespace_package_travels_what_is_imported(project: Path) -> None:
    write(project, tm_space__of__a="", tm_space__of__b="")
    importlib.import_module("tm_space.a")
    assert found("tm_") == {"tm_space/a.py"}


def test_so_does_what_is_named_of_it(project: Path) -> None:
    write(
        project,
        tm_one="def f():\n    from tm_space.deep import b, name\n    import tm_space.pkg\n",
        tm_space__of__deep__of__b="def g():\n    from . import c\n",
        tm_space__of__deep__of__c="",
        tm_space__of__pkg__of____init__="",
        tm_space__of__pkg__of__x="",
        tm_space__of__not_this="",
    )
    importlib.import_module("tm_one")
    within = {"deep/b", "deep/c", "pkg/__init__", "pkg/x"}
    assert found("tm_") == {"tm_one.py", *(f"tm_space/{name}.py" for name in within)}


def test_an_editable_install_is_found(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its folder is not on the path, setuptools installs a finder; another one is not asked."""
    write(project, tm_one="def f(): import tm_flat, tm_other", elsewhere__of__whatever="")

    class Finder:
        __module__ = "__editable___project_1_0_finder"

        @classmethod
        def find_spec(cls, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
            file = project / "elsewhere" / "whatever.py"
            return importlib.util.spec_from_file_location(name, file) if name == "tm_flat" else None

    class Other(Finder):
        __module__ = "builds_and_downloads"

        @classmethod
        def find_spec(cls, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
            raise AssertionError(name)

    importlib.import_module("tm_one")
    for finder in (Finder, Other):
        monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, finder])
    assert found("tm_") == {"tm_one.py", "tm_flat.py"}


def test_links_to_packages_are_followed_but_not_round_in_circles(project: Path) -> None:
    write(project, tm_pkg__of____init__="", shared__of____init__="", shared__of__x="", data__of__y="")
    for name, target in {"shared": "../shared", "data": "../data", "back": "."}.items():
        (project / "tm_pkg" / name).symlink_to(target)
    importlib.import_module("tm_pkg")
    assert found("tm_") == {"tm_pkg/__init__.py", "tm_pkg/shared/__init__.py", "tm_pkg/shared/x.py"}


def test_what_no_archive_may_hold_stays(project: Path) -> None:
    """Else workers would refuse the whole of it."""
    write(project, tm_pkg__of____init__="", **{f"tm_pkg__of__{'d' * 200}__of__{'e' * 200}": ""})
    for name in ("a\nb.py", "a\\b.py"):
        (project / "tm_pkg" / name).touch()
    os.mkfifo(project / "tm_pkg" / "pipe.py")
    importlib.import_module("tm_pkg")
    for name in (str(project / "tm_pkg/x.py"), "", "tm_..x", "tm_x."):
        spec = importlib.util.spec_from_file_location(name, project / "tm_pkg/__init__.py")
        assert spec is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
    assert found("tm_", "/", "..", ".") == {"tm_pkg/__init__.py"}


def test_modules_in_a_zip_are_found_and_read(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lib = project / "lib.zip"

    def pack(text: str) -> None:
        with ZipFile(lib, "w") as made:
            for name in ("tm_zipped.py", "tm_packed/__init__.py", "tm_packed/deep/a.py", "tm_packed/data.txt"):
                made.writestr(name, text if name == "tm_zipped.py" else "")

    pack("import tm_packed")
    monkeypatch.syspath_prepend(str(lib))
    importlib.import_module("tm_zipped")
    assert found("tm_") == {"tm_zipped.py", "tm_packed/__init__.py", "tm_packed/deep/a.py"}
    look = find_modules()
    assert look.read()["tm_zipped.py"] == b"import tm_packed"
    pack("import tm_packed, os")
    assert Edits().in_any_of(look.files)
    lib.write_bytes(b"no zip any more")
    assert "tm_zipped.py" not in look.read()


def test_what_is_compiled_travels_as_it_is(project: Path) -> None:
    suffix = EXTENSION_SUFFIXES[0]
    write(project, tm_pkg__of____init__="import tm_fast")
    for name in ("tm_fast", "tm_pkg/_inner"):
        (project / f"{name}{suffix}").write_bytes(b"")
    importlib.invalidate_caches()
    with pytest.raises(ImportError):
        importlib.import_module("tm_pkg")
    write(project, tm_pkg__of____init__="def f(): import tm_fast")
    importlib.import_module("tm_pkg")
    assert found("tm_") == {"tm_pkg/__init__.py", f"tm_fast{suffix}", f"tm_pkg/_inner{suffix}"}
    assert archive.module_of(f"tm_fast{suffix}") == "tm_fast"


def test_a_module_that_was_loaded_from_a_file_travels_under_its_own_name(project: Path) -> None:
    write(project, whatever="x = 1")
    spec = importlib.util.spec_from_file_location("tm_given.name", project / "whatever.py")
    assert spec is not None
    sys.modules["tm_given.name"] = importlib.util.module_from_spec(spec)
    assert found("tm_") == {"tm_given/name.py"}


def test_neither_the_standard_library_nor_what_is_installed_nor_we_ourselves_travel() -> None:
    files = find_modules().files
    assert not [
        path for path in files if path.split("/")[0].removesuffix(".py") in {"json", "pytest", "celery", "manycore"}
    ]
    assert is_installed(os.__file__)
    assert is_installed(str(pytest.__file__))


def test_version_control_caches_and_virtual_environments_of_a_package_stay(project: Path) -> None:
    write(project, tm_pkg__of____init__="")
    for folder in (".git", "__pycache__", "node_modules", "env"):
        write(project, **{f"tm_pkg__of__{folder}__of__x": ""})
    (project / "tm_pkg" / "env" / "pyvenv.cfg").touch()
    importlib.import_module("tm_pkg")
    assert found("tm_") == {"tm_pkg/__init__.py"}


def test_odd_things_in_sys_modules_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd:
        def __getattr__(self, name: str) -> object:
            raise RuntimeError(name)

    for name, thing in {"tm_odd": Odd(), "tm_none": None, "tm_number": 7}.items():
        monkeypatch.setitem(sys.modules, name, thing)
    assert found("tm_") == set()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("import a", {"a"}),
        ("import a.b, c as d", {"a.b", "c"}),
        ("import a; import b", {"a", "b"}),
        ("def f(n): import a; return a", {"a"}),
        ("import a, \\\n    b", {"a", "b"}),
        ("    from a.b import c", {"a.b", "a.b.c"}),
        ("from a import (  # why\n    b,  # because\n    c as d,\n)", {"a", "a.b", "a.c"}),
        ("from a import *", {"a"}),
        ("from .a import b\nfrom . import c\nfrom .import d", {"pkg", "pkg.a", "pkg.a.b", "pkg.c", "pkg.d"}),
        ("from .. import too_far", set()),
        ("import größe", {"größe"}),
        ("import json, os.path", set()),
        ("x = 'import a'  # import b", set()),
        ("try:\n\timport a\nexcept ImportError: pass", {"a"}),
    ],
)
def test_the_imports_of_a_file_are_read_as_text(tmp_path: Path, text: str, names: set[str]) -> None:
    path = tmp_path / "m.py"
    path.write_text(text)
    assert imports_of(str(path), (0, 0), "pkg") == names


def test_a_module_that_went_away_is_left_out(project: Path) -> None:
    write(project, tm_one="", tm_two="")
    importlib.import_module("tm_one")
    importlib.import_module("tm_two")
    (project / "tm_two.py").unlink()
    assert found("tm_") == {"tm_one.py"}
