"""The page, from a checkout or on a hub Space: `python app.py` is `sdpo-workbench app`, with the same options."""

from __future__ import annotations

import sys

from workbench.cli import main

if __name__ == "__main__":
    sys.exit(main(["app", *sys.argv[1:]]))
