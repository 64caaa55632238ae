"""
Writes what is made of manifest.yaml for those who use the tables: `python -m tools.generate`, or `make tables`.

- `docs/tables.md`: a dictionary, and a diagram of how the tables join. `README.md`: that of the main tables.
- `erd/source.dbml`: the tables and their joins in DBML.
- `dbt/models/staging`: the sources of the dbt package, its staging models, and their documentation.
"""

from tools import dictionary, staging
from tools.tables import ROOT, tables


def files() -> dict[str, str]:
    """The text of each file, by its path from the top of the repository."""
    found = tables()
    return {**dictionary.files(found), **staging.files(found)}


def left_over(made: dict[str, str]) -> list[str]:
    """The staging models of streams that the manifest no longer has."""
    paths = (path.relative_to(ROOT).as_posix() for path in (ROOT / staging.DIRECTORY).iterdir())
    return sorted(path for path in paths if path not in made)


def main() -> None:
    """Writes the files, and removes those that are left over."""
    made = files()
    for name, text in made.items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(text, encoding="utf-8")
    for name in left_over(made):
        (ROOT / name).unlink()


if __name__ == "__main__":
    main()
