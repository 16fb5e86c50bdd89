"""Devices, cores and threads of this machine."""

import os

import pytest
import torch

from netshare.preprocess.errors import ConfigError
from netshare.training.devices import available_cores, device_of, threads


def test_the_device_named_or_the_best_there_is():
    assert device_of("cpu") == "cpu"
    assert device_of("auto") == ("cuda" if torch.cuda.is_available() else "cpu")


def test_no_device_is_one_line():
    with pytest.raises(ConfigError, match=r"training\.device is gpu; write cpu, cuda, cuda:N or auto"):
        device_of("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_device_that_is_not_here_is_one_line():
    with pytest.raises(ConfigError, match=r"training\.device is cuda:1, but this machine has no CUDA device"):
        device_of("cuda:1")


def test_threads_are_as_before_afterwards_even_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot bind a process to cores")
def test_cores_that_the_process_may_not_use_do_not_count():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert available_cores() == len(allowed)
