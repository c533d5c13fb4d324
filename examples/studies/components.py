"""Options that are classes with arguments, as configurations have them."""

from question import Options


def component(module: str, name: str, **arguments: object) -> dict[str, object]:
    """Return a class of graphmi with its arguments."""
    return {"class_path": f"graphmi.{module}.{name}", "init_args": arguments}


def regularizers(*weighted: tuple[float, dict[str, object]]) -> Options:
    """Return the options of a loss with these weights and regularizers alone; a weight of 0 is none."""
    return {"loss__regularizers": [{"weight": weight, "regularizer": one} for weight, one in weighted if weight]}
