"""`Synthesizer.load` takes a stranger's folder: nothing runs, nothing outside is read, sizes are bounded, one line says why.

Every case damages a copy of one small folder as somebody does who knows the format: the digests are made anew, so that what
is refused is refused for what it holds.
"""

import json
import os
import pickle
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from netshare import Synthesizer
from netshare.commands.main import main
from netshare.generators.doppelganger.settings import DoppelGANgerSettings
from netshare.generators.registry import GeneratorChoice
from netshare.preprocess.errors import NetshareError, RunFolderError
from netshare.recipe.reference import FIVE_TUPLE_ROW
from netshare.training.tuned_settings import tuned_choice
from tests.netshare.synthesizer.small import copy_of, edit, reseal, write

CODEC, CHUNKS, REFERENCE = "chunks/codec.json", "chunks/chunks.json", "chunks/reference.json"
FIVE_TUPLES, WEIGHTS, ABOUT = "chunks/five_tuples.npy", "models/001/sampling.safetensors", "synthesizer.json"

MARK = str(Path(tempfile.gettempdir()) / "netshare-was-run")  # made only if something of a folder is run


def part(value, name):
    """The described encoding of a field."""
    return next(each for each in (*value["metadata"], *value["measurements"]) if each["name"] == name)


def field(name, /, **changes):
    return edit(CODEC, lambda value: part(value, name).update(changes))


def replaced(name, /, **described):
    """Another encoding in the place of a field's."""

    def change(value):
        own = part(value, name)
        own.clear()
        own.update(name=name, bounds="public", **described)

    return edit(CODEC, change)


def setting(**values):
    return edit(ABOUT, lambda about: about["config"]["generator"]["autoregressive"].update(values))


def tensor(name, change):
    def damage(folder):
        weights = load_file(folder / WEIGHTS)
        weights[name] = change(weights[name])
        save_file(weights, folder / WEIGHTS)

    return damage


def every_weight(change):
    def damage(folder):
        weights = load_file(folder / WEIGHTS)
        save_file({name: change(own) for name, own in weights.items()}, folder / WEIGHTS)

    return damage


def npy(array):
    def damage(folder):
        np.save(folder / FIVE_TUPLES, array)

    return damage


def npy_header(text):
    """An npy file that consists of a header alone."""
    header = text.encode().ljust(118) + b"\n"
    return write(FIVE_TUPLES, b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)


def as_text(change):
    """Damage to the text of the codec's file."""
    return lambda folder: (folder / CODEC).write_text(change((folder / CODEC).read_text()))


def removed(name):
    return lambda folder: (folder / name).unlink()


def linked(name):
    """The file or folder moved outside, and a link to it in its place."""

    def damage(folder):
        outside = folder.with_name("outside")
        (folder / name).rename(outside)
        (folder / name).symlink_to(outside)

    return damage


def starting_twice(folder):
    text = (folder / CHUNKS).read_text()
    (folder / CHUNKS).write_text(text.replace('"flows"', '"flows": 1, "flows"', 1))


class Evil:
    def __reduce__(self):
        return os.mkdir, (MARK,)


def pickled(folder):
    np.save(folder / FIVE_TUPLES, np.array([Evil()], dtype=object), allow_pickle=True)


def header_of(shape):
    return f"{{'descr': {FIVE_TUPLE_ROW.descr}, 'fortran_order': False, 'shape': ({shape}), }}"


def dropped(value, key):
    """Remove a key; nothing takes the content's place."""
    del value[key]


