import hashlib
import os
import zipfile

import pytest

from producers.sources import Source, find, read_all
from wire.errors import FrameError, Reason


def test_order_is_stable_and_folders_are_descended(tmp_path):
    for name in ("b/2", "b/1", "a", "c/x/y"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    names = [os.path.relpath(source.name, tmp_path) for source in find([tmp_path])]
    assert names == ["a", "b/1", "b/2", "c/x/y"]


def test_members_of_an_archive(tmp_path):
    path = tmp_path / "scan.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one.dcm", b"1")
        archive.mkdir("folder")
        archive.writestr("folder/two.dcm", b"22")
    sources = find([path])
    assert [s.name for s in sources] == [f"{path}#one.dcm", f"{path}#folder/two.dcm"]
    assert [s.read() for s in sources] == [b"1", b"22"]


def test_a_broken_archive_is_a_file_like_any_other(tmp_path):
    path = tmp_path / "broken.zip"
    path.write_bytes(b"PK\x03\x04 and then nothing")
    assert find([path]) == [Source(path)]


def test_a_damaged_member_is_undecodable(tmp_path):
    path = tmp_path / "scan.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one.dcm", b"x" * 100)
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(FrameError) as caught:
        find([path])[0].read()
    assert caught.value.reason is Reason.UNDECODABLE


def test_what_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        find([tmp_path / "nothing"])


def test_pipes_and_broken_links_do_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    for source in find([tmp_path]):
        with pytest.raises(FrameError, match="cannot be read"):
            source.read()


def test_two_members_with_one_name_are_two_objects(tmp_path):
    path = tmp_path / "scan.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.dcm", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.dcm", b"2")
    assert [source.read() for source in find([path])] == [b"1", b"2"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_not_passed_over(tmp_path):
    (tmp_path / "closed").mkdir(mode=0)
    (source,) = find([tmp_path])
    with pytest.raises(FrameError, match="cannot be read"):
        source.read()


def test_names_that_are_no_text_can_be_shown(tmp_path):
    (tmp_path / os.fsdecode(b"sc\xffan")).write_bytes(b"x")
    (source,) = find([tmp_path])
    assert source.name.endswith("sc\\xffan")
    source.name.encode()
    assert source.read() == b"x"


def test_an_unreadable_source_has_a_hash_all_the_same(tmp_path):
    one, two = Source(tmp_path / "gone"), Source(tmp_path / "lost")
    assert len({one.sha256(), two.sha256(), hashlib.sha256().hexdigest()}) == 3


def test_an_archive_is_read_from_any_member_on(tmp_path):
    path = tmp_path / "scan.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(4):
            archive.writestr(str(number), bytes([number]))
    assert [(s, read()) for s, read in read_all(path)] == [(s, s.read()) for s in find([path])]
    assert [read() for _, read in read_all(path, 2)] == [b"\2", b"\3"]
    assert list(read_all(path, 9)) == []
    plain = tmp_path / "plain"
    plain.write_bytes(b"x")
    assert [(s, read()) for s, read in read_all(plain)] == [(Source(plain), b"x")]
    with pytest.raises(FrameError, match="cannot be read"):
        list(read_all(tmp_path / "gone"))
