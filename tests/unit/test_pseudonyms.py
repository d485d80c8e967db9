import threading

import pytest

from identity.pseudonyms import MAX_SHIFT_DAYS, KeyFileError, Pseudonyms, load_or_make_key


def test_a_key_is_made_once_and_private(tmp_path):
    path = tmp_path / "state" / "pseudonym.key"
    key = load_or_make_key(path)
    assert load_or_make_key(path) == key
    assert len(key) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["pseudonym.key"]


def test_two_that_start_together_get_the_same_key(tmp_path):
    path, keys = tmp_path / "key", []
    threads = [
        threading.Thread(target=lambda: keys.append(load_or_make_key(path))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


@pytest.mark.parametrize("content", ["", "not hex", "abcd"])
def test_a_broken_key_is_an_error_that_names_the_file(tmp_path, content):
    path = tmp_path / "key"
    path.write_text(content)
    with pytest.raises(KeyFileError, match=str(path)):
        load_or_make_key(path)


def test_shifts_stay_in_range_and_differ():
    pseudonyms = Pseudonyms(b"k" * 32)
    shifts = [pseudonyms.shift_days(f"p-{n}") for n in range(300)]
    assert min(shifts) >= 1
    assert max(shifts) <= MAX_SHIFT_DAYS
    assert len(set(shifts)) > 200