DAMAGE = {
    "no JSON": (write(CODEC, b"{"), CODEC),
    "no object": (write(CODEC, b"[1, 2]"), CODEC),
    "no UTF-8": (write(CHUNKS, b'{"flows": "\xff"}'), CHUNKS),
    "deeply nested": (write(CODEC, b'{"kind":' + b"[" * 500_000), CODEC),
    "a pickle": (write(REFERENCE, pickle.dumps(Evil())), REFERENCE),
    "NaN": (as_text(lambda text: text.replace('"max_length": ', '"max_length": NaN, "was": ', 1)), CODEC),
    "an infinite number": (as_text(lambda text: text.replace('"max_length": ', '"max_length": 1e999, "x": ', 1)), CODEC),
    "a number of 5,000 digits": (as_text(lambda text: text.replace('"resolution": 1', '"resolution": ' + "1" * 5000)), CODEC),
    "half a surrogate pair": (field("protocol", name="\ud800"), CODEC),
    "a key that comes twice": (starting_twice, CHUNKS),
    "no such encoding": (field("protocol", kind="os.system"), CODEC),
    "no name of a class": (field("protocol", kind=["exact"]), CODEC),
    "an encoding without its values": (edit(CODEC, lambda value: dropped(part(value, "dst_port"), "ports")), CODEC),
    "an encoding with more than it has": (field("protocol", model="/etc/passwd"), CODEC),
    "texts for numbers": (field("dst_port", ports=["53", "80"]), CODEC),
    "ports that descend": (field("dst_port", ports=[80, 53]), CODEC),
    "a port that is none": (field("dst_port", ports=[53, 70_000]), CODEC),
    "no values": (replaced("protocol", kind="exact", values=[], other=None), CODEC),
    "digits of no width": (replaced("protocol", kind="digits", maximum=255, width=0), CODEC),
    "edges beyond 64 bits": (replaced("length", kind="tokens", spikes=[], edges=[0, 2**63]), CODEC),
    "a quantile scale without knots": (replaced("length", kind="numeric", scale="quantile", minimum=0, maximum=9), CODEC),
    "an embedding of another model": (replaced("protocol", kind="ip2vec", word="protocol", sha256="0" * 64), CODEC),
    "an IP version 5": (replaced("ip_version", kind="constant", value=5), CODEC),
    "an address that is one number": (replaced("src_ip", kind="constant", value=5), CODEC),
    "a field that comes twice": (edit(CODEC, lambda value: value["metadata"].append(value["metadata"][0])), CODEC),
    "a field too few": (edit(CODEC, lambda value: value["metadata"].pop()), CODEC),
    "a field of no trace": (edit(CODEC, lambda value: value["measurements"][0].update(name="../../etc")), CODEC),
    "a type of objects": (edit(CODEC, lambda value: value["dtypes"].update(protocol="|O")), CODEC),
    "a type of a gigabyte": (edit(CODEC, lambda value: value["dtypes"].update(protocol="|V1000000000")), CODEC),
    "tags of other chunks": (replaced("chunk_tags", kind="tags", count=9), CODEC),
    "chunks of another width": (edit(CODEC, lambda value: value.update(chunk_width=value["chunk_width"] + 1)), CODEC),
    "no resolution": (edit(CODEC, lambda value: value.update(resolution=0)), CODEC),
    "a clock that goes back": (edit(CODEC, lambda value: value["clocks"]["0"].update(begins=[9, 5], ends=[10, 6])), CODEC),
    "another style": (edit(CODEC, lambda value: value.update(style="__import__")), CODEC),
    "flows below zero": (edit(CHUNKS, lambda value: value.update(flows=-1)), CHUNKS),
    "flows that are no number": (edit(CHUNKS, lambda value: value.update(flows=True)), CHUNKS),
    "half a series": (edit(CHUNKS, lambda value: value["chunks"]["0"].update(series=1.5)), CHUNKS),
    "a chunk outside": (edit(CHUNKS, lambda value: value["chunks"].update({"7": value["chunks"]["0"]})), CHUNKS),
    "a chunk with a path": (edit(CHUNKS, lambda value: value["chunks"].update({"../../0": value["chunks"]["0"]})), CHUNKS),
    "a chunk below zero": (edit(CHUNKS, lambda value: value["chunks"].update({"-1": value["chunks"]["0"]})), CHUNKS),
    "no plan": (edit(CHUNKS, lambda value: value.update(plan=None)), CHUNKS),
    "times beyond 64 bits": (edit(CHUNKS, lambda value: value["plan"].update(start=2**63 - 5)), CHUNKS),
    "a reference of flows": (edit(REFERENCE, lambda value: value.update(kind="flow")), REFERENCE),
    "no such convention": (edit(REFERENCE, lambda value: value.update(broken_conventions=["x"])), REFERENCE),
    "labels of another column": (edit(REFERENCE, lambda value: value.update(categories={"time": ["x"]})), REFERENCE),
    "rows of objects": (pickled, FIVE_TUPLES),
    "rows of another type": (npy(np.zeros(5)), FIVE_TUPLES),
    "rows in two axes": (npy(np.zeros((5, 5), FIVE_TUPLE_ROW)), FIVE_TUPLES),
    "half an npy file": (lambda folder: os.truncate(folder / FIVE_TUPLES, 900), FIVE_TUPLES),
    "an npy header that is code": (npy_header(f"__import__('os').mkdir({MARK!r})"), FIVE_TUPLES),
    "rows below zero": (npy_header(header_of("-1,")), FIVE_TUPLES),
    "no weights": (removed(WEIGHTS), WEIGHTS),
    "half the weights": (lambda folder: os.truncate(folder / WEIGHTS, 100_000), WEIGHTS),
    "weights that are a pickle": (write(WEIGHTS, pickle.dumps(Evil())), WEIGHTS),
    "weights that are not finite": (every_weight(lambda w: w / 0 if w.is_floating_point() else w), WEIGHTS),
    "counted rows of no token": (tensor("metadata.memory", lambda rows: rows + 30_000), WEIGHTS),
    "counted rows below zero": (tensor("length.memory", lambda rows: rows - 30_000), WEIGHTS),
    "counted rows too narrow": (tensor("metadata.memory", lambda rows: rows[:, :2].contiguous()), WEIGHTS),
    "a newer format": (edit(ABOUT, lambda about: about.update(format=2)), ABOUT),
    "a format that is a text": (edit(ABOUT, lambda about: about.update(format="\x1b[31m\n")), ABOUT),
    "no config": (edit(ABOUT, lambda about: about.update(config=None)), ABOUT),
    "a kind that is not installed": (edit(ABOUT, lambda about: about["config"]["generator"].update(kind="mine")), ABOUT),
    "an unknown setting": (edit(ABOUT, lambda about: about["config"].update(hook="os.system")), ABOUT),
    "a million threads": (edit(ABOUT, lambda about: about["config"]["generate"].update(threads=10**6)), ABOUT),
    "other networks": (setting(metadata_hidden=16), "models/000/sampling.safetensors"),
    "a linked file": (linked(CODEC), CODEC),
    "linked weights": (linked(WEIGHTS), WEIGHTS),
    "a linked model": (linked("models/001"), "models/001"),
    "linked chunks": (linked("chunks"), "chunks"),
    "a linked description": (linked(ABOUT), ABOUT),
    "a link to its own folder": (lambda folder: (folder / "models" / "again").symlink_to(folder), "models/again"),
    "a pipe": (lambda folder: os.mkfifo(folder / "models" / "pipe"), "models/pipe"),
}  # fmt: skip
SIZES = {
    "other values without end": (replaced("protocol", kind="exact", values=[6], other=[0, 2**40]), CODEC),
    "a million million tags": (replaced("chunk_tags", kind="tags", count=10**12), CODEC),
    "series of 2**60 records": (edit(CODEC, lambda value: value.update(max_length=2**60)), CODEC),
    "a million million flows": (edit(CHUNKS, lambda value: value.update(flows=10**12)), CHUNKS),
    "a thousand million chunks": (edit(CHUNKS, lambda value: value["plan"].update(count=10**9)), CHUNKS),
    "a million million rows": (npy_header(header_of("1000000000000,")), FIVE_TUPLES),
    "a safetensors header without end": (write(WEIGHTS, struct.pack("<Q", 2**60) + b"{}"), WEIGHTS),
    "a file of holes": (lambda folder: os.truncate(folder / CODEC, 2**36), CODEC),
    "weights of holes": (lambda folder: os.truncate(folder / WEIGHTS, 2**40), WEIGHTS),
    "layers of 2**40 units": (setting(record_state=2**40), ABOUT),
    "layers as wide as can be": (setting(metadata_state=4096, metadata_hidden=4096, record_state=4096), ""),
}  # fmt: skip


