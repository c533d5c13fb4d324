"""Shorter ways to what a class computes, and subclasses that compute something else."""

__all__ = ["without_shortcuts"]


def without_shortcuts(cls: type, base: type, method: str, shortcuts: tuple[str, ...]) -> None:
    """Take from a subclass that replaces a method what the class above says or does in place of that method.

    Without this, a subclass that replaces ``extract`` of an extractor would train on prefixes by the pass over all of
    them that it inherits, which knows nothing of its ``extract``.

    Args:
        cls: The subclass.
        base: The interface, which has the plain form of each shortcut.
        method: What the shortcuts shorten.
        shortcuts: Names of methods and attributes; those that the subclass has itself stay.
    """
    own = vars(cls)
    if method in own:
        for name in shortcuts:
            if name not in own:
                setattr(cls, name, getattr(base, name))
