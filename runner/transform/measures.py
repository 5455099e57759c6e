"""docs/measures.md: what every column means, taken from the models' own descriptions.

`python -m runner.transform.measures` writes it; a test holds it against the YAML.
"""

import re
from pathlib import Path
from typing import Any

PAGE = Path("docs") / "measures.md"
COMMAND = "python -m runner.transform.measures"

_LAYERS = {
    "reporting": "The funnel",
    "marts": "Marts",
    "monthly": "Months",
    "daily": "Days",
}
_WORDS = "{{ doc('words') }}"
_HEAD = f"""# Measures

How to compute every number by hand: the words, then what every table from the daily ones on holds
and what each column means. Written from the models' descriptions by `{COMMAND}`;
change it there. `funnel docs serve` shows the same with lineage and SQL.

## The words

{_WORDS}
"""


def write_measures(root: Path) -> None:
    """Write the page into the project that lies in `root`."""
    (root / PAGE).write_text(describe_measures(root), encoding="utf-8")


def describe_measures(root: Path) -> str:
    """Return the page for the project that lies in `root`."""
    import yaml

    blocks = _read_blocks(root / "models")
    parts = [_fill_in(_HEAD, blocks)]
    for layer, title in _LAYERS.items():
        parts.append(f"## {title}\n")
        for path in sorted((root / "models" / layer).glob("[!_]*.yml")):
            for model in yaml.safe_load(path.read_text(encoding="utf-8"))["models"]:
                parts.append(_describe_model(model, blocks))
    metrics = root / "models" / "marts" / "_metrics.yml"
    parts.append("## Metrics\n\nFor BI tools that read dbt's semantic layer.\n")
    listed = yaml.safe_load(metrics.read_text(encoding="utf-8"))["metrics"]
    parts.append(_draw_table("metric", listed, blocks))
    return "\n".join(parts)


def _describe_model(model: dict[str, Any], blocks: dict[str, str]) -> str:
    text = model["description"].replace(_WORDS, "The words are at the top of this page.")
    text = _fill_in(text, blocks).strip()
    return f"### {model['name']}\n\n{text}\n\n{_draw_table('column', model['columns'], blocks)}"


def _draw_table(head: str, rows: list[dict[str, Any]], blocks: dict[str, str]) -> str:
    lines = [f"| {head} | meaning |", "|---|---|"]
    for row in rows:
        text = " ".join(_fill_in(row["description"], blocks).split()).replace("|", "\\|")
        lines.append(f"| `{row['name']}` | {text} |")
    return "\n".join([*lines, ""])


def _read_blocks(folder: Path) -> dict[str, str]:
    """Return the text of every docs block, by name."""
    block = re.compile(r"{% docs (\w+) %}\n(.*?)\n{% enddocs %}", flags=re.DOTALL)
    texts = (path.read_text(encoding="utf-8") for path in folder.rglob("*.md"))
    return {name: text for page in texts for name, text in block.findall(page)}


def _fill_in(description: str, blocks: dict[str, str]) -> str:
    return re.sub(r"{{ doc\('(\w+)'\) }}", lambda call: blocks[call[1]], description)


if __name__ == "__main__":
    write_measures(Path(__file__).resolve().parents[2])
