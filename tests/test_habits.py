"""Makefile, .ci/run, pre-commit and .editorconfig say the same, and CONTRIBUTING.md names what there is."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "cruddur_cli"
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def recipe(target: str) -> list[str]:
    """The commands of one target of the Makefile."""
    found = re.search(rf"^{target}:[^\n]*\n((?:\t[^\n]*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert found is not None, target
    return found[1].replace("\t", "").splitlines()


def test_ci_runs_the_linters_of_the_makefile() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    # Without caches: it leaves no file in the checkout.
    plain = [re.sub(r" --no-cache| --cache-dir \S+", "", line) for line in lines]
    names = ("ruff", "mypy", "lint-imports", "python docs/")
    assert [line for line in plain if line.startswith(names)] == [*recipe("lint"), *recipe("docs-check")]


def test_pre_commit_runs_the_linters_of_the_makefile() -> None:
    config = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert re.findall(r"entry: (.*)", config) == recipe("lint")


def test_the_makefile_runs_the_tests_as_the_readme_does() -> None:
    assert recipe("test") == ["pytest"]
    assert "pip install '.[test]' && pytest" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_editor_and_ruff_have_the_same_width_of_lines() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    width = project["tool"]["ruff"]["line-length"]
    assert f"max_line_length = {width}" in (ROOT / ".editorconfig").read_text(encoding="utf-8")


def test_python_files_are_indented_as_the_editor_is_told() -> None:
    assert "indent_size = 4" in (ROOT / ".editorconfig").read_text(encoding="utf-8")
    assert [line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("  ")] == []


@pytest.mark.parametrize("target", re.findall(r"`make ([a-z-]+)`", CONTRIBUTING))
def test_a_target_that_contributing_names_is_in_the_makefile(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([a-z_]+/[\w./-]+|\w+\.(?:py|md|toml))`", CONTRIBUTING))))
def test_a_file_that_contributing_names_exists(path: str) -> None:
    assert (ROOT / path).exists() or (ROOT / "cruddur_cli" / path).exists()


def _modules() -> list[str]:
    package = ROOT / "cruddur_cli"
    found = (path.relative_to(package) for path in package.rglob("*.py") if not path.name.startswith("__"))
    return sorted(path.with_suffix("").as_posix() for path in found)


def _own(module: str) -> Path:
    folder, _, name = module.rpartition("/")
    return ROOT / "tests" / folder / f"test_{name}.py"


def test_every_module_has_a_test_file_of_its_name() -> None:
    assert [module for module in _modules() if not _own(module).exists()] == []


# Two programs with the same idea each: `doctor` and `audit`.
TWO_CHECKERS = {"Check", "Finding"}


def test_a_class_name_stands_for_one_thing() -> None:
    """Apart from protocols, which have the name of the record that they show."""
    places: dict[str, list[str]] = defaultdict(list)
    for module in _modules():
        tree = ast.parse((ROOT / "cruddur_cli" / f"{module}.py").read_text(encoding="utf-8"))
        for found in (node for node in tree.body if isinstance(node, ast.ClassDef)):
            bases = [base.id for base in found.bases if isinstance(base, ast.Name)]
            if "Protocol" not in bases and not found.name.startswith("_"):
                places[found.name].append(module)
    assert {name: there for name, there in places.items() if len(there) > 1 and name not in TWO_CHECKERS} == {}


def test_no_colour_is_made_bright() -> None:
    """Many terminals show a bold yellow or cyan in a bright one, which a white background swallows."""
    bright = re.compile(r"bold (?:yellow|cyan|green)|\b(?:bright_\w+|white)\b")
    styled = [*(PACKAGE / "output").glob("*.py"), *(PACKAGE / "commands").rglob("*.py")]
    assert {path.name: found for path in styled if (found := bright.findall(path.read_text(encoding="utf-8")))} == {}


def test_what_shows_a_list_names_its_record_for_an_empty_csv() -> None:
    """``show(s, items)`` knows the header of no items only from ``record`` or ``columns``."""
    missing = []
    for path in (PACKAGE / "commands").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "output.show":
                is_list = not (isinstance(call.args[1], ast.List) and call.args[1].elts)
                if is_list and not {"record", "columns"} & {word.arg for word in call.keywords}:
                    missing.append(f"{path.relative_to(PACKAGE)}: {ast.unparse(call.args[1])}")
    assert sorted(missing) == []