def damaged(saved_folder, place, damage):
    """A copy of the folder, damaged and sealed anew."""
    folder = copy_of(saved_folder, place / "copy")
    damage(folder)
    if not (folder / ABOUT).is_symlink() and not (folder / "models" / "pipe").exists() and damage not in UNSEALED:
        reseal(folder)
    return folder


UNSEALED = {SIZES["a file of holes"][0], SIZES["weights of holes"][0], DAMAGE["a link to its own folder"][0]}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_folder_is_refused_with_one_line_that_names_the_file(saved_folder, tmp_path, case):
    damage, name = DAMAGE[case]
    folder = damaged(saved_folder, tmp_path, damage)
    with pytest.raises(RunFolderError) as found:
        Synthesizer.load(folder)
    message = str(found.value)
    assert message.startswith(f"{folder / name}: ")
    assert message.isprintable() and len(message) < 1000
    assert not Path(MARK).exists()


CHILD = """
import resource, sys
from pathlib import Path
from netshare import Synthesizer
from netshare.preprocess.errors import RunFolderError
Synthesizer.load(sys.argv[1])
opened = []
sys.addaudithook(lambda event, found: opened.append(str(found[0])) if event == "open" else None)
now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + 2**30, now + 2**30))
for folder in sys.argv[2:]:
    try:
        Synthesizer.load(folder).sample(3, seed=1)
        print("loaded")
    except RunFolderError as error:
        print(error)
print(*[name for name in opened if "canary" in name], sep="|")
"""


