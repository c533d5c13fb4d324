"""Mistakes on the command line in one sentence, with the nearest valid names."""

import difflib
import inspect
import re
from collections.abc import Iterable
from itertools import accumulate
from operator import itemgetter
from pkgutil import resolve_name

from jsonargparse import ArgumentParser

__all__ = ["explain", "is_none", "lacks", "nearest"]

# So many names are listed where none is near, by the likeness that difflib calls a ratio.
_FEW, _NEAR = 20, 0.6
# What jsonargparse says of a class that is abstract, or none of those wanted; it names the class here or further on.
_UNFIT = (
    r"(?:but|Import path) (?:([\w.]+) )?(?:is abstract|does not correspond to a subclass of (\w+))"
    r"(?:.*?Given value: ([\w.]+\w))?"
)
# What it says where an entry of a list is no options of the one class that entries have, such as a bare regularizer.
_NO_ENTRY = r"\s+Does not validate .*?Subtypes: \[<class '([\w.]+)'>, tuple.*?Given value: (?:graphmi\.\w+\.)?(.+?)\n"
_REFUSED = r"(?:Option '[\w.+]+' is not accepted|unrecognized arguments: \S+)"
# What it says was given: the rest of a line, after which it says the same of the whole of which that is a part.
_GIVEN, _EMPTY = r"(.*?)(?:\. Got value: |$)", "''"
# jsonargparse takes the first argument with a name for the one that graphmi gives.
_FIRST = "the class needs a first argument with a name of its own, such as 'graph', before '*args'"


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a hint: ``did you mean ...?``, or the names of the same group where none is near and they are few.

    Names such as ``--model.num_interests`` are compared by what stands after the last point, and those of the group of
    the name, ``--model``, come first.
    """
    group, _, word = name.rpartition(".")
    matcher, near, beside = difflib.SequenceMatcher(b=word.strip("-").lower()), [], []
    for known in dict.fromkeys(names):
        inside, _, last = known.rpartition(".")
        matcher.set_seq1(last.strip("-").lower())
        if matcher.ratio() >= _NEAR:
            near.append((inside == group, matcher.ratio(), known))
        if inside == group:
            beside.append(known)
    near.sort(key=itemgetter(0, 1), reverse=True)
    if near:
        return f"did you mean {' or '.join(known for *_, known in near[:2])}?"
    return f"there are {', '.join(beside)}" if 0 < len(beside) <= _FEW else "see --help"


def explain(message: str, parser: ArgumentParser, names: list[str]) -> str:
    """Turn a message of jsonargparse, which can be many lines, into one sentence.

    Args:
        message: Of an error.
        parser: What has found it.
        names: Class names that may be given without their module.
    """
    keys = re.findall(r'Parser key "([\w.]+)"', message)
    path = ".".join(keys)
    known = [option for option in parser._option_string_actions if re.fullmatch(r"--[\w.]+", option)]
    if found := re.search(r"unrecognized arguments: --([^\s=]+)|Option '([\w.+]+)' is not accepted", message):
        return _no_option(message, found[1] or found[2], path, known)
    if found := re.search(r"unrecognized arguments: (.+)", message):
        return f"'{found[1]}' is one word too many"
    if found := re.search(r"arguments are required: (\w+)", message):
        if found[1] in (action.dest for action in parser._actions if not action.option_strings):
            return f"'{parser.prog}' needs {found[1].upper()}: see {parser.prog} --help"
        if found[1] == "graph":
            return f"'--{path}' cannot be made: {_FIRST}"
        return f"'--{'.'.join([*keys, found[1]])}' is missing"
    if found := re.search(r"Group '([\w.]+)' does not accept option '([\w.]+)'", message):
        name = f"--{found[1]}.{found[2]}"
        return f"there is no option '{name}' ({nearest(name, known)})"
    if found := re.search(r"No module named '([\w.]+)'", message):
        return f"'--{path}' names a class that cannot be imported: there is no module '{found[1]}'"
    if found := re.search(r"Expected '([\w.]+)' to be .*? of <class '(\w+)'>", message):
        return is_none(path, found[1], found[2])
    if found := re.search(_UNFIT, message, flags=re.S):
        given = found[1] or found[3]
        return is_none(path, given, found[2]) if found[2] else lacks(path, given)
    if keys and (found := re.search(rf'"{keys[-1]}":{_NO_ENTRY}', message, flags=re.S)):
        return _is_no_entry(path, found[2], resolve_name(found[1]))
    if found := re.search(r"Parameter '(\w+)' from '[\w.]*?(\w+)\.__init__' does not specify a type", message):
        return f"'--{path}': argument '{found[1]}' of {found[2]} needs a type, such as {found[1]}: float"
    if found := re.search(r"module '([\w.]+)' has no attribute '(\w+)'", message):
        there = [f"{found[1]}.{one}" for one, _ in inspect.getmembers(resolve_name(found[1]), inspect.isclass)]
        return f"'--{path}': no class is named '{found[1]}.{found[2]}' ({nearest(f'{found[1]}.{found[2]}', there)})"
    if found := re.search(rf"has no attribute '(\w+)'|a dot import path string: {_GIVEN}", message, flags=re.M):
        name = found[1] or found[2]
        return f"'--{path}': no class is named '{name}' ({nearest(name, names)})"
    if found := re.search(rf"Unable to load config '(.*)'|abc\.Mapping'>\. Got value: {_GIVEN}", message, flags=re.M):
        name = ".".join(dict.fromkeys(keys))
        return f"'--{name}' takes no value of its own (got {found[1] or found[2]}): write --{name}.NAME VALUE"
    if found := re.search(r"Expected an? .+?\. Got value: NestedArg\(key='([\w.]+)'", message):
        return f"there is no option '--{path}.{found[1]}': '--{path}' is a value"
    # The innermost expectation comes first.
    if found := re.search(rf"Expected an? (?:typing\.)?(.+?)\.? Got value: {_GIVEN}", message, flags=re.M):
        expected = re.sub(r"<class '([\w.]+)'>", r"\1", found[1])
        if expected == "collections.abc.Sequence":
            return f"'--{path}' is a list, to which '--{path}+' adds an entry (got {found[2].rpartition('.')[2]})"
        if expected.startswith("tuple"):
            return f"'--{path}' must be a list{expected[5:]} in brackets, as in '[.8, .1, .1]' (got {found[2]})"
        if expected == "float" and _is_infinite(found[2]):
            expected = "a finite number"
        if expected.startswith("import path"):
            expected = "a class"
        choices = re.fullmatch(r"Literal\[(.+)\]", expected)
        wanted = f"one of {choices[1]}" if choices else expected
        return f"'--{path}' must be {wanted} (got {found[2] or _EMPTY})"
    if found := re.search(r"Union subtypes\n.*Given value: (.*?)(?:\. Got value: |$)", message, flags=re.S):
        kinds = re.findall(r"^ *- Expected an? (?:typing\.Literal\[(.+)\]|<class '([\w.]+)'>)$", message, flags=re.M)
        if kinds and (option := re.match(r"NestedArg\(key='([\w.]+)'", found[1])):
            return f"'--{path}.{option[1]}' is an option of a class, and '--{path}' names none: see 'graphmi parts'"
        if kinds:
            plain_words = {"NoneType": "null", "collections.abc.Sequence": "list"}
            if _is_infinite(found[1]):
                plain_words["float"] = "a finite number"
            *most, last = [choices or plain_words.get(kind, kind) for choices, kind in kinds]
            return f"'--{path}' must be {', '.join(most)}{' or ' * bool(most)}{last} (got {found[1] or _EMPTY})"
    return re.sub(r"\s+", " ", message).strip()


def _is_infinite(text: str) -> bool:
    return text.lower().lstrip("+-") in ("nan", "inf", "infinity")


def is_none(path: str, given: str, wanted: str) -> str:
    """Say that what an option names, a class on the import path, is none of the kind that is wanted."""
    article = "an" if wanted[0] in "AEIOU" else "a"
    return f"'--{path}' must be {article} {wanted}, and {given.rpartition('.')[2]} is none"


def _is_no_entry(path: str, given: str, wanted: type) -> str:
    named = [f"+ {wanted.__name__}", *(f".{name} {name.upper()}" for name in inspect.signature(wanted).parameters)]
    words = " ".join(f"--{path}{word}" for word in named)
    return f"an entry of '--{path}' must be {wanted.__name__} (got {given}): write {words}"


def lacks(path: str, given: str) -> str:
    """Say which methods the class lacks that an option names, by its path."""
    if given.startswith("graphmi."):
        name = given.rpartition(".")[2]
        return f"'--{path}' cannot be {name}, which is what its classes have in common: name one (see 'graphmi parts')"
    lacking = ", ".join(sorted(resolve_name(given).__abstractmethods__))
    return f"'--{path}' cannot be {given.rpartition('.')[2]}, which is abstract: it lacks {lacking}"


def _no_option(message: str, option: str, path: str, known: list[str]) -> str:
    """Say that an option is none: of the class at a path, or of the parser, whose options are known."""
    first = option.partition(".")[0]
    if hint := _class_hint(message, first, path):
        return f"there is no option '--{path}.{first}' ({hint})"
    name = f"--{path}.{option}" if path else f"--{option}"
    if (hint := nearest(name, known)) == "see --help":
        begins = accumulate(name.split("."), "{}.{}".format)
        name = next((begin for begin in begins if not any(one.startswith(f"{begin}.") for one in known)), name)
        hint = nearest(name, known)
    return f"there is no option '{name}' ({hint})"


def _class_hint(message: str, option: str, path: str) -> str | None:
    """Return the nearest options of the class that refused one; ``None`` where no class is named."""
    found = re.search(rf"class_path '([\w.]+)':\s+{_REFUSED}", message)
    found = found or re.search(rf"{_REFUSED}\. Got value: Namespace\((?:init_args=.*)?class_path='([\w.]+)'", message)
    if not found:
        return None
    kind, name = resolve_name(found[1]), found[1].rpartition(".")[2]
    parameters = inspect.signature(kind).parameters
    if option in parameters:
        keyword = parameters[option].kind is inspect.Parameter.KEYWORD_ONLY
        return _FIRST if keyword else f"graphmi itself sets '{option}' of {name}"
    named = [one.name for one in parameters.values() if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    given = _given_by_graphmi(message, kind, named)
    options = [f"--{path}.{one}" for one in named if one not in given]
    return nearest(f"--{path}.{option}", options) if options else f"{name} has no options"


def _given_by_graphmi(message: str, kind: type, parameters: list[str]) -> list[str]:
    """Return which parameters of a class that refused an option are none: where it is a factory, its caller's."""
    factory = r"Type (?:collections\.abc\.Callable\[\[(.*?)\], ([\w.]+)\]|<class '([\w.]+)'>) expects a .* class: "
    found = re.search(factory + _REFUSED, message)
    if found and found[3]:
        called = inspect.signature(resolve_name(found[3]).__call__).parameters.values()
        named = [one.name for one in called if one.kind is one.KEYWORD_ONLY]
        return parameters[: len(called) - len(named) - 1] + named  # without self
    return parameters[: len(found[1].split(", "))] if found and issubclass(kind, resolve_name(found[2])) else []
