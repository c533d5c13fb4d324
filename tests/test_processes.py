"""What several processes are told by their environment; one process plays them one after the other."""

from contextlib import suppress
from inspect import signature
from unittest.mock import Mock

import pytest
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from graphmi import processes
from graphmi.processes import gathered, launched, make_fabric, position, speaking


@pytest.fixture
def torchrun(monkeypatch):
    """Make this process one of those of ``torchrun``."""

    def become(rank, world, here, **more):
        told = {"RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": here, "TORCHELASTIC_RUN_ID": "run"}
        place = {"LOCAL_RANK": rank % here, "GROUP_RANK": rank // here}
        for name, value in (told | place | more).items():
            monkeypatch.setenv(name, str(value))

    return become


@pytest.fixture
def store(torchrun):
    """The store of four processes, in which none has spoken."""
    made = distributed.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    torchrun(0, 4, 2, MASTER_ADDR="localhost", MASTER_PORT=made.port)
    return made


def heard():
    """Say whether a process that fails now is the one to print it."""
    with speaking() as first:
        return first


def test_one_process_is_the_first_of_one(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")  # of something else than torchrun
    assert (launched(), position(), gathered("own", 1), heard()) == (1, (0, 1), ["own"], True)


def test_several_processes_know_their_places_and_what_all_say(monkeypatch):
    for name, told in {"is_initialized": True, "get_rank": 1, "get_world_size": 2}.items():
        monkeypatch.setattr(distributed, name, lambda told=told: told)
    monkeypatch.setattr(distributed, "all_gather_object", lambda values, value: values.__setitem__(0, f"not {value}"))
    assert (position(), gathered("own", 2)) == ((1, 2), ["not own", "own"])


def test_processes_of_torchrun_are_those_of_all_its_machines(torchrun):
    torchrun(0, 6, 2)
    assert launched() == 6
    strategy = make_fabric("cpu", "32-true").strategy
    assert (strategy.num_processes, strategy.num_nodes) == (2, 3)
    torchrun(0, 1, 1)
    assert make_fabric("cpu", "32-true").world_size == 1


def test_a_device_that_is_not_there_is_refused(monkeypatch, torchrun):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert make_fabric("auto", "32-true").device.type == "cpu"
    with pytest.raises(ValueError, match="there is no CUDA device here; use 'auto' or 'cpu'"):
        make_fabric("cuda", "32-true")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    torchrun(0, 4, 2)
    for accelerator in ("cuda", "auto"):
        with pytest.raises(ValueError, match="torchrun started 2 processes, but there are 1 CUDA devices here"):
            make_fabric(accelerator, "32-true")
    assert make_fabric("cpu", "32-true").strategy.num_processes == 2


def test_each_process_of_a_machine_has_a_device(monkeypatch, torchrun):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(processes, "Fabric", lambda **made: made)
    torchrun(0, 4, 2)
    made = make_fabric("auto", "bf16-mixed")
    wanted = {"accelerator": "cuda", "devices": 2, "num_nodes": 2, "precision": "bf16-mixed"}
    assert {name: made[name] for name in wanted} == wanted
    options = made["strategy"]._ddp_kwargs
    assert options.pop("static_graph")
    [(buffers, sent)] = options.items()
    assert ("buffers" in buffers, buffers in signature(DistributedDataParallel).parameters, sent) == (True, True, False)


def said(store, attempt):
    return distributed.PrefixStore(attempt, store).check(["graphmi/said"])


def test_process_0_speaks_and_no_other(store, torchrun):
    with suppress(BrokenPipeError), speaking() as first:
        raise BrokenPipeError  # who reads has gone
    assert first
    assert said(store, "0")  # nobody has to wait
    for rank in (1, 3):
        torchrun(rank, 4, 2)
        assert not heard()


def test_another_speaks_where_process_0_does_not(store, torchrun, monkeypatch):
    assert heard()
    torchrun(1, 4, 2, TORCHELASTIC_RESTART_COUNT=1)  # all have begun again
    monkeypatch.setattr(processes, "_PATIENCE", 0.1)
    with speaking() as first:
        torchrun(0, 4, 2)
        assert (first, heard()) == (True, False)  # too late
        assert not said(store, "1")
    assert said(store, "1")


def test_process_0_comes_first_where_it_fails_later(store, torchrun, monkeypatch):
    waiting, told = Mock(wraps=store), []

    def until(keys, _):
        torchrun(0, 4, 2)
        monkeypatch.setattr(processes, "_common_store", lambda: store)
        with speaking() as first:
            told.append((first, store.check(keys)))
        store.wait(keys)

    waiting.wait.side_effect = until
    monkeypatch.setattr(processes, "_common_store", lambda: waiting)
    torchrun(1, 4, 2)
    assert not heard()
    assert told == [(True, False)]


def test_what_was_said_stays_said_where_torchrun_has_ended_meanwhile(store, monkeypatch):
    gone = Mock(wraps=store)
    gone.add.side_effect = [1, distributed.DistNetworkError("Broken pipe")]
    monkeypatch.setattr(processes, "_common_store", lambda: gone)
    assert heard()
    assert gone.add.call_count == 2
    gone.wait.assert_not_called()  # for itself


@pytest.mark.usefixtures("store")
def test_who_is_alone_or_finds_no_store_speaks_if_it_is_process_0(torchrun, monkeypatch):
    torchrun(0, 1, 1)
    assert heard()
    torchrun(0, 4, 2)
    assert heard()  # nobody had spoken to all
    monkeypatch.setattr(processes, "_CONNECTION", 0.1)
    torchrun(1, 4, 2, MASTER_PORT=1)
    assert not heard()
