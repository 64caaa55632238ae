"""The manifest-only build: generated from the package, run where there is airbyte-cdk and no package."""

import hashlib
import os
import subprocess
import sys
import sysconfig
import textwrap
import venv
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from integration_tests.command import STREAMS, Connector
from integration_tests.comparison import assert_same_records
from integration_tests.sandbox import Sandbox, Tenant
from tools.manifest_only import MergeError, build, main

UNSAFE_CODE = {**os.environ, "AIRBYTE_ENABLE_UNSAFE_CODE": "true"}
GENERAL_COMMAND = "from airbyte_cdk.cli.source_declarative_manifest import run; run()"
MANIFEST = "streams:\n  - class_name: package.first.First\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the generated manifest.yaml and components.py."""
    directory = tmp_path_factory.mktemp("manifest-only")
    main(["--output", str(directory)])
    return directory


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    Python in an environment that holds airbyte-cdk and its dependencies, and nothing else: links to those files of the
    environment that runs the tests which the metadata of these distributions list.
    """
    environment = tmp_path_factory.mktemp("bare")
    venv.create(environment, with_pip=False, symlinks=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    for installed in distributions("airbyte-cdk"):
        for name in {file.parts[0] for file in installed.files or ()} - {"..", "__pycache__"}:
            if not (packages / name).exists():
                (packages / name).symlink_to(Path(sysconfig.get_path("purelib"), name))
    return environment / "bin" / "python"


def distributions(root: str) -> Iterator[Distribution]:
    """A distribution, and everything that it requires without extras that nobody asked for."""
    waiting, seen = [(root, "")], set()
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) not in seen:
            seen.add((name, extra))
            found = distribution(name)
            yield found
            for requirement in map(Requirement, found.requires or ()):
                if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                    waiting += [(requirement.name, wanted) for wanted in ("", *requirement.extras)]


def test_every_name_is_defined_once(built: Path) -> None:
    """A read without errors evaluates few of the names that functions use."""
    rules = ["--isolated", "--select", "E9,F811,F821"]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *rules, built / "components.py"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_reads_the_same_records_where_the_package_is_not_installed(built: Path, bare_python: Path) -> None:
    importable = "import importlib.util; print(importlib.util.find_spec('source_docebo'))"
    found = subprocess.run([bare_python, "-I", "-c", importable], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "None"
    tenant = Tenant(seed=73)
    command = Connector(str(bare_python), "-I", "-c", GENERAL_COMMAND, environment=UNSAFE_CODE)
    files = ("--manifest-path", str(built / "manifest.yaml"), "--components-path", str(built / "components.py"))
    with Sandbox(tenant) as sandbox:
        output = command.read(sandbox.config("password"), STREAMS, *files)
    assert output.code == 0, output.stderr
    assert output.statuses() == dict.fromkeys(STREAMS, "COMPLETE")
    assert_same_records(tenant, output)


def test_works_as_text_in_the_configuration(built: Path, bare_python: Path) -> None:
    """As the Connector Builder does it: the CDK runs the text before a module of that name exists."""
    components = (built / "components.py").read_text(encoding="utf-8")
    manifest = yaml.safe_load((built / "manifest.yaml").read_text(encoding="utf-8"))
    command = Connector(str(bare_python), "-I", "-c", GENERAL_COMMAND, environment=UNSAFE_CODE)
    with Sandbox(Tenant(seed=74)) as sandbox:
        output = command.check(
            {
                **sandbox.config("client_credentials"),
                "__injected_declarative_manifest": manifest,
                "__injected_components_py": components,
                "__injected_components_py_checksums": {"md5": hashlib.md5(components.encode()).hexdigest()},
            }
        )
    assert output.connection_status() == {"status": "SUCCEEDED"}


def package(directory: Path, **modules: str) -> Path:
    """A package of these modules."""
    found = directory / "package"
    found.mkdir()
    for name, source in modules.items():
        (found / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")
    (directory / "manifest.yaml").write_text(MANIFEST, encoding="utf-8")
    return found


def test_modules_follow_those_that_they_import_and_references_are_rewritten(tmp_path: Path) -> None:
    modules = package(
        tmp_path,
        first='''
            """What the manifest names."""

            import json
            import package.third
            from typing import TYPE_CHECKING

            from package import second
            from package.second import LIMIT as MOST

            if TYPE_CHECKING:
                from package.fourth import Fourth


            class First:  # the comment stays
                limit = second.LIMIT + MOST + package.third.add(1, 1)

                def later(self, value: "Fourth") -> str:
                    from package.fourth import Fourth

                    return json.dumps([Fourth.name, value.name])
            ''',
        second="from . import third\nfrom json import dumps\nLIMIT = third.add(1, 2)\n",
        third="import json\n\ndef add(one: int, other: int) -> int:\n    return one + other\n",
        fourth='from package.first import First\n\nclass Fourth(First):\n    name = "é"\n',
        unused="1 / 0\n",
    )
    manifest, components = build(modules, tmp_path / "manifest.yaml")
    assert "class_name: source_declarative_manifest.components.First" in manifest
    assert "# the comment stays" in components
    assert "package." not in components
    assert components.count("import json\n") == 1
    namespace: dict[str, type] = {}
    exec(components, namespace)
    first, fourth = namespace["First"], namespace["Fourth"]
    assert vars(first)["limit"] == 8
    assert first().later(fourth()) == '["\\u00e9", "\\u00e9"]'


@pytest.mark.parametrize(
    ("first", "second", "problem"),
    [
        (
            "LIMIT = 1",
            "LIMIT = 1",
            "LIMIT stands for different things in second (its definition in second) and in first",
        ),
        ("import json", "def json(): ...", "json stands for different things in second"),
        ("from json import loads", "from pickle import loads", "loads stands for different things in second"),
        ("import json as data", "import pickle as data", "data stands for different things in second"),
        ("from package.second import a as LIMIT", "a = 1\nLIMIT = 1", "LIMIT stands for different things in second"),
        ("", "def filter(): ...", "filter in second would hide the builtin"),
        ("", "from package.first import First", "circle: first -> second -> first"),
        ("from __future__ import annotations", "", "package/first.py, line 2: `from __future__ import annotations`"),
        ("from json import *", "", "`from json import *` cannot be moved"),
        ("import logging\nlogging.getLogger(__name__)", "", "first.py, line 3: __name__"),
        ("import package.fifth", "", "imports no module of the package"),
        ("from package.second import a\nfrom package import second\nprint(second)", "a = 1", "used as a value"),
        ("from package import second\ndef f(second): ...", "", "a variable has its name"),
        ("from package import second\ndef f(a): return second.a", "a = 1", "`second.a` meets a variable"),
        ("from package import second\nsecond.a = 2", "a = 1", "`second.a` meets a variable"),
        (
            "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass D:\n    a: int\n    b: 'int'",
            "",
            "first.py, line 6: a dataclass with an annotation in quotes",
        ),
    ],
)
def test_names_what_cannot_be_merged(tmp_path: Path, first: str, second: str, problem: str) -> None:
    modules = package(tmp_path, first=f"import package.second as _\n{first}\nclass First: ...", second=second)
    with pytest.raises(MergeError) as raised:
        build(modules, tmp_path / "manifest.yaml")
    assert problem in str(raised.value)


def test_a_class_that_does_not_exist_is_named(tmp_path: Path) -> None:
    modules = package(tmp_path, first="class Other: ...")
    with pytest.raises(MergeError, match=r"manifest.yaml names package.first.First, which does not exist"):
        build(modules, tmp_path / "manifest.yaml")
