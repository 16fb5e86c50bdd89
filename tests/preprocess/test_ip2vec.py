import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netshare.preprocess.errors import FieldError
from netshare.preprocess.ip2vec import IP2Vec
from netshare.preprocess.ip2vec.build import build

PORTS = np.arange(65536)
EPHEMERAL = np.arange(49152, 60999)


@pytest.fixture(scope="module")
def model() -> IP2Vec:
    return IP2Vec.load_default()


def test_every_port_and_protocol_is_its_own_nearest_neighbour(model):
    assert model.ports.min() >= 0 and model.ports.max() <= 1
    assert model.ports_to_vectors(PORTS).dtype == np.float32
    assert np.array_equal(model.vectors_to_ports(model.ports_to_vectors(PORTS)), PORTS)
    protocols = np.arange(256)
    assert np.array_equal(model.vectors_to_protocols(model.protocols_to_vectors(protocols)), protocols)


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=50), st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_less_noise_than_half_a_level_changes_no_port(model, ports, seed):
    vectors = model.ports_to_vectors(np.array(ports))
    noise = np.random.default_rng(seed).normal(size=vectors.shape)
    noise *= 0.49 / 255 / np.linalg.norm(noise, axis=1, keepdims=True)
    assert model.vectors_to_ports(vectors + noise).tolist() == ports


def test_the_decoded_port_is_the_nearest_of_all(model):
    rng = np.random.default_rng(0)
    between = np.clip(model.ports[rng.integers(0, 65536, 30)] + rng.normal(0, 0.2, (30, model.size)), 0, 1)
    vectors = np.concatenate([rng.random((20, model.size)), between])
    nearest = np.array([np.linalg.norm(model.ports.astype(np.float64) - vector, axis=1).min() for vector in vectors])
    chosen = model.ports[model.vectors_to_ports(vectors)]
    assert np.allclose(np.linalg.norm(chosen - vectors, axis=1), nearest, rtol=0, atol=1e-7)


def test_an_error_on_an_ephemeral_port_lands_on_an_ephemeral_port(model):
    noise = np.random.default_rng(0).normal(0, 0.03, (len(EPHEMERAL), model.size))
    landed = model.vectors_to_ports(np.clip(model.ports_to_vectors(EPHEMERAL) + noise, 0, 1)).astype(int)
    assert (landed >= 32768).mean() > 0.99
    assert np.median(np.abs(landed - EPHEMERAL)) < 2000


@pytest.mark.parametrize(
    ("port", "like", "unlike"), [(993, 995, 53), (3306, 5432, 22), (6881, 6346, 443), (50000, 50001, 80), (22, 23, 123)]
)
def test_services_of_a_kind_are_near_one_another(model, port, like, unlike):
    def distance(other):
        return np.linalg.norm(model.ports[port] - model.ports[other])

    assert distance(like) < distance(unlike)


@pytest.mark.slow
def test_what_is_built_twice_is_the_same_bytes(tmp_path):
    for name in ("first", "second"):
        build().save(tmp_path / name)
    for file in ("ports.npy", "protocols.npy", "ip2vec.json"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()
    assert sum(file.stat().st_size for file in (tmp_path / "first").iterdir()) < 1_500_000
    again = IP2Vec.load(tmp_path / "first")
    assert again.sha256 == build().sha256


@pytest.mark.slow
def test_what_ships_is_built_from_the_tables_and_the_sample_in_the_repository(model, sample_capture):
    again = build([sample_capture])
    assert again.details == model.details, "tables, sample or settings changed: build the shipped model again"
    assert np.allclose(again.ports, model.ports, atol=2 / 255)  # equal bytes on one machine, nearly so on another
    assert np.allclose(again.protocols, model.protocols, atol=2 / 255)


def test_a_model_of_any_float32_vectors_is_kept_exactly(tmp_path):
    rng = np.random.default_rng(0)
    own = IP2Vec(rng.random((65536, 3), dtype=np.float32), rng.random((256, 3), dtype=np.float32), "measured")
    own.save(tmp_path)
    again = IP2Vec.load(tmp_path)
    assert again.sha256 == own.sha256 and again.bounds == "measured"
    assert np.array_equal(again.ports, own.ports)
    assert np.array_equal(again.vectors_to_ports(own.ports[::100]), PORTS[::100])


def test_missing_changed_or_misshapen_models_are_refused(tmp_path, model):
    with pytest.raises(FieldError, match="no IP2Vec model"):
        IP2Vec.load(tmp_path)
    model.save(tmp_path)
    np.save(tmp_path / "protocols.npy", np.zeros((256, model.size), np.float32))
    with pytest.raises(FieldError, match="not those"):
        IP2Vec.load(tmp_path)
    with pytest.raises(FieldError, match="65536"):
        IP2Vec(np.zeros((10, 3), np.float32), np.zeros((256, 3), np.float32))


@pytest.mark.slow
def test_ports_that_are_frequent_in_traffic_get_vectors_of_their_own(tmp_path):
    rows = [f"10.0.0.{i},10.0.1.1,{50000 + i},45678,TCP,{1_600_000_000_000_000 + i},0.5,3,180" for i in range(40)]
    traffic = tmp_path / "flows.csv"
    traffic.write_text("srcip,dstip,srcport,dstport,proto,ts,td,pkt,byt\n" + "\n".join(rows) + "\n")
    model = build([traffic])
    assert model.details["traffic_sentences"] == 40
    assert model.details["traffic"][0]["name"] == "flows.csv"
    own, neighbour, far = model.ports[45678, :10], model.ports[45679, :10], model.ports[45800, :10]
    assert np.array_equal(neighbour, far) and np.linalg.norm(own - neighbour) > 0.05
    assert np.array_equal(model.vectors_to_ports(model.ports_to_vectors(PORTS)), PORTS)
