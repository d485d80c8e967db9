"""Documents say what is so."""

import json
import re
from pathlib import Path

import pytest

from lesionstream.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("deploy/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_every_setting_is_documented():
    readme = (ROOT / "README.md").read_text()
    for name in Settings.model_fields:
        assert f"`LESIONSTREAM_{name.upper()}`" in readme


@pytest.mark.parametrize(
    ("engine", "page"),
    [
        ("lesion", "README.md"),
        ("textbook-256", "README.md"),
        ("textbook-224", "README.md"),
        ("candidate", "docs/lesion.md"),
        ("response", "docs/response.md"),
        ("effect", "docs/models.md"),
    ],
)
def test_figures_on_a_page_are_those_of_the_card(engine, page):
    card = json.loads((ROOT / "engines/catalogue" / engine / "engine.json").read_text())
    text = (ROOT / page).read_text()
    variants = [variant["figures"] for variant in card.get("variants", ())]
    for rows in zip(card["figures"], *variants, strict=True):
        assert figures_line(*rows) in text


def figures_line(figure, *others):
    digits = (
        3 if figure["name"].startswith(("patches", "progression", "less than", "regret")) else 2
    )
    values = [f"{one['value']:.{digits}f}" for one in (figure, *others)]
    if figure.get("low") is not None:
        values[0] += f" [{figure['low']:.{digits}f}, {figure['high']:.{digits}f}]"
    return f"| {figure['on']} | {figure['name']} | {' | '.join(values)} | {figure['n']} |"


def test_decisions_are_numbered_and_whole():
    pages = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert [page.name[:4] for page in pages] == [f"{n:04}" for n in range(1, len(pages) + 1)]
    for page in pages:
        text = page.read_text()
        assert text.startswith(f"# {page.name[:4]}: ")
        for part in ("**Context.**", "**Choice.**", "**Consequences.**"):
            assert part in text, page.name


def test_errors_tell_the_operator_what_to_do():
    """Exceptions that reach an operator say so in their docstring."""
    from engines import CatalogueError, EngineFailed
    from identity.pseudonyms import KeyFileError
    from lesionstream.settings import SettingsError
    from local import LocalError
    from monitor.users import UsersFileError
    from producers.publisher import PublishError
    from producers.quarantine import QuarantineFull
    from wire.cluster import BrokerRefused, BrokerUnavailable
    from wire.errors import FrameError
    from wire.topic_admin import TopicsMissing

    for error in (
        CatalogueError, EngineFailed, KeyFileError, SettingsError, LocalError, PublishError,
        QuarantineFull, FrameError, BrokerRefused, BrokerUnavailable, TopicsMissing, UsersFileError,
    ):  # fmt: skip
        assert "Operator action:" in (error.__doc__ or ""), error


def test_rights_are_those_that_are_given():
    """The table of users stands in the operator's page as the code has it."""
    from wire.rights import ROLES, table

    page = (ROOT / "docs/operations.md").read_text()
    for line in table(ROLES):
        assert line in page


def test_tests_that_pages_name_exist():
    """Each test that stands on the page of security or privacy is one."""
    for page in ("security.md", "privacy.md"):
        named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs" / page).read_text())
        assert named, page
        for file, name in named:
            source = (ROOT / file).read_text()
            assert not name or f"def {name}(" in source, f"{file}::{name}"


def test_every_threat_names_a_test():
    page = (ROOT / "docs/security.md").read_text().split("## On the network")[1]
    rows = [line for line in page.splitlines() if line.startswith("| ") and "| threat" not in line]
    assert len(rows) > 20
    for row in rows:
        assert "::test_" in row.split(" | ")[2], row
