"""The measurements and their page. Every figure on the page comes from here; none is typed by hand."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass
class Goal:
    """A figure and its goal."""

    what: str
    goal: str
    measured: str
    met: bool
    #: The reason if it is not met.
    why: str = ""

    @classmethod
    def at_most(cls, what: str, value: float, limit: float, form: str = "{:.2f}", why: str = "") -> "Goal":
        """`form` formats both figures, such as `"{:.1f} MB"`."""
        return cls(what, "≤ " + form.format(limit), form.format(value), value <= limit, why if value > limit else "")

    @classmethod
    def at_least(cls, what: str, value: float, limit: float, form: str = "{:.1f}", why: str = "") -> "Goal":
        return cls(what, "≥ " + form.format(limit), form.format(value), value >= limit, why if value < limit else "")


@dataclass
class Table:
    """Rows of figures. Cells are text, in the units of the column."""

    title: str
    columns: list[str]
    rows: list[list[str]]


@dataclass
class Section:
    """One part of the page."""

    name: str
    title: str
    #: What is measured and how, in a paragraph or two.
    about: str
    tables: list[Table] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    #: Set by the runner of the section: date, commit, seconds taken, machine, versions.
    measured: dict[str, str] = field(default_factory=dict)


def keep(section: Section, folder: Path) -> None:
    """Stores a section, so that the page can be rewritten after another one was measured."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{section.name}.json").write_text(json.dumps(asdict(section), indent=1, ensure_ascii=False))


def kept(name: str, folder: Path) -> Section | None:
    """The stored section, if there is one."""
    path = folder / f"{name}.json"
    if not path.exists():
        return None
    data = json.loads(path.read_text())
    data["tables"] = [Table(**table) for table in data["tables"]]
    data["goals"] = [Goal(**goal) for goal in data["goals"]]
    return Section(**data)


def render(sections: list[Section]) -> str:
    """The page."""
    parts = [
        "# Benchmarks\n",
        "Written by `benches/run`; no figure is typed by hand. What counts is each figure's ratio to the floor or the peer, "
        "measured in the same run on the same machine.\n",
        "## Goals\n",
        _table(
            ["", "goal", "measured", "met"],
            [
                [f"[{goal.what}](#{section.name})", goal.goal, goal.measured, "yes" if goal.met else "**no**"]
                for section in sections
                for goal in section.goals
            ],
        ),
    ]
    missed = [goal for section in sections for goal in section.goals if not goal.met]
    if missed:
        parts.append("Why some goals are not met:\n")
        parts += [f"- **{goal.what}**: {goal.why or 'not known'}" for goal in missed]
        parts.append("")
    for section in sections:
        parts.append(f'<a id="{section.name}"></a>\n\n## {section.title}\n')
        parts.append(section.about.strip() + "\n")
        for table in section.tables:
            parts.append(f"**{table.title}**\n")
            parts.append(_table(table.columns, table.rows))
        parts += [f"- {note}" for note in section.notes]
        if section.notes:
            parts.append("")
        parts.append("; ".join(f"{name}: {value}" for name, value in section.measured.items()) + ".\n")
    return "\n".join(parts)


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"
