"""The key of the map of addresses in a synthesizer: drawn when it is fitted or loaded, kept where that is asked for."""

import stat

import numpy as np
import pytest

import netshare
from netshare.postprocess.address_map import addresses_of
from netshare.preprocess.errors import RunFolderError

SETTINGS = {"training": {"steps": 2, "finetune_steps": 2}, "addresses": {"prefixes": ["10.0.0.0/8", "fd00::/8"]}}


@pytest.mark.slow
def test_the_key_is_saved_only_where_that_is_asked_for(sample_capture, tmp_path):
    fitted = netshare.Synthesizer(settings=SETTINGS).fit(netshare.read_trace(sample_capture, limit=300))

    def addresses(synthesizer):
        return np.concatenate(addresses_of(synthesizer.sample(40, seed=1)))

    first = addresses(fitted)
    fitted.save(tmp_path / "without")
    fitted.save(tmp_path / "with", with_address_key=True)
    path = tmp_path / "with" / "address.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and not (tmp_path / "without" / "address.key").exists()
    assert path.read_bytes().hex() not in repr(fitted._fitted)
    assert np.array_equal(first, addresses(fitted))
    assert np.array_equal(first, addresses(netshare.Synthesizer.load(tmp_path / "with")))
    assert not np.array_equal(first, addresses(netshare.Synthesizer.load(tmp_path / "without")))
    path.unlink()
    path.symlink_to(tmp_path / "without" / "synthesizer.json")
    with pytest.raises(RunFolderError, match=r"address\.key"):
        netshare.Synthesizer.load(tmp_path / "with")
