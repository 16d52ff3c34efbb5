"""What MkDocs does not know of the pages: their order, which ``docs/index.md`` has, and which links leave ``docs/``."""

import re
from pathlib import Path
from typing import Any

__all__ = ["navigation", "on_config", "on_page_markdown"]

_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)#]+)\)")
_GROUP = re.compile(r"^## (.+)\n((?:(?!## ).*\n?)*)", re.MULTILINE)
_PAGE = re.compile(r"\]\(([\w-]+\.md)\)")


def navigation(index: str) -> list[Any]:
    """Return the site's navigation: the index, and under each of its headings the pages that are linked there.

    Args:
        index: The text of ``docs/index.md``.
    """
    return ["index.md", *({name: _PAGE.findall(text)} for name, text in _GROUP.findall(index))]


def on_config(config: Any) -> None:
    """Give the site its navigation.

    Args:
        config: MkDocs' configuration, which is changed.
    """
    config.nav = navigation(Path(config.docs_dir, "index.md").read_text(encoding="utf-8"))


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page's text with each link that leaves ``docs/`` as its words and, where these are not it, the path.

    Args:
        markdown: The page's text.
    """
    return _OUTSIDE.sub(lambda link: link[1] if link[2] in link[1] else f"{link[1]} (`{link[2]}`)", markdown)
