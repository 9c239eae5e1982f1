"""The hierarchy of categories: `user.contact.email` lies below `user.contact` and `user`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from proxy.policy.model import Category, Mask, NullMask, Read


def ancestors(category: str) -> tuple[str, ...]:
    """The category itself, then everything above it, nearest first."""
    parts = category.split(".")
    return tuple(".".join(parts[:length]) for length in range(len(parts), 0, -1))


def covers(entry: str, category: str) -> bool:
    """Is `category` the entry itself or below it?"""
    return category == entry or category.startswith(f"{entry}.")


def longest_read(reads: Iterable[Read], category: str) -> Read | None:
    """The entry of a purpose's `reads` that decides on `category`: the longest that covers it."""
    covering = [read for read in reads if covers(read.category, category)]
    return max(covering, key=lambda read: len(read.category), default=None)


def category_mask(categories: Mapping[str, Category], category: str) -> Mask:
    """The category's mask, or the nearest one above it; NULL where nothing says."""
    for name in ancestors(category):
        declared = categories.get(name)
        if declared is not None and declared.mask is not None:
            return declared.mask
    return NullMask()


def is_sensitive(categories: Mapping[str, Category], category: str) -> bool:
    """Is the category, or one above it, declared sensitive?"""
    declared = (categories.get(name) for name in ancestors(category))
    return any(found is not None and found.is_sensitive for found in declared)
