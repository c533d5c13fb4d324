"""Texts of help as people would write them in a terminal."""

import re
from argparse import Action

from jsonargparse import DefaultHelpFormatter

__all__ = ["Help", "plain"]


class Help(DefaultHelpFormatter):
    """Help in which classes have their short names, and only those of graphmi are listed."""

    def _expand_help(self, action: Action) -> str:
        text = plain(super()._expand_help(action))
        text = re.sub(r"\{'class_path': '[\w.]+?(\w+)'\}", r"\1", text)
        return re.sub(r", known subclasses: (.*)\)$", lambda found: _own_classes(found[1], action.dest), text)


def plain(text: str) -> str:
    """Return a text of docstrings as people would write it in a terminal: no roles, and formulas without TeX."""
    text = re.sub(r":math:`([^`]*)`", lambda found: _formula(found[1]), text)
    text = re.sub(r":\w+:`(?:~[\w.]*\.)?([^`]*)`", r"\1", text)
    text = re.sub(r"`([^`<]+) <([^>]+)>`_", r"\1, \2", text)
    return text.replace("``", "")


def _formula(tex: str) -> str:
    """Return a formula of TeX in plain letters: exp(<m_k, e_i> / tau)."""
    tex = tex.replace(r"\langle ", "<").replace(r" \rangle", ">").replace(r"\,", " ")
    tex = tex.replace(r"\dots", "...").replace(r"\propto", "proportional to")
    tex = re.sub(r"(?<=\w)\\", " ", tex)
    return re.sub(r"\\(?:text|operatorname)?", "", tex).translate(str.maketrans("{}", "()"))


def _own_classes(text: str, option: str) -> str:
    """Return the end of a help text with the classes that it lists."""
    package = r"graphmi\.models" if option == "model" else r"graphmi\.\w+"  # a model can be any module of torch
    names = re.findall(rf"{package}\.(\w+)(?:,|$)", text)
    return f"; {', '.join(names)} or another class)" if names else ")"
