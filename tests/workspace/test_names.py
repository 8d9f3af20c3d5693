"""No public index can satisfy a package of ours: strangers own some of the names there."""

import importlib.metadata
import os
import re
import subprocess
import tomllib

import pytest
from workspace.project import PACKAGES, ROOT, manifest

LOCAL = "+groundup"
UV = os.environ.get("UV", "uv")


@pytest.mark.parametrize("package", PACKAGES)
def test_package_has_a_local_version(package: str) -> None:
    assert manifest(package)["project"]["version"].endswith(LOCAL)


@pytest.mark.parametrize("package", PACKAGES)
def test_siblings_are_pinned_to_their_local_version(package: str) -> None:
    project = manifest(package)["project"]
    requirements = list(project["dependencies"])
    for extra in project.get("optional-dependencies", {}).values():
        requirements += extra
    siblings = [
        requirement
        for requirement in requirements
        if re.split(r"[^A-Za-z0-9_-]", requirement)[0] in PACKAGES
    ]
    for requirement in siblings:
        name, _, version = requirement.partition("==")
        sibling = name.split("[")[0]
        assert version == manifest(sibling)["project"]["version"], requirement


@pytest.mark.parametrize("package", PACKAGES)
def test_siblings_come_from_the_workspace(package: str) -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    sources = [entry["source"] for entry in lock["package"] if entry["name"] == package]
    assert sources == [{"editable": f"packages/{package}"}]


@pytest.mark.parametrize("package", PACKAGES)
def test_package_carries_what_a_package_needs(package: str) -> None:
    folder = ROOT / "packages" / package
    for name in ("README.md", "CHANGELOG.md", f"src/{package}/py.typed"):
        assert (folder / name).is_file(), name
    assert manifest(package)["build-system"]["build-backend"] == "uv_build"
    assert manifest(package)["project"]["requires-python"] == ">=3.11"


def test_lock_is_complete_and_hashed() -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    for entry in lock["package"]:
        if "registry" not in entry["source"]:
            continue
        files = [*entry.get("wheels", []), *([entry["sdist"]] if "sdist" in entry else [])]
        assert files, entry["name"]
        assert all(file["hash"].startswith("sha256:") for file in files), entry["name"]


def test_lock_matches_the_manifests() -> None:
    finished = subprocess.run(
        ["uv", "lock", "--check", "--offline"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


def test_no_other_command_of_the_environment_has_the_name_of_ours() -> None:
    ours = {path.name for path in (ROOT / "packages").iterdir() if path.is_dir()}
    commands: dict[str, set[str]] = {}
    for distribution in importlib.metadata.distributions():
        for entry in distribution.entry_points.select(group="console_scripts"):
            commands.setdefault(entry.name, set()).add(distribution.name)
    shared = {name: owners for name, owners in commands.items() if owners & ours and owners - ours}
    assert not shared
