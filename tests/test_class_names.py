"""Words and files with short names, as they are handed on."""

import pytest
import yaml

from graphmi.class_names import full_name, full_names
from graphmi.usage import UsageError


@pytest.mark.parametrize(
    ("word", "full"),
    [
        ("BPRLoss", "graphmi.losses.BPRLoss"),
        ("--loss.objective=BPRLoss", "--loss.objective=graphmi.losses.BPRLoss"),
        ("my=BPRLoss", "my=BPRLoss"),
        ("--data={a: 2020-13-01}", "--data={a: 2020-13-01}"),  # a date that there is not
        ("{class_path: BPRLoss", "{class_path: BPRLoss"),
        ("--columns={user:  1e3}", "--columns={user:  1e3}"),  # no class, and not a letter is changed
        ("[{a:  [EASE]}]", "[{a: [graphmi.models.EASE]}]"),
    ],
)
def test_words_name_classes_with_their_modules(word, full):
    assert full_name(word) == full


def test_numbers_beside_a_name_are_numbers_and_a_long_word_is_one_line():
    numbers = {"1e3": 1e3, "-2E-3": -2e-3, "+1e+2": 1e2, "1.5e3": 1.5e3, "2.E1": 20.0, "e3": "e3", "1e3x": "1e3x"}
    word = full_name(f"--loss={{class_path: BPRLoss, init_args: {{a: [{', '.join([*numbers] * 20)}]}}}}")
    option, _, value = word.partition("=")
    assert option == "--loss"
    assert "\n" not in value
    assert yaml.safe_load(value)["init_args"]["a"] == [*numbers.values()] * 20


def test_texts_and_data_of_a_file_are_no_classes():
    text = full_names(
        "description: EASE\nmodel: EASE\ndata: EASE\nsplit: {class_path: RandomSplit, dict_kwargs: {a: 1}}"
    )
    assert yaml.safe_load(text) == {
        "description": "EASE",
        "model": "graphmi.models.EASE",
        "data": "EASE",
        "split": {"class_path": "graphmi.data.RandomSplit", "dict_kwargs": {"a": 1}},
    }


def test_what_has_nothing_but_comments_below_is_not_there():
    text = "trainer:\n  # epochs: 3\nfilter: null\ncolumns:\nloader:\n  class_path: EASE\n  init_args:\n    # a: 3"
    assert yaml.safe_load(full_names(text)) == {"loader": {"class_path": "graphmi.models.EASE"}}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        *((f"{name}: x", f"'{name}' in a file .* say '--{name}'") for name in ("config", "backbone", "out", "resume")),
        ("model: {class_path: 3}", r"'class_path' must be the name of a class \(got 3\)"),
        ("loss: {class_path: my.Loss, 3: 4, b: 5}", "under its 'init_args', and '3' of my.Loss does not"),
    ],
)
def test_what_a_file_cannot_say(text, sentence):
    with pytest.raises(UsageError, match=sentence):
        full_names(f"seed: 3\n{text}")


def test_the_line_of_a_mistake_is_counted_from_one():
    with pytest.raises(UsageError, match=r"not valid YAML \(line 2\)$"):
        full_names("seed: 3\nmodel: ]\n")
