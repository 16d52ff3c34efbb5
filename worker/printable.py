"""Printable text: foreign text, shown so that it can neither control a terminal nor look like further lines."""

import re

__all__ = ["printable", "printable_json"]

# Controls (C0 without tab and line feed, DEL, C1), line and paragraph separators, characters that change the writing
# direction, and lone surrogates, which cannot be encoded.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, *, lines: bool = False) -> str:
    r"""Return a text with every invisible character written out: an escape as ``\x1b``.

    Args:
        text: Any text.
        lines: Whether line feeds and tabs are kept; if not, they are written out as well.
    """
    written = _UNPRINTABLE.sub(_escape, text)
    return written if lines else written.replace("\n", "\\n").replace("\t", "\\t")


def printable_json(text: str) -> str:
    r"""Return the same JSON with every invisible character written as ``\uXXXX``, where JSON does not do so itself.

    Args:
        text: JSON. Control characters below the space occur only outside of strings.
    """
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _escape(match: "re.Match[str]") -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004  the last that two digits can show
