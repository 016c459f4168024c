"""What the pages point at exists: files, pictures, headings, modules, make targets and commands of Airflow."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from nyc_taxi.registry.datasets import DATASETS
from nyc_taxi.run_requests.rules import ROLLUP
from nyc_taxi.stores import STORES

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted(
    page for pattern in ("*.md", "docs/*.md", ".github/*.md", "tests/**/README.md") for page in REPOSITORY.glob(pattern)
)
# State, environments and caches: not of the repository, though they lie in it.
GENERATED = {".git", ".local", ".venv", "build", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"}

# Where Cloud Composer and MWAA have the statements: they sync only dags/ and plugins/.
DEPLOYED = ("plugins/include/",)

FENCE = re.compile(r"(?ms)^ *```.*?^ *```$")
INLINE_CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")
REFERENCE = re.compile(r"(?m)^\[[^\]]+\]: (\S+)$")
A_PATH = re.compile(r"\.?[\w-][\w.-]*(/[\w.-]+)+/?|[\w-]+/")
A_FILE_NAME = re.compile(r"[\w-]+\.(py|sql|md|toml|yaml|yml|env|svg)")
A_MODULE = re.compile(r"python -m ([\w.]+)")
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
# Addresses of the web are https, without a blank or a full stop at their end.
A_WEB_ADDRESS = re.compile(r"https://[a-z0-9-]+(\.[a-z0-9-]+)+(/[\w./~%+-]*)?(\?[\w=&%+-]+)?(#[\w-]+)?(?<!\.)")
AIRFLOW_COMMAND = re.compile(r"(?m)^bin/airflow (.+?)(?: +[#|].*)?$")
A_TARGET = re.compile(r"\bmake ([a-z][a-z-]*)")


@cache
def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@cache
def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return FENCE.sub("", text(page))


def code(page: Path) -> str:
    """All code of the page: its blocks, and what is quoted in a line."""
    return "\n".join([*FENCE.findall(text(page)), *INLINE_CODE.findall(prose(page))])


@cache
def anchors(page: Path) -> set[str]:
    """The anchors of the page's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"(?m)^#+ (.+)$", prose(page)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = sum(1 for other in found if re.fullmatch(re.escape(slug) + r"(-\d+)?", other))
        found.add(f"{slug}-{number}" if number else slug)
    return found


@cache
def files() -> frozenset[Path]:
    """The repository's files, relative to it."""
    found = (path.relative_to(REPOSITORY) for path in REPOSITORY.rglob("*"))
    return frozenset(path for path in found if not GENERATED.intersection(path.parts))


def links(page: Path) -> list[str]:
    """The targets of the page's links within the repository."""
    targets = LINK.findall(INLINE_CODE.sub("code", prose(page))) + REFERENCE.findall(prose(page))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def broken_links(page: Path) -> list[str]:
    broken = []
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.is_relative_to(REPOSITORY) or not file.exists() or (anchor and not has_anchor(file, anchor)):
            broken.append(target)
    return broken


def wrong_addresses(page: Path) -> list[str]:
    """The links beyond the repository that no browser would follow as they are meant."""
    targets = LINK.findall(INLINE_CODE.sub("code", prose(page))) + REFERENCE.findall(prose(page))
    return [target for target in targets if re.match(r"[a-z]+:", target) and not A_WEB_ADDRESS.fullmatch(target)]


def has_anchor(file: Path, anchor: str) -> bool:
    """Whether a link to the anchor leads somewhere: to a heading of the file, or to lines of it."""
    if lines := re.fullmatch(r"L(\d+)(?:-L(\d+))?", anchor):
        return int(lines[2] or lines[1]) <= len(text(file).splitlines())
    return anchor in anchors(file)


def missing_paths(page: Path) -> list[str]:
    """What is quoted as a path of the repository, or as the name of one of its files, and is none."""
    folders = {path.name for path in REPOSITORY.iterdir() if path.is_dir()} - GENERATED
    names = {path.name for path in files()}
    missing = []
    for quoted in INLINE_CODE.findall(prose(page)):
        # What commands generate is there or not.
        if f"{quoted}/".startswith(DEPLOYED) or GENERATED.intersection(quoted.split("/")):
            continue
        if A_PATH.fullmatch(quoted) and quoted.split("/")[0] in folders:
            if not (REPOSITORY / quoted).exists():
                missing.append(quoted)
        elif A_FILE_NAME.fullmatch(quoted) and quoted not in names:
            missing.append(quoted)
    return missing


