"""What is asked of torch for a while is as it was before afterwards."""

import threading

import pytest
import torch
from threadpoolctl import ThreadpoolController, threadpool_limits

from dsr.devices import evaluating, one_numpy_thread, one_thread


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("error", [None, ZeroDivisionError])
def test_one_thread_inside_and_all_of_them_again_afterwards(error):
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
            if error:
                raise error
    except ZeroDivisionError:
        pass
    assert torch.get_num_threads() == 3


def test_parts_that_were_frozen_stay_frozen():
    model = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.BatchNorm1d(1)).train()
    model[1].eval()
    with evaluating(model):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == [True, True, False]


@pytest.mark.parametrize("error", [None, ZeroDivisionError])
def test_numpy_has_one_thread_as_long_as_anybody_is_inside(error):
    def threads():
        return [library.num_threads for library in ThreadpoolController().select(user_api="blas").lib_controllers]

    with threadpool_limits(2, user_api="blas"):
        before = threads()
        try:
            with one_numpy_thread():
                with one_numpy_thread():
                    assert set(threads()) == {1}
                assert set(threads()) == {1}
                if error:
                    raise error
        except ZeroDivisionError:
            pass
        assert threads() == before


def test_one_thread_sets_the_limit_and_another_lifts_it():
    def threads():
        return {library.num_threads for library in ThreadpoolController().select(user_api="blas").lib_controllers}

    with threadpool_limits(2, user_api="blas"):
        before = threads()
        entered, leave = threading.Event(), threading.Event()

        def first():
            with one_numpy_thread():
                entered.set()
                leave.wait(10)

        one = threading.Thread(target=first)
        one.start()
        assert entered.wait(10)
        with one_numpy_thread():
            leave.set()
            one.join()
            assert threads() == {1}
        assert threads() == before
