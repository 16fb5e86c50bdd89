from netshare.fingerprints import file_fingerprint, fingerprint


def test_settings_have_one_fingerprint_whatever_the_order_of_their_keys():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1}) != fingerprint({"a": 1, "b": 3})
    assert fingerprint(1, 2) != fingerprint(2, 1)


def test_a_file_has_the_fingerprint_of_its_content(tmp_path):
    one, same, other = (tmp_path / name for name in ("one", "same", "other"))
    one.write_bytes(b"x" * 10**6)
    same.write_bytes(b"x" * 10**6)
    other.write_bytes(b"x" * 10**6 + b"y")
    assert file_fingerprint(one) == file_fingerprint(same) != file_fingerprint(other)
