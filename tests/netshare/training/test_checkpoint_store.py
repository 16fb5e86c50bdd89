"""What trainers send to the driver's side is in the run folder, whole or not at all."""

import numpy as np
import pytest

from netshare.training.checkpoint_store import CheckpointStore
from netshare.training.progress import Progress

CONTENT = np.arange(10, dtype=np.uint8)


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(str(tmp_path))


def test_a_file_appears_once_its_last_piece_is_there(store, tmp_path):
    store.write("chunk-003", "deep/checkpoint", CONTENT[:4], 0, 10)
    assert not (tmp_path / "chunk-003" / "deep" / "checkpoint").exists()
    store.write("chunk-003", "deep/checkpoint", CONTENT[4:], 4, 10)
    assert (tmp_path / "chunk-003" / "deep" / "checkpoint").read_bytes() == CONTENT.tobytes()


def test_a_trainer_gets_the_files_of_its_model_alone(store):
    store.write("chunk-000", "weights", CONTENT, 0, 10)
    store.write("chunk-001", "logs/weights", CONTENT[:3], 0, 3)
    assert store.fetch("chunk-000") == {"weights": CONTENT.tobytes()}
    assert store.fetch("chunk-001") == {"logs/weights": CONTENT[:3].tobytes()}
    assert store.fetch("chunk-002") == {}
    store.remove("chunk-000", "weights")
    store.remove("chunk-000", "weights")  # what is gone already is no error
    assert store.fetch("chunk-000") == {}


def test_progress_is_taken_once(store):
    first, second = (Progress("chunk-000", step, 5, {}, 100.0, 1.0) for step in (1, 2))
    store.add_progress(first)
    store.add_progress(second)
    assert store.take_progress() == [first, second]
    assert store.take_progress() == []
