"""A checkpoint is whole or not there, and the previous one stands in for a damaged one."""

import torch

from netshare.training.checkpoint import NEWEST, load_checkpoint, remove_checkpoints, save_checkpoint

TENSORS = {
    "weights": torch.linspace(0, 1, 12).reshape(3, 4),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "count": torch.tensor(7.0),
    "random": torch.arange(5, dtype=torch.uint8),
    "empty": torch.zeros(0, 3),
}
SCALARS = {"step": 3, "loss": 0.1 + 0.2, "nested": {"names": ["a", "b"]}}


def test_gives_back_what_was_saved(tmp_path):
    save_checkpoint(tmp_path / "made", TENSORS, SCALARS)
    tensors, scalars = load_checkpoint(tmp_path / "made")
    assert scalars == SCALARS
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_views_of_one_memory_are_saved_apart(tmp_path):
    base = torch.arange(6.0)
    save_checkpoint(tmp_path, {"all": base, "part": base[2:4], "turned": base.reshape(2, 3).T}, {})
    tensors, _ = load_checkpoint(tmp_path)
    assert tensors["turned"].tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
    assert tensors["part"].tolist() == [2.0, 3.0]


def test_nothing_there(tmp_path):
    assert load_checkpoint(tmp_path / "nowhere") is None


def test_damage_anywhere_falls_back_to_the_previous_checkpoint(tmp_path):
    save_checkpoint(tmp_path, {"w": torch.zeros(50)}, {"step": 1})
    save_checkpoint(tmp_path, {"w": torch.ones(50)}, {"step": 2})
    whole = (tmp_path / NEWEST).read_bytes()
    for place in range(0, len(whole), 7):
        flipped = bytearray(whole)
        flipped[place] ^= 0x10
        (tmp_path / NEWEST).write_bytes(bytes(flipped))
        tensors, scalars = load_checkpoint(tmp_path)
        # A flipped bit in the header's padding or in a key's spelling may leave the content as it was; never else.
        assert (scalars["step"], float(tensors["w"].sum())) in {(1, 0.0), (2, 50.0)}
    for size in (0, 5, len(whole) // 2, len(whole) - 1):
        (tmp_path / NEWEST).write_bytes(whole[:size])
        assert load_checkpoint(tmp_path)[1] == {"step": 1}


def test_a_kill_between_the_two_renames_leaves_the_previous_checkpoint(tmp_path):
    save_checkpoint(tmp_path, {"w": torch.zeros(2)}, {"step": 1})
    save_checkpoint(tmp_path, {"w": torch.zeros(2)}, {"step": 2})
    (tmp_path / NEWEST).unlink()
    assert load_checkpoint(tmp_path)[1] == {"step": 1}
    remove_checkpoints(tmp_path)
    assert load_checkpoint(tmp_path) is None
