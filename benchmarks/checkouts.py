"""The versions of the connector that are measured: this checkout, and the one that it is compared with."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

from tools.environment import install

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Checkout:
    """A version, installed in an environment of its own."""

    name: str
    command: str  # the path of its `source-docebo`
    streams: frozenset[str]


def installed(name: str, source: Path, directory: Path) -> Checkout:
    """Installs the files of a checkout, uncommitted changes included, below the directory."""
    command = install(source, directory)
    manifest = yaml.safe_load((source / "manifest.yaml").read_text(encoding="utf-8"))
    reports = ["report_enrollments"] if "dynamic_streams" in manifest else []
    return Checkout(name, str(command), frozenset([*manifest["definitions"]["streams"], *reports]))


def source_of(version: str, directory: Path) -> Path:
    """
    The files of a version: the path itself, or else a revision of this repository, written below the directory. Raises
    CalledProcessError if there is no such revision.
    """
    if Path(version, "manifest.yaml").is_file():
        return Path(version).resolve()
    files = subprocess.run(["git", "-C", str(ROOT), "archive", version], stdout=subprocess.PIPE, check=True).stdout
    directory.mkdir(parents=True)
    subprocess.run(["tar", "-x", "-C", str(directory)], input=files, check=True)
    return directory
