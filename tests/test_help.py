"""Docstrings as people read them in a terminal."""

import pytest

from graphmi.help import plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r"is :math:`\exp(\langle m_k, e_i \rangle / \tau)`.", "is exp(<m_k, e_i> / tau)."),
        (r":math:`a\,b_{ij}, \dots, 2\lambda \propto c`", "a b_(ij), ..., 2 lambda proportional to c"),
        (r":math:`\operatorname{top}_k \text{of} x` and :math:`y`", "(top)_k (of) x and y"),
        ("of :class:`~graphmi.nn.Readout` or :meth:`run`", "of Readout or run"),
        ("of :class:`graphmi.nn.Readout`", "of graphmi.nn.Readout"),
        ("`One paper <https://a.b>`_, ``k`` of it", "One paper, https://a.b, k of it"),
    ],
)
def test_texts_are_plain(text, shown):
    assert plain(text) == shown
