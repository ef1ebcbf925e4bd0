"""The rooms of the house: imports go one way, and the client libraries stay where they belong."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "pipeline"
MODULES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")}

# Each library and the only places that may import it.
ONLY = {
    "kafka": {"broker"},
    "psycopg2": {"database", "nocodb_sink.py", "removal.py"},  # the last two only its execute_values
    "supervisor": {"operations"},
    "faker": {"steps.py"},
    "yoyo": {"database"},
    "prometheus_client": {"metrics", "page"},
}

# Who may not know whom: the lower rooms do not look up.
LOWER = {
    "errors.py": set(),
    "settings.py": {"errors"},
    "log.py": set(),
    "topics.py": set(),
    "records.py": {"topics"},
    "person.py": {"errors"},
    "steps.py": {"errors", "person", "topics"},
    "watchdog.py": {"log"},
    "state.py": {"log", "metrics"},
    "metrics": {"errors", "log"},
    # The feed is asked for, taken apart and published without any store.
    "response.py": {"records", "errors", "person", "topics"},
    "randomuser.py": {"errors", "log", "response"},
    "feed/plan.py": {"errors", "randomuser", "records"},
    "feed/records.py": {"errors", "feed", "records", "response", "topics"},
    "feed/sources.py": {"feed", "log", "randomuser", "response", "settings", "stand_in"},
    "feed/run.py": {"errors", "feed", "log", "metrics", "randomuser", "records", "response", "settings", "topics"},
    "feed/again.py": {"errors", "feed", "log", "metrics", "randomuser", "records", "response", "settings", "topics"},
    "job_run.py": {"crontab", "log", "metrics"},
    "broker": {"errors", "settings", "log", "topics", "records", "watchdog"},
    "stage.py": {"errors", "settings", "log", "metrics", "state", "watchdog"},
    "transform.py": {"errors", "metrics", "settings", "topics", "records", "steps", "broker"},
    "store.py": {"errors", "metrics", "settings", "topics", "records", "broker"},
}


def imports(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("library", sorted(ONLY))
def test_a_client_library_is_imported_in_its_own_room_only(library: str) -> None:
    where = {
        path.relative_to(PACKAGE).parts[0]
        for path, tree in MODULES.items()
        if any(name.split(".")[0] == library for name in imports(tree))
    }
    assert where <= ONLY[library]


@pytest.mark.parametrize("name", sorted(LOWER))
def test_the_lower_rooms_do_not_look_up(name: str) -> None:
    room = PACKAGE / name
    trees = [tree for path, tree in MODULES.items() if path == room or room in path.parents]
    found = {one for tree in trees for one in imports(tree)}
    assert trees
    assert {one.split(".")[1] for one in found if one.startswith("pipeline.")} - {room.stem} <= LOWER[name]
