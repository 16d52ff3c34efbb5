"""Links of the pages that leave docs/, such as to an example's source: on the site they are the path, and no link."""

import re
from typing import Any

__all__ = ["on_page_markdown"]

_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)#]+)\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page's text with each such link as its words and, where these are not the path, the path.

    Args:
        markdown: The page's text.
    """
    return _OUTSIDE.sub(lambda link: link[1] if link[2] in link[1] else f"{link[1]} (`{link[2]}`)", markdown)
