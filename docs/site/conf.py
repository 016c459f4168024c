"""Settings of the documentation site: README and docs/ as they are, built by ``make site`` into ``build/site``.

The pages are written for GitHub. What a site needs beyond them is in :mod:`github_pages`.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "NYC taxi trips on Apache Airflow 3"
html_title = project

extensions = ["myst_parser", "github_pages"]
# The source folder is the repository, so that the links between README and docs/ are right as they are.
root_doc = "README"
include_patterns = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docs/*.md"]
exclude_patterns = ["**/.venv", ".git", ".local", "build"]

# Anchors as GitHub makes them, for all headings that are linked to.
myst_heading_anchors = 4
# Links to code and folders, which github_pages turns into pages of the site.
myst_url_schemes = {"http": None, "https": None, "mailto": None, "code": None}
# A block without a language is a command and its output.
highlight_language = "text"

html_theme = "furo"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
