"""Signatures: how what is imported is called or made."""

from collections.abc import Iterator, Sequence

import griffe

from deploy.site.docstrings import WIDTH

__all__ = ["declared", "is_error"]

_STARS = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}
_LONGEST_VALUE = 80


def declared(found: griffe.Object | griffe.Alias) -> str:
    """Return a signature, or a name and its value."""
    if isinstance(found, griffe.Function):
        marks = "".join(f"@{mark}\n" for mark in ("classmethod", "staticmethod") if mark in found.labels)
        begin = f"{'async ' if 'async' in found.labels else ''}def {found.name}"
        end = f" -> {found.returns}" if found.returns is not None else ""
        return marks + _call(begin, [p for p in found.parameters if p.name not in {"self", "cls"}], end)
    if isinstance(found, griffe.Class):
        return _class(found)
    if not isinstance(found, griffe.Attribute):
        raise TypeError(f"{found.path} is a {found.kind.value}, for which the page has no form")
    typed = f": {found.annotation}" if found.annotation is not None else ""
    value = str(found.value) if len(str(found.value)) <= _LONGEST_VALUE else "..."
    return f"{found.name}{typed}" + ("" if "property" in found.labels else f" = {value}")


def _class(found: griffe.Class) -> str:
    """Return the signature of a class's constructor; for a class that users do not construct, its kind."""
    bases = [str(base) for base in found.bases]
    if any(base.endswith("Enum") for base in bases):
        named = [member for member in found.members.values() if isinstance(member, griffe.Attribute) and member.value]
        return f"class {found.name}({', '.join(bases)}):\n" + "\n".join(f"    {m.name} = {m.value}" for m in named)
    if is_error(found) or any(base.startswith("Protocol") for base in bases):
        return f"class {found.name}({', '.join(bases)})"
    # One that is opened by a method of its own is not made in any other way.
    made = [] if "connect" in found.members else list(_made_with(found))
    return _call(f"class {found.name}", made, "") if made else f"class {found.name}"


def is_error(found: griffe.Object) -> bool:
    """Return whether it is a class of exceptions."""
    if not isinstance(found, griffe.Class):
        return False
    outer = any(str(base).endswith(("Error", "Exception", "Warning")) for base in found.bases)
    return outer or any(is_error(base) for base in found.resolved_bases if isinstance(base, griffe.Class))


def _made_with(found: griffe.Class) -> Iterator[griffe.Parameter]:
    """Return what its constructor takes: one of its own, or its fields."""
    if isinstance(made := found.members.get("__init__"), griffe.Function):
        yield from (p for p in made.parameters if p.name != "self")
        return
    only = any("kw_only" in str(part) for part in (*found.keywords.items(), *found.decorators))
    kind = griffe.ParameterKind.keyword_only if only else griffe.ParameterKind.positional_or_keyword
    for field in found.members.values():
        if isinstance(field, griffe.Attribute) and _is_field(field):
            yield griffe.Parameter(field.name, annotation=field.annotation, kind=kind, default=field.value)


def _is_field(found: griffe.Attribute) -> bool:
    if found.name.startswith("_") or found.annotation is None or "property" in found.labels:
        return False
    return "ClassVar" not in str(found.annotation) and "init=False" not in str(found.value)


def _call(begin: str, parameters: Sequence[griffe.Parameter], end: str) -> str:
    written: list[str] = []
    for parameter in parameters:
        if parameter.kind is griffe.ParameterKind.keyword_only and not any(p.startswith("*") for p in written):
            written.append("*")
        stars = _STARS.get(parameter.kind, "") if parameter.kind is not None else ""
        typed = f": {parameter.annotation}" if parameter.annotation is not None else ""
        default = "" if parameter.default is None or stars else f" = {_value(parameter.default)}"
        written.append(f"{stars}{parameter.name}{typed}{default}")
        if parameter.kind is griffe.ParameterKind.positional_only:
            written.append("/")
    line = f"{begin}({', '.join(written)}){end}"
    if len(line) <= WIDTH or not written:
        return line
    return f"{begin}(\n" + "".join(f"    {part},\n" for part in written) + f"){end}"


def _value(default: str | griffe.Expr) -> str:
    """Return a default; for a private constant of a module, its value."""
    if (
        isinstance(default, griffe.ExprName)
        and default.name.startswith("_")
        and isinstance(default.parent, griffe.Object)
    ):
        constant = default.parent.module.members.get(default.name)
        if isinstance(constant, griffe.Attribute) and constant.value is not None:
            return str(constant.value)
    return str(default)