def child(*folders):
    """Load the folders one after another in a process that gets no more than 1 GiB beyond what a whole one took; what each
    gave, and the files named canary that were opened."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, folders)], capture_output=True, text=True, timeout=540
    )
    assert done.returncode == 0, done.stderr
    *lines, canaries = done.stdout.split("\n")[:-1]
    return lines, canaries


@pytest.mark.slow
def test_declared_sizes_are_refused_before_memory_is_asked_for(saved_folder, tmp_path):
    folders = [damaged(saved_folder, tmp_path / str(k), damage) for k, (damage, _) in enumerate(SIZES.values())]
    lines, _ = child(saved_folder, *folders)
    assert len(lines) == len(SIZES)
    for line, folder, (case, (_, name)) in zip(lines, folders, SIZES.items(), strict=True):
        assert line.startswith(f"{folder / name}: "), case


@pytest.mark.slow
def test_no_file_is_read_that_the_config_names(saved_folder, tmp_path):
    """Names in the config of a saved synthesizer, and in that of a run's folder, lead nowhere."""
    canary = tmp_path / "canary"
    canary.mkdir()
    for name in ("ip2vec.json", "ports.npy", "protocols.npy", "trace.pcap"):
        (canary / name).write_text("kept")

    def names(config):
        config["ip2vec"] = {"model": str(canary)}
        config["input"] = {"files": [str(canary / "trace.pcap")]}
        config["output"] = {"folder": str(canary)}
        config["privacy"]["public"] = [str(canary / "trace.pcap")]
        config["cluster"] = {"address": "stranger:6379"}

    own = damaged(saved_folder, tmp_path / "own", edit(ABOUT, lambda about: names(about["config"])))
    run = damaged(saved_folder, tmp_path / "run", lambda folder: None)
    config = json.loads((run / ABOUT).read_text())["config"]
    names(config)
    (run / ABOUT).unlink()
    (run / "models" / "config.json").write_text(json.dumps(config))
    assert child(saved_folder, own, run) == (["loaded", "loaded"], "")
    again = Synthesizer.load(run)
    assert again.config.cluster.address is None and again.config.ip2vec.model is None
    assert not again.config.input.files and again.config.privacy.public == "sample"


def test_what_was_changed_since_it_was_saved_is_refused(saved_folder, tmp_path):
    folder = copy_of(saved_folder, tmp_path / "changed")
    edit(REFERENCE, lambda value: value.update(zero_packets=True))(folder)
    with pytest.raises(RunFolderError, match=r"reference\.json: is damaged, or was changed since it was saved"):
        Synthesizer.load(folder)
    (folder / "models" / "more.json").write_text("{}")
    with pytest.raises(RunFolderError, match=r"more\.json is in the folder or in its list"):
        Synthesizer.load(folder)


def test_a_missing_folder_and_one_of_something_else_are_one_line(tmp_path):
    with pytest.raises(RunFolderError, match="no such folder"):
        Synthesizer.load(tmp_path / "missing")
    with pytest.raises(RunFolderError, match="no fitted synthesizer and no finished run"):
        Synthesizer.load(tmp_path)


def test_the_folder_itself_may_be_a_link_that_the_user_has_named(saved_folder, tmp_path):
    (tmp_path / "link").symlink_to(saved_folder)
    assert len(Synthesizer.load(tmp_path / "link").sample(3, seed=1))


