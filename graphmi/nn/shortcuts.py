"""Shorter ways to what a class computes, and subclasses that compute something else."""

from typing import ClassVar

__all__ = ["Shortcuts"]


class Shortcuts:
    """An interface whose classes may compute the same in shorter ways than by its main method.

    A subclass that replaces the main method of a class above it gets the plain form of the interface in place of each
    shortcut that it does not have itself. Without this, a subclass that replaces ``extract`` of an extractor would
    train on prefixes by the pass over all of them that it inherits, which knows nothing of its ``extract``.

    Attributes:
        shortcuts: Each a method and the methods and attributes that go past it, of which the interface has plain forms:
            ``None`` where it has nothing.
    """

    shortcuts: ClassVar[tuple[tuple[str, ...], ...]] = ()

    def __init_subclass__(cls, **options: object) -> None:
        """Put plain forms in place of what a subclass inherits past its own methods."""
        super().__init_subclass__(**options)
        own = vars(cls)
        interface = next(base for base in cls.__mro__ if "shortcuts" in vars(base))
        passed = {name for method, *names in cls.shortcuts if method in own for name in names}
        for name in passed - own.keys():
            setattr(cls, name, getattr(interface, name, None))
