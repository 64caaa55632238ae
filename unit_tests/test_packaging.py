"""The files around the connector agree with each other: lock, exports, image, workflows, changelog."""

import os
import re
import subprocess
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from unit_tests.declared import streams

ROOT = Path(__file__).parent.parent
# The CDK requires a version with known vulnerabilities, for a part of it that the connector never imports.
LEFT_OUT = {"nltk"}


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(group: str) -> dict[tuple[str, str], set[str]]:
    """The hashes of each package and version that poetry.lock has for a group."""
    found = {}
    for part in text_of("poetry.lock").split("[[package]]")[1:]:
        part = part.split("\n[metadata]")[0]
        fields = dict(re.findall(r"^(name|version|groups) = (.+)$", part, re.M))
        if f'"{group}"' in fields["groups"]:
            package = normal(fields["name"].strip('"')), fields["version"].strip('"')
            found[package] = set(re.findall(r'hash = "(sha256:\w+)"', part))
    return found


def exported(name: str) -> dict[tuple[str, str], set[str]]:
    """The same of a file of requirements."""
    parts = re.split(r"^(?=\w)", text_of(f"requirements/{name}.txt"), flags=re.M)
    found = {}
    for part in parts:
        pinned = re.match(r"([\w.-]+)(?:\[[^\]]*\])?==([\w.+!-]+)", part)
        if pinned:
            found[normal(pinned[1]), pinned[2]] = set(re.findall(r"--hash=(sha256:\w+)", part))
    return found


def version() -> str:
    (found,) = re.findall(r'^version = "([^"]+)"', text_of("pyproject.toml"), re.M)
    return str(found)


class TestRequirements:
    """`make lock` was run after the last change."""

    def test_the_image_has_what_the_lock_says(self) -> None:
        expected = {package: hashes for package, hashes in locked("main").items() if package[0] not in LEFT_OUT}
        assert len(expected) > 50
        assert exported("image") == expected

    def test_the_environment_of_the_tests_has_what_the_lock_says(self) -> None:
        assert exported("dev") == {**locked("main"), **locked("dev")}

    @pytest.mark.parametrize("name", ["uv", "example"])
    def test_what_is_asked_for_is_pinned(self, name: str) -> None:
        lines = [line for line in text_of(f"requirements/{name}.in").splitlines() if not line.startswith("#")]
        pinned = exported(name)
        for line in lines:
            wanted, _, exact = line.partition("#")[0].partition("<")[0].strip().partition("==")
            assert any(package == normal(wanted) and exact in ("", pin) for package, pin in pinned), line
        assert all(pinned.values())

    def test_cryptography_is_free_of_cve_2026_26007(self) -> None:
        versions = [tuple(map(int, pin.split("."))) for name, pin in exported("image") if name == "cryptography"]
        assert versions
        assert min(versions) >= (46, 0, 5)

    def test_pyairbyte_has_no_say_in_what_runs_in_the_image(self) -> None:
        assert not {"airbyte", "matplotlib"} & {name for name, _ in locked("dev")}


class TestVersion:
    def test_the_labels_of_the_image(self) -> None:
        labels = re.findall(r'(?:io\.airbyte|org\.opencontainers\.image)\.version="([^"]+)"', text_of("Dockerfile"))
        assert labels == [version(), version()]

    def test_the_dbt_package(self) -> None:
        assert yaml.safe_load(text_of("dbt/dbt_project.yml"))["version"] == version()
        assert re.findall(r"revision: v([\d.]+)$", text_of("dbt/README.md"), re.M) == [version()]

    def test_the_changelog_begins_with_it(self) -> None:
        assert entries()[0][0] == version()

    def test_the_table_of_the_documentation_is_that_of_the_changelog(self) -> None:
        table = text_of("docs/docebo.md").split("## Changelog")[1]
        assert re.findall(r"^\| (\d+\.\d+\.\d+) \| ([\d-]+) \|", table, re.M) == entries()


def entries() -> list[tuple[str, str]]:
    """Version and date of each entry of the changelog, the newest first."""
    headings = re.findall(r"^## (.+)$", text_of("CHANGELOG.md"), re.M)
    found = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)$", text_of("CHANGELOG.md"), re.M)
    assert len(found) == len(headings)
    return list(found)


