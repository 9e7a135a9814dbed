"""How Sphinx makes a website of these pages; they are plain Markdown and read well without it.

A page needs nothing from elsewhere when it is read, not even a server: search works from a file.
"""

from __future__ import annotations

project = "loyalty_wallet"
author = "The loyalty-wallet maintainers"
language = "en"

extensions = ["myst_parser"]
myst_enable_extensions = ["tasklist"]
# Links between pages may name headings, as on GitHub: errors.md#rate_limited.
myst_heading_anchors = 4
exclude_patterns = ["requirements.txt"]
nitpicky = True

html_theme = "furo"
html_title = "loyalty_wallet"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
