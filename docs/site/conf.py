# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings of Sphinx for the site of `make docs`. build.py makes the folder of sources that Sphinx reads."""

from __future__ import annotations

project = "flotilla.swarm"
author = "The Flotilla authors"
project_copyright = "2026, the Flotilla authors"

extensions = ["myst_parser", "sphinx_antsibull_ext"]
myst_heading_anchors = 4
highlight_language = "text"
# Examples in tables are copied, so a quotation mark stays what it is.
smartquotes = False
# A plan or a page of JSON with dots in it is no valid YAML or JSON, and is shown as it is.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_title = "flotilla.swarm"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_use_index = False
