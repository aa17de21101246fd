"""Checks of arguments that are no arrays: each error names the argument, what was got and what was expected."""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from ._errors import InputError

#: What is done to points before they are paired.
_BEFORE = {
    "center": "x - x.mean(axis=0), and likewise y",
    "normalize": "x / np.linalg.norm(x, axis=1, keepdims=True), and likewise y",
}


def whole(value: Any, name: str, least: int = 0, most: int | None = None) -> int:
    """A whole number from ``least`` on, of any type that is one."""
    expected = f"a whole number of at least {least}" if most is None else f"a whole number from {least} to {most}"
    try:
        number = operator.index(value)
    except TypeError as error:
        raise InputError(f"{name} is {value!r}, expected {expected}") from error
    if isinstance(value, bool) or number < least or (most is not None and number > most):
        raise InputError(f"{name} is {value!r}, expected {expected}")
    return number


def number(value: Any, name: str) -> float:
    """A number of any kind."""
    try:
        if isinstance(value, (str, bytes, bool)):
            raise TypeError
        return float(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} is {value!r}, expected a number") from error


def seed(value: Any) -> int:
    """A seed."""
    return whole(value, "seed", 0, 2**63 - 1)


def threads(value: Any) -> int | None:
    """A number of worker threads."""
    return None if value is None else whole(value, "threads", 1, 4096)


def one_of(value: Any, name: str, choices: Collection[str]) -> str:
    """One of some words."""
    if isinstance(value, str) and value in choices:
        return value
    near = get_close_matches(value, choices, 1) if isinstance(value, str) else []
    meant = f", did you mean {near[0]!r}?" if near else ""
    raise InputError(f"{name} is {value!r}, expected one of {', '.join(map(repr, choices))}{meant}")


def known_settings(given: Iterable[str], function: str, settings: Collection[str], arguments: Collection[str]) -> None:
    """Refuses the first name that is neither; ``arguments`` are those of the signature, for the hint."""
    for name in given:
        if name in settings:
            continue
        if name in _BEFORE:
            raise InputError(f"{function} has no argument `{name}`: points are paired as they are\nhint: {_BEFORE[name]}")
        known = dict.fromkeys([*arguments, *settings])
        near = get_close_matches(name, known, 1)
        meant = f", did you mean `{near[0]}`?" if near else ""
        raise InputError(f"{function} has no argument `{name}`{meant}\nhint: its arguments are {', '.join(known)}")


def sections(recipe: Any) -> Mapping[str, Mapping[str, Any]]:
    """The sections of a recipe, each a mapping of its keys."""
    example = "for example recipe={'coupling': {'keep': 0.5}}"
    if not isinstance(recipe, Mapping):
        raise InputError(f"recipe is {recipe!r}, expected a mapping of sections, each a mapping of its keys\nhint: {example}")
    for section, keys in recipe.items():
        if isinstance(keys, Mapping):
            continue
        first, _, rest = str(section).partition(".")
        hint = f"recipe={{{first!r}: {{{rest!r}: {keys!r}}}}}" if rest else example
        raise InputError(f"recipe has {section!r} = {keys!r}, expected a section: a mapping of its keys\nhint: {hint}")
    return recipe