def missing_modules(page: Path) -> list[str]:
    """The modules of the repository that the page runs by ``python -m``, and that do not exist."""
    missing = []
    for module in A_MODULE.findall(code(page)):
        path = REPOSITORY / module.replace(".", "/")
        is_ours = (REPOSITORY / module.split(".")[0]).is_dir()
        if is_ours and not path.with_suffix(".py").exists() and not (path / "__main__.py").exists():
            missing.append(module)
    return missing


def missing_targets(page: Path) -> list[str]:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    return [target for target in A_TARGET.findall(code(page)) if not re.search(rf"(?m)^{target}:", makefile)]


def test_pages_are_found() -> None:
    names = {str(page.relative_to(REPOSITORY)) for page in PAGES}
    assert names >= {"README.md", "CONTRIBUTING.md", "docs/design.md", ".github/pull_request_template.md"}
    assert sum(len(links(page)) for page in PAGES) > 100


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
class TestPage:
    def test_links_and_anchors_exist(self, page: Path) -> None:
        assert broken_links(page) == []

    def test_web_addresses_are_well_formed(self, page: Path) -> None:
        assert wrong_addresses(page) == []

    def test_pictures_say_what_they_show(self, page: Path) -> None:
        assert [file for words, file in PICTURE.findall(prose(page)) if len(words.split()) < 3] == []

    def test_quoted_paths_exist(self, page: Path) -> None:
        assert missing_paths(page) == []

    def test_modules_exist(self, page: Path) -> None:
        assert missing_modules(page) == []

    def test_make_targets_exist(self, page: Path) -> None:
        assert missing_targets(page) == []


def test_commands_of_airflow_are_such() -> None:
    """Each line ``bin/airflow ...`` has words that Airflow's CLI takes, and names one of our DAGs if any."""
    from airflow.cli.cli_parser import get_parser

    parser = get_parser()
    commands = {command for page in PAGES for command in AIRFLOW_COMMAND.findall("\n".join(FENCE.findall(text(page))))}
    assert len(commands) > 10
    for command in sorted(commands):
        words = shlex.split(command)
        options = vars(parser.parse_args(words))
        if dag_id := options.get("dag_id"):
            assert dag_id in {*(store.dag_id(one) for one in DATASETS.values() for store in STORES), ROLLUP}, command


BROKEN = """\
# A page

## Its `code` and [a link](README.md)

[there](README.md), [not there](docs/nothing.md), [here](#its-code-and-a-link), [not here](#nowhere),
[a line](dags/web_to_gcs.py#L2), [no line](dags/web_to_gcs.py#L2-L3), [above](../outside.md), [the web](https://example.com/nothing),
![a picture that is not there](docs/nothing.png), [no scheme](http://example.com), [a typo](https://example), [a stop](https://example.com/a.).

`dags/web_to_gcs.py`, `dags/nothing.py`, `nothing.sql`, `months.py`, `green/green_tripdata_2021-01.csv.gz`,
`python -m tests.nothing`, `make nothing` and `make demo`

```
python -m local.nothing up
[not a link](nothing.md)
```
"""


def test_what_does_not_exist_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, content in {
        "page.md": BROKEN,
        "README.md": "",
        "Makefile": "demo: install",
        "dags/web_to_gcs.py": "one\ntwo\n",
        "plugins/months.py": "",
        "local/cloud.py": "",
        "tests/something.py": "",
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(content)
    monkeypatch.setitem(globals(), "REPOSITORY", tmp_path)
    files.cache_clear()
    page = tmp_path / "page.md"
    try:
        dead = ["docs/nothing.md", "#nowhere", "dags/web_to_gcs.py#L2-L3", "../outside.md", "docs/nothing.png"]
        assert broken_links(page) == dead
        assert wrong_addresses(page) == ["http://example.com", "https://example", "https://example.com/a."]
        assert missing_paths(page) == ["dags/nothing.py", "nothing.sql"]
        assert missing_modules(page) == ["local.nothing", "tests.nothing"]
        assert missing_targets(page) == ["nothing"]
    finally:
        files.cache_clear()
