"""Names of runs, after the paths of their folders."""

import re
from collections.abc import Sequence
from itertools import count
from pathlib import Path

__all__ = ["path_but_seed", "unique_tails"]

# What the name of a file may hold and no XML does: control characters, bytes that are not UTF-8, and no characters.
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def path_but_seed(path: Path, seed: int) -> Path:
    """Return the path of a run without the seed at its end, as that of all seeds: ``one`` for ``one-seed3``."""
    path = path.resolve()
    name = path.name.removesuffix("-refit")
    name = re.sub(rf"(^|[^\w.]+|_+)(seed)?[\W_]*{seed}$", "", name, flags=re.IGNORECASE)
    path = path.with_name(name) if name else path.parent
    # The best trial of a search has the name of the search: which one it was differs from data set to data set.
    return path.parent if re.fullmatch(r"trial-\d+", path.name) else path


def unique_tails(paths: Sequence[Path]) -> list[str]:
    """Return as much of the end of each path as tells it from the others, in characters that any text may hold."""
    tails = ([Path(*path.parts[-depth:]).as_posix() for path in paths] for depth in count(1))
    names = next(names for names in tails if len(set(names)) == len(set(paths)))
    return [_NO_TEXT.sub(lambda found: ascii(found[0])[1:-1], name) for name in names]
