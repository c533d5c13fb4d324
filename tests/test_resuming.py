"""What a run may be resumed with, from rows and options alone."""

from types import SimpleNamespace

import pytest

from graphmi.commands.resuming import check_epochs, check_options
from graphmi.config import preset_texts, read_config
from graphmi.run import RunFolder
from graphmi.usage import UsageError


def config(*words):
    return read_config(*preset_texts("mf"), arguments=["--data", "planted", *words])


@pytest.mark.parametrize(
    "words",
    [
        ["--trainer.epochs", "9", "--trainer.patience", "7"],
        ["--trainer.accelerator", "cpu", "--trainer.progress", "false"],
        ["--description", "Mine.", "--paper", "None yet."],
    ],
)
def test_what_decides_nothing_of_the_epochs_that_are_done_may_change(words):
    check_options(RunFolder("run"), config(), config(*words))


@pytest.mark.parametrize(
    ("words", "before", "now"),
    [
        (["--columns.num_users", "80"], "'--columns.num_users' is 80, .* has None", "is None, .* has 80"),
        (["--model.num_layers", "2"], "'--model.num_layers' is 2, .* has 0", "'--model.num_layers' is 0, .* has 2"),
        (["--trainer.validate_every", "2"], "'--trainer.validate_every' is 2, ", "'--trainer.validate_every' is 1, "),
    ],
)
def test_an_option_that_was_added_changed_or_taken_away_is_named(words, before, now):
    one, other = config(), config(*words)
    with pytest.raises(UsageError, match=before):
        check_options(RunFolder("run"), one, other)
    with pytest.raises(UsageError, match=now):
        check_options(RunFolder("run"), other, one)


@pytest.mark.parametrize(
    ("values", "options", "refused"),
    [
        ([0.1, 0.2, 0.3], {"epochs": 3}, None),
        ([0.1, 0.2, 0.3], {"epochs": 2}, "has 3 done: ask for 3 or more"),
        ([None, 0.1], {"epochs": 4, "validate_every": 2}, None),
        ([None, 0.1, None], {"epochs": 4, "validate_every": 2}, None),
        ([None, 0.1, None], {"epochs": 3, "validate_every": 2}, "was not validated as the last: ask for more than 3"),
        ([None, 0.1, 0.2], {"epochs": 3, "validate_every": 2}, None),
        ([None, 0.1, 0.2], {"epochs": 4, "validate_every": 2}, "was validated as the last: keep to 3"),
        ([0.5, 0.4, 0.4, 0.4], {"patience": 3}, None),  # whatever the latest was, the run went on
        ([0.5, 0.4, 0.4, 0.4], {"patience": 2}, "after 2 validations without improvement: ask for 3 or more"),
        ([0.5, 0.5, 0.5, 0.5], {"patience": 2}, "ask for 3 or more"),
        ([0.5, 0.3, 0.4, 0.4], {"patience": 2}, "ask for 3 or more"),  # better than the last, not than the best
        ([0.5, 0.4, 0.4, 0.6, 0.7], {"patience": 2}, "ask for 3 or more"),
        ([None, 0.5, None, 0.4, None, 0.4], {"patience": 1, "validate_every": 2}, "ask for 2 or more"),
    ],
)
def test_epochs_that_are_done_would_have_been_done(tmp_path, values, options, refused):
    rows = [{"loss": 1.0} if value is None else {"loss": 1.0, "ndcg@20": value} for value in values]
    RunFolder(tmp_path).write_state({"history": {"rows": rows}})
    trainer = SimpleNamespace(**{"epochs": 9, "patience": None, "validate_every": 1, "monitor": "ndcg@20"} | options)
    experiment = SimpleNamespace(trainer=trainer, refit=False)
    if refused is None:
        check_epochs(RunFolder(tmp_path), experiment)
    else:
        with pytest.raises(UsageError, match=refused):
            check_epochs(RunFolder(tmp_path), experiment)


def test_a_run_without_a_state_begins_anew_unless_it_has_ended(tmp_path):
    folder, experiment = RunFolder(tmp_path), SimpleNamespace(trainer=None)
    folder.write_metrics([{"loss": 1.0}])
    check_epochs(folder, experiment)
    folder.write_result({})
    with pytest.raises(UsageError, match="has ended, and no state to go on from is there: train again"):
        check_epochs(folder, experiment)
