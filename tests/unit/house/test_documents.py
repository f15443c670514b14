"""What the documents say of the tree: links lead somewhere, and every folder of the package has its room."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TOPS = ("jobs", "providers", "broker")
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), ROOT / "examples/data/README.md"]
ROOMS = dict(
    re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"), re.MULTILINE)
)


def named(cell: str) -> list[str]:
    """Return the paths of a line's first cell; a name without a folder stands beside the one before it."""
    found: list[str] = []
    for path in re.findall(r"`([^`]+)`", cell):
        beside = found and "/" not in path.rstrip("/")
        found.append(str(Path(found[0].rstrip("/")).parent / path) if beside else path)
    return [path.rstrip("/") for path in found]


def packages() -> list[str]:
    folders = {path.parent.relative_to(ROOT) for top in TOPS for path in (ROOT / top).rglob("*.py")}
    return sorted(str(folder) for folder in folders if str(folder) not in TOPS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link and not link.startswith("#")]
    assert [link for link in links if not (document.parent / link.partition("#")[0]).exists()] == []


def test_every_room_exists() -> None:
    rooms = [path for cell in ROOMS for path in named(cell)]
    assert len(rooms) > len(ROOMS) / 2
    assert [path for path in rooms if not (ROOT / path).exists()] == []


def test_every_folder_has_its_room() -> None:
    told = {path: text for cell, text in ROOMS.items() for path in named(cell)}

    def has_room(folder: Path) -> bool:
        """A room of its own, a word in the room above, or a place deep within such a word."""
        room, above = str(folder), str(folder.parent)
        in_a_word = above not in told and above not in TOPS and has_room(folder.parent)
        return room in told or f"`{folder.name}/`" in told.get(above, "") or in_a_word

    assert [folder for folder in packages() if not has_room(Path(folder))] == []


def test_every_guide_is_linked_from_the_first_page_or_another_guide() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in DOCUMENTS}
    for guide in (ROOT / "docs").glob("*.md"):
        others = [text for path, text in texts.items() if path != guide]
        assert any(re.search(rf"\]\((?:docs/)?{guide.name}[#)]", text) for text in others), guide.name
