"""Printable text: what came from elsewhere, shown so that it can neither steer a terminal nor look like more lines."""

import re

__all__ = ["printable", "printable_json"]

# Controls (C0 without tab and line feed, DEL, C1), line and paragraph separators, what turns the direction of writing,
# and lone surrogates, which no encoding can write.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, *, lines: bool = False) -> str:
    r"""Return a text with everything that is not seen written out, an escape as ``\x1b``.

    Args:
        text: Any text.
        lines: Whether it may have several lines and tabs; without, those are written out too.
    """
    written = _UNPRINTABLE.sub(_escape, text)
    return written if lines else written.replace("\n", "\\n").replace("\t", "\\t")


def printable_json(text: str) -> str:
    r"""Return the same JSON with everything that is not seen written as ``\uXXXX``, where JSON does not do so itself.

    Args:
        text: JSON, in which controls below the space stand outside of strings only, if at all.
    """
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _escape(match: "re.Match[str]") -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004  the last that two digits can name
