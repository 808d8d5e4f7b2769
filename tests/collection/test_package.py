"""The contents of the collection's tarball."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path, PurePosixPath

import pytest

pytestmark = pytest.mark.xdist_group("package")
FOREIGN = re.compile(
    r"(^|/)(__pycache__|\.[a-z_]+_cache|\.hypothesis|\.ansible|\.git|output|dist)(/|$)|\.(pyc|gz|log|xml)$"
)
SECRET = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}|\$ANSIBLE_VAULT;|client-key-data: \S{20}"
    rb"|\beyJhbGciOi[A-Za-z0-9_-]{10,}\.|\b(ghp|glpat|AKIA)[_A-Za-z0-9-]{16,}"
)


@pytest.fixture(scope="module")
def members(tarball: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(tarball) as archive:
        return {member.name: member for member in archive.getmembers()}


@pytest.fixture(scope="module")
def contents(tarball: Path) -> dict[str, bytes]:
    with tarfile.open(tarball) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive.getmembers() if member.isfile()}


def test_the_name_says_what_and_which_version(tarball):
    assert re.fullmatch(r"llm_devops-memory_graph-\d+\.\d+\.\d+\.tar\.gz", tarball.name)


def test_it_carries_its_licence_readme_and_changelog(contents, collection):
    root = collection.parents[3]
    assert contents["LICENSE"] == (root / "LICENSE").read_bytes()
    assert {"README.md", "CHANGELOG.rst", "meta/runtime.yml", "MANIFEST.json", "FILES.json"} <= contents.keys()


def test_nothing_that_tests_or_builds_leave_is_in_it(members):
    assert [name for name in members if FOREIGN.search(name)] == []


def test_no_secret_is_in_it(contents):
    assert [name for name, text in contents.items() if SECRET.search(text)] == []


def test_no_path_of_a_machine_is_in_it(contents, collection):
    checkout = str(collection.parents[3]).encode()
    assert [name for name, text in contents.items() if checkout in text or b"/root/" in text] == []


def test_every_role_is_a_real_directory_with_its_parts(members, collection):
    roles = sorted(folder.name for folder in (collection / "roles").iterdir())
    assert roles == sorted({PurePosixPath(name).parts[1] for name in members if re.match("roles/[^/]", name)})
    for role in roles:
        assert members[f"roles/{role}"].isdir()
        for part in ("README.md", "meta/argument_specs.yml", "defaults/main.yml", "tasks/main.yml"):
            assert members[f"roles/{role}/{part}"].isfile()


def test_nothing_in_it_is_a_link(members):
    assert [name for name, member in members.items() if member.issym() or member.islnk()] == []


def test_every_plugin_of_the_checkout_is_in_it(members, collection):
    plugins = {str(file.relative_to(collection)) for file in (collection / "plugins").rglob("*.py")}
    assert plugins
    assert plugins <= members.keys()


def test_two_builds_hold_the_same(tarball, contents, collection, tool, tmp_path):
    tool(tmp_path, "ansible-galaxy", "collection", "build", collection, "--output-path", tmp_path)
    with tarfile.open(tmp_path / tarball.name) as archive:
        again = {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}
    assert again == contents