def test_an_earlier_run_folder_is_refused_by_name(tmp_path, capsys):
    folder = tmp_path / "run"
    for stage in ("trace", "chunks", "models"):
        (folder / stage).mkdir(parents=True)
        (folder / stage / "stage.json").write_text('{"fingerprint": "1"}')
    (folder / "models" / "config.json").write_text("{}")
    (folder / "manifest.json").write_text('{"stages": {"models": {"fingerprint": "1"}}}')
    with pytest.raises(RunFolderError, match="a run folder of format 1, made by another version of netshare"):
        Synthesizer.load(folder)


@pytest.mark.parametrize("value", ['"os.system"', "0", "null", "1e999", "[2]"])
def test_a_tuned_setting_is_checked_like_one_of_the_config(tmp_path, value):
    (tmp_path / "tuned.json").write_text(f'{{"records_per_pass": {value}}}')
    choice = GeneratorChoice("doppelganger", DoppelGANgerSettings(records_per_pass="auto"))
    if value == "null":
        assert tuned_choice(choice, tmp_path).settings.records_per_pass is None
        return
    with pytest.raises(RunFolderError, match=r"tuned\.json: "):
        tuned_choice(choice, tmp_path)


FLIPPED = (CODEC, CHUNKS, REFERENCE, FIVE_TUPLES, WEIGHTS, ABOUT)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["saved_folder", "saved_gan"])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_byte_is_harmless_or_refused(request, tmp_path_factory, kind, data):
    whole = request.getfixturevalue(kind)
    folder = copy_of(whole, tmp_path_factory.mktemp("flipped") / "copy")
    name = data.draw(st.sampled_from(FLIPPED))
    content = bytearray((folder / name).read_bytes())
    few = len(content) if name != WEIGHTS else 4096  # the header, and some of the numbers
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, few - 1))] = data.draw(st.integers(0, 255))
    (folder / name).write_bytes(content)
    if name != ABOUT:
        reseal(folder)
    try:
        assert Synthesizer.load(folder).sample(3, seed=1).kind in ("packet", "flow")
    except NetshareError as error:
        assert "\n" not in str(error)


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_another_number_or_text_in_a_file_is_harmless_or_refused(saved_folder, tmp_path_factory, data):
    """As the flipped bytes, but the file stays JSON: values anywhere in it are exchanged for others."""
    folder = copy_of(saved_folder, tmp_path_factory.mktemp("exchanged") / "copy")
    name = data.draw(st.sampled_from((CODEC, CHUNKS, REFERENCE, ABOUT)))
    value = json.loads((folder / name).read_text())
    places = list(leaves(value))
    holder, key = data.draw(st.sampled_from(places))
    numbers = st.sampled_from([0, 1, -1, 2, 255, 65536, 2**31, 2**53, 2**63 - 1, 2**64 - 1, 0.5, 1e300, -1e300])
    holder[key] = data.draw(st.one_of(numbers, st.text(max_size=3), st.none(), st.booleans(), st.just([]), st.just({})))
    (folder / name).write_text(json.dumps(value))
    reseal(folder)
    try:
        Synthesizer.load(folder).sample(3, seed=1)
    except NetshareError as error:
        assert "\n" not in str(error)


def leaves(value):
    """The places in a JSON value: its holders and their keys."""
    for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(item, dict | list):
            yield from leaves(item)


def test_generate_takes_a_strangers_run_folder_no_less_carefully(saved_folder, tmp_path, capsys):
    """A run's folder with a link, or with a lock that leads outside, is refused; what the link leads to stays."""
    run = copy_of(saved_folder, tmp_path / "run")
    (run / ABOUT).unlink()
    (run / "manifest.json").write_text('{"format": 2, "stages": {}}')
    (run / "models" / "stage.json").write_text('{"fingerprint": "1"}')
    precious = tmp_path / "precious"
    precious.write_text("kept")
    (run / ".lock").symlink_to(precious)
    assert main(["generate", str(run), "-o", str(tmp_path / "out.pcap"), "-q"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert precious.read_text() == "kept"
    (run / ".lock").unlink()
    (run / "models" / "config.json").symlink_to(precious)
    assert main(["generate", str(run), "-o", str(tmp_path / "out.pcap"), "-q"]) == 2
    assert "config.json: is a link" in capsys.readouterr().err
