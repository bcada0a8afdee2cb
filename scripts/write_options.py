"""Write the table of options into docs/options.md, from the settings themselves: `make docs`."""

from __future__ import annotations

import re
from pathlib import Path

from sqlcoder_magic.settings import options_table

PAGE = Path(__file__).parent.parent / "docs" / "options.md"


def main() -> None:
    text = PAGE.read_text("utf-8")
    table = re.compile(r"\| option \| setting .*?\n(?!\|)", re.S)
    PAGE.write_text(table.sub(lambda _: options_table(), text, count=1), "utf-8")


if __name__ == "__main__":
    main()
