"""Pieces in this process, in processes, and on a Ray cluster: the same results, whoever dies."""

import os
import pickle
import sys
from concurrent.futures import Future

import pytest

from mmsteer.errors import DataError, WorkerError
from mmsteer.workers import Here, opened
from mmsteer.workers.pool import RETRIES, Pool
from tests.workers.pieces import Deadly, Square, Wrong, start, start_elsewhere

# Ray leaves its own processes to the collector of garbage.
RAY = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module", params=["2", pytest.param("2@ray", marks=RAY)])
def workers(request):
    if "ray" in request.param:
        pytest.importorskip("ray", reason="Ray is not installed: uv pip install 'ray[client]'")
    with opened(request.param, start) as made:
        yield made


def squares(workers, pieces):
    return {piece.number: found for piece, (found, _) in workers.map(pieces)}


def test_this_process_does_a_piece_when_it_is_asked_for():
    class Loud(Square):
        def do(self, held):
            begun.append(self.number)
            return super().do(held)

    begun = []
    results = Here(start()).map([Loud(2), Loud(3)])
    assert begun == []
    assert next(results)[1] == (4, os.getpid())
    assert begun == [2]


def test_every_piece_is_done_once_elsewhere_and_the_dead_are_replaced(workers, tmp_path):
    # Half of the first pieces kill what does them; the second turn finds workers that live.
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    pieces = [Deadly(1, tmp_path / "a", RETRIES), Square(2), Square(3), Deadly(4, tmp_path / "b", 1), Square(5)]
    assert squares(workers, pieces) == {1: 1, 2: 4, 3: 9, 4: 16, 5: 25}
    assert len(list((tmp_path / "a").iterdir())) == RETRIES
    found, place = workers.one(Square(6))
    assert found == 36
    assert place != os.getpid()


def test_a_piece_that_kills_every_worker_is_one_error(workers, tmp_path):
    with pytest.raises(WorkerError, match="piece 1: 4 workers died at it"):
        squares(workers, [Deadly(1, tmp_path, RETRIES + 1), Square(2)])


class Mortal:
    """Stands in for a worker: each piece kills one."""

    lost = ConnectionError

    def __init__(self, seen):
        self._seen = seen

    def submit(self, piece):
        number, future = pickle.loads(piece).number, Future()
        if number in self._seen:
            future.set_result(pickle.dumps((True, number)))
        else:
            self._seen.add(number)
            future.set_exception(ConnectionError())
        return future

    def end(self):
        pass


def test_a_piece_answers_for_the_workers_that_it_lost_itself():
    """Pieces that are made as they are needed, and forgotten when they are done."""
    seen = set()
    with Pool(lambda number: Mortal(seen), 1) as pool:
        assert [found for _, found in pool.map(map(Square, range(1000)))] == list(range(1000))


def test_an_error_that_was_meant_is_raised_as_it_is_and_no_worker_dies_of_it(workers):
    _, before = workers.one(Square(1))
    with pytest.raises(DataError, match="line 3 is wrong"):
        workers.one(Wrong())
    assert workers.one(Square(1)) == (1, before)


def test_what_goes_wrong_before_the_first_piece_is_its_error():
    with opened("1", start_elsewhere) as made, pytest.raises(DataError, match="no folder here"):
        made.one(Square(1))


@pytest.mark.parametrize("text", ["", "0", "-1", "4@", "@ray", "ray:4", "four", "4 @ray", "12345"])
def test_texts_that_name_no_workers(text):
    with pytest.raises(WorkerError, match="write a number of processes"):
        opened(text, start)


def test_a_missing_ray_is_one_error_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(WorkerError, match=r'pip install "mmsteer\[cluster\]"'):
        opened("4@ray", start)