class TestBreakingChanges:
    """Airbyte shows a breaking change before an upgrade, and leads to the section of the guide that says what to do."""

    changes: dict[str, Any] = yaml.safe_load(text_of("metadata.yaml"))["data"]["releases"]["breakingChanges"]

    def test_are_those_that_the_changelog_calls_breaking(self) -> None:
        parts = re.split(r"^## \[(\S+)\]", text_of("CHANGELOG.md"), flags=re.M)
        breaking = [name for name, entry in zip(parts[1::2], parts[2::2], strict=True) if "**Breaking:**" in entry]
        assert list(self.changes) == breaking

    def test_each_has_a_section_in_the_guide(self) -> None:
        guide = text_of("docs/docebo-migrations.md")
        assert re.findall(r"^## Upgrading to (\S+)$", guide, re.M) == list(self.changes)

    def test_the_deadline_leaves_a_month(self) -> None:
        released = dict(entries())
        for name, change in self.changes.items():
            deadline, release = (date.fromisoformat(text) for text in (change["upgradeDeadline"], released[name]))
            assert deadline - release >= timedelta(days=30)

    def test_the_streams_exist_and_stand_in_the_guide(self) -> None:
        sections = re.split(r"^## Upgrading to \S+$", text_of("docs/docebo-migrations.md"), flags=re.M)[1:]
        for change, section in zip(self.changes.values(), sections, strict=True):
            (scope,) = change["scopedImpact"]
            assert set(scope["impactedScopes"]) <= set(streams())
            assert all(f"`{name}`" in section and name in change["message"] for name in scope["impactedScopes"])


class TestPreCommit:
    def test_ruff_is_that_of_the_lock(self) -> None:
        repositories = yaml.safe_load(text_of(".pre-commit-config.yaml"))["repos"]
        (ruff,) = [repository["rev"] for repository in repositories if repository["repo"].endswith("/ruff-pre-commit")]
        assert ("ruff", ruff.removeprefix("v")) in locked("dev")

    def test_mypy_is_that_of_the_environment(self) -> None:
        repositories = yaml.safe_load(text_of(".pre-commit-config.yaml"))["repos"]
        (mypy,) = [hook for repository in repositories for hook in repository["hooks"] if hook["id"] == "mypy"]
        assert mypy["language"] == "system"
        assert mypy["entry"] == "make --silent types"
        assert re.search(r"^types: \$\(VENV\)/made.*\n\t\$\(BIN\)/mypy\n", text_of("Makefile"), re.M)


class TestWorkflows:
    @pytest.fixture
    def steps(self) -> dict[str, str]:
        """The script of each step of the release, by the step's name."""
        job = yaml.safe_load(text_of(".github/workflows/release.yml"))["jobs"]["release"]
        return {step["name"]: step["run"] for step in job["steps"] if "run" in step}

    def run(self, script: str, directory: Path, tag: str) -> int:
        """Runs a step's script as the runner does, in a copy of the files that it reads. Returns its exit code."""
        for name in ("CHANGELOG.md", "pyproject.toml"):
            (directory / name).write_text(text_of(name), encoding="utf-8")
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        return subprocess.run(command, cwd=directory, env={**os.environ, "TAG": tag}).returncode

    def test_every_python_that_the_package_supports(self) -> None:
        (lowest, beyond) = map(int, re.findall(r'^python = ">=3\.(\d+),<3\.(\d+)"', text_of("pyproject.toml"), re.M)[0])
        tested = yaml.safe_load(text_of(".github/workflows/tests.yml"))["jobs"]["test"]["strategy"]["matrix"]["python"]
        assert tested == [f"3.{minor}" for minor in range(lowest, beyond)]
        assert f"(3, {lowest}) <= sys.version_info[:2] <= (3, {beyond - 1})" in text_of("Makefile")

    def test_a_tag_of_another_version_is_not_released(self, steps: dict[str, str], tmp_path: Path) -> None:
        assert self.run(steps["The tag is the version"], tmp_path, f"v{version()}") == 0
        assert self.run(steps["The tag is the version"], tmp_path, "v99.0.0") != 0

    def test_the_notes_are_the_entry_of_the_changelog(self, steps: dict[str, str], tmp_path: Path) -> None:
        assert self.run(steps["Release notes"], tmp_path, "v0.1.0") == 0
        assert (tmp_path / "notes.md").read_text().strip() == "### Added\n\n- 16 streams, full refresh."
        assert self.run(steps["Release notes"], tmp_path, f"v{version()}") == 0
        assert "16 streams" not in (tmp_path / "notes.md").read_text()

    def test_a_version_without_an_entry_is_not_released(self, steps: dict[str, str], tmp_path: Path) -> None:
        assert self.run(steps["Release notes"], tmp_path, "v99.0.0") != 0


def test_the_bug_report_asks_for_the_output_of_plan() -> None:
    form: dict[str, Any] = yaml.safe_load(text_of(".github/ISSUE_TEMPLATE/bug_report.yml"))
    (plan,) = [field for field in form["body"] if field.get("id") == "plan"]
    assert plan["attributes"]["label"] == "Output of `source-docebo plan --config secrets/config.json`"
    assert plan["validations"] == {"required": True}


def test_clean_removes_only_what_make_installed() -> None:
    command = ["make", "--no-print-directory", "--dry-run", "clean"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["rm", "-rf", ".venv", ".venv-tools", ".venv-example"]
