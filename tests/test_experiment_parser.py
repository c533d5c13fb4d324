"""The parser that configurations share: what was read before leaves nothing behind."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from graphmi.config import preset_config, preset_texts, read_config
from graphmi.experiment_parser import experiment_parser, own_parser
from graphmi.usage import UsageError


def test_every_thread_has_one_parser():
    with ThreadPoolExecutor(1) as other:
        first, second = (other.submit(own_parser).result() for _ in range(2))
    assert first is second is not own_parser()


def test_what_was_read_or_refused_before_changes_nothing():
    preset_config("interest-gcn", "ml-1m", k=[5], split="TemporalSplit", trainer__learning_rate=1.0)
    for wrong in ({"trainer__epoch": 1}, {"model__num_interests": "x"}, {"loss__objective": "TripletLoss", "k": "x"}):
        with pytest.raises(UsageError):
            preset_config("mtmi", "ml-100k", **wrong)
    for name in ("mtmi", "lightgcn"):
        fresh = read_config(*preset_texts(name), arguments=["--data", "ml-100k"], parser=experiment_parser())
        assert preset_config(name, "ml-100k").text() == fresh.text()
