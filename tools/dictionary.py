"""The dictionary of the tables, and diagrams of how they join: docs/tables.md, README.md and erd/source.dbml."""

from collections.abc import Iterable

from tools.tables import NO_DATE, ROOT, WRITTEN_BY, Column, Join, Table

# The diagram in the README shows these.
MAIN_TABLES = (
    "branch_members",
    "branches",
    "categories",
    "course_enrollments",
    "courses",
    "learning_plan_enrollments",
    "learning_plans",
    "users",
)
BEGIN, END = "<!-- The diagram is written by `make tables`. -->\n", "<!-- End of the diagram. -->\n"


def dictionary(found: list[Table]) -> str:
    """docs/tables.md: each table with its columns, and how they join."""
    lines = [
        "# Tables",
        "",
        f"<!-- {WRITTEN_BY} -->",
        "",
        "What a destination gets: a table for each stream, with these columns. Types are named as destinations name",
        "them, more or less: `timestamp` is a date and time in UTC, `json` an object or an array. Destinations add",
        "columns of their own, such as `_airbyte_extracted_at`, and some write all names in lower case.",
        "",
        "In a column of type `timestamp`, null means that there is no date, and 1970-01-01 that Docebo holds an",
        "invalid one, such as 0000-00-00. The [dbt package](../dbt/README.md) makes it null, and gives columns of the",
        "same meaning the same name.",
        "",
        "## How the tables join",
        "",
        *mermaid(found),
        "",
        "Not drawn: the columns that name a user who created or changed something. They join `users.user_id`.",
        "",
        "| Table | Each row is | Key |",
        "|---|---|---|",
        *(f"| [`{table.name}`](#{table.name}) | {table.row} | {_names(table.key)} |" for table in found),
    ]
    for table in found:
        lines += ["", f"## {table.name}", "", f"{_sentence(table.row)} Key: {_names(table.key)}.", ""]
        lines += ["| Column | Type | Meaning | Joins |", "|---|---|---|---|"]
        for column in table.columns:
            lines.append(_row(column, column.name))
            lines += [_row(part, f"{column.name}.{part.name}") for part in column.parts]
        if table.has_additional_fields:
            fields = "course_fields" if table.name == "course_details" else "user_fields"
            meaning = f"An additional field that the platform defines; the number is its ID in `{fields}.id`."
            lines.append(f"| `field_<id>` | text | {meaning} | |")
    return "\n".join(lines) + "\n"


def _row(column: Column, name: str) -> str:
    meaning = column.description.replace(NO_DATE, "").partition("Joins ")
    joins = ", ".join(f"`{table}.{field}`" for table, field in column.joins)
    after = meaning[2].partition(". ")[2] if meaning[1] else ""
    text = f"{meaning[0].strip()} {after}".strip().replace("|", "\\|")
    return f"| `{name}` | {column.type} | {text} | {joins} |".replace("|  |", "| |")


def _sentence(row: str) -> str:
    """What each row is, as sentences."""
    return row if row.endswith(".") else f"{row}."


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def drawn(found: list[Table]) -> list[tuple[str, str, Join]]:
    """The joins that a diagram shows: table, column, and what it joins. Not those to whoever made a change."""
    return [
        (table.name, name, join)
        for table in found
        for name, join in table.joins()
        if "_by" not in name and (table.name, name) != join
    ]


def mermaid(found: list[Table]) -> list[str]:
    """A diagram of these tables, with keys and the columns that join."""
    names = {table.name for table in found}
    joins = [(child, name, join) for child, name, join in drawn(found) if join[0] in names]
    lines = ["```mermaid", "erDiagram"]
    for table in found:
        lines.append(f"    {table.name} {{")
        joined = {name for child, name, _ in joins if child == table.name}
        for column in table.columns:
            marks = ["PK"] * (column.name in table.key) + ["FK"] * (column.name in joined)
            if marks:
                lines.append(f"        {column.type} {column.name} {', '.join(marks)}")
        lines.append("    }")
    lines += [f"    {join[0]} ||--o{{ {child} : {name.replace('.', '_')}" for child, name, join in joins]
    return [*lines, "```"]


def dbml(found: list[Table]) -> str:
    """The tables and their joins, as dbdiagram.io and Airbyte's tools read them."""
    lines = [f"// {WRITTEN_BY}"]
    for table in found:
        lines += ["", f'Table "{table.name}" {{']
        alone = table.key if len(table.key) == 1 else ()
        for column in table.columns:
            lines.append(f'    "{column.name}" {column.type}{" [pk]" if column.name in alone else ""}')
        if not alone:
            lines += ["", "    indexes {", f"        ({', '.join(table.key)}) [pk]", "    }"]
        lines.append("}")
    for table in found:
        for name, (other, column) in table.joins():
            if "." not in name and (table.name, name) != (other, column):
                lines += ["", "Ref {", f'    "{table.name}"."{name}" > "{other}"."{column}"', "}"]
    return "\n".join(lines) + "\n"


def readme(found: list[Table]) -> str:
    """README.md with the diagram of the main tables."""
    before, begin, rest = (ROOT / "README.md").read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("README.md has lost the comments between which the diagram stands")
    main = [table for table in found if table.name in MAIN_TABLES]
    return before + begin + "\n" + "\n".join(mermaid(main)) + "\n\n" + end + after


def files(found: list[Table]) -> dict[str, str]:
    """The text of each file, by its path from the top of the repository."""
    return {"docs/tables.md": dictionary(found), "README.md": readme(found), "erd/source.dbml": dbml(found)}
