"""Names are kept, and nobody reads them without the key."""

import multiprocessing
import sqlite3

import pytest
from support.phantoms import chest_hu, dataset, part10

from identity.vault import Named, Vault, VaultError
from producers.naming import NameKeeper
from producers.prepare import prepare

pytestmark = pytest.mark.filterwarnings("ignore:dicomanonymizer")

KEY, OTHER = b"v" * 32, b"w" * 32
DOE = Named("CANARYDOE^Jane^^Dr", "CANARY-4711", "CANARYCLINIC", "19500102")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "vault.sqlite"


def test_a_name_comes_back(path):
    with Vault(path, KEY) as vault:
        vault.put("p-1", DOE)
        assert vault.name("p-1") == DOE
        assert vault.name("p-2") is None
    with Vault(path, KEY) as vault:
        assert vault.names() == {"p-1": DOE}


def test_no_byte_of_a_name_is_in_the_files(path):
    with Vault(path, KEY) as vault:
        for number in range(50):
            vault.put(f"p-{number}", DOE)
        files = list(path.parent.iterdir())
        assert path.with_name("vault.sqlite-wal") in files, "looked at while it is open"
        for file in files:
            assert b"CANARY" not in file.read_bytes()
            assert b"Jane" not in file.read_bytes()
            assert file.stat().st_mode & 0o777 == 0o600, file
    assert "CANARY" not in repr(DOE) + str(DOE)


def test_another_key_is_a_clear_error(path):
    Vault(path, KEY).close()
    with pytest.raises(VaultError, match=r"vault\.sqlite was written under another key"):
        Vault(path, OTHER)


@pytest.mark.parametrize(
    "damage", [lambda whole: b"no database" * 1000, lambda whole: whole[:5000]], ids=["else", "cut"]
)
def test_a_damaged_file_is_a_clear_error(path, damage):
    with Vault(path, KEY) as vault:
        vault.put("p-1", DOE)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(VaultError, match=r"vault\.sqlite: (file is not a|database disk image is)"):
        Vault(path, KEY).names()


def test_what_a_device_leaves_out_stays_known(path):
    with Vault(path, KEY) as vault:
        vault.put("p-1", DOE)
        vault.put("p-1", Named("", "CANARY-4711"))
        assert vault.name("p-1") == DOE
        vault.put("p-1", Named("Married^Jane", "CANARY-4711"))
        assert vault.name("p-1") == Named("Married^Jane", "CANARY-4711", "CANARYCLINIC", "19500102")


def test_what_is_known_is_not_written_again(path):
    with Vault(path, KEY) as vault:
        vault.put("p-1", DOE)
        before = sealed(path)
        vault.put("p-1", DOE)
    with Vault(path, KEY) as vault:
        vault.put("p-1", DOE)
    assert sealed(path) == before


def sealed(path):
    with sqlite3.connect(path) as database:
        return dict(database.execute("SELECT pseudonym, sealed FROM names").fetchall())


def test_two_names_cannot_be_exchanged_and_damage_heals(path):
    with Vault(path, KEY) as vault:
        vault.put("p-1", DOE)
        vault.put("p-2", Named("Roe^Richard"))
    with sqlite3.connect(path) as database:
        database.execute("UPDATE names SET sealed = ? WHERE pseudonym = 'p-1'",
                         (sealed(path)["p-2"],))  # fmt: skip
    with Vault(path, KEY) as vault:
        assert vault.names() == {"p-2": Named("Roe^Richard")}
        vault.put("p-1", DOE)
        assert vault.names()["p-1"] == DOE


def test_names_of_others_are_seen(path):
    with Vault(path, KEY) as reader, Vault(path, KEY) as writer:
        assert reader.names() == {}
        writer.put("p-1", DOE)
        assert reader.names() == {"p-1": DOE}
        assert reader.names() == {"p-1": DOE}


def write_many(path, first):
    with Vault(path, KEY) as vault:
        for number in range(first, first + 60):
            vault.put(f"p-{number}", Named(f"Name{number}"))


def test_processes_write_at_the_same_time(path):
    context = multiprocessing.get_context("spawn")
    # Both make the file; half of the patients are the same.
    processes = [context.Process(target=write_many, args=(path, n * 30)) for n in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    with Vault(path, KEY) as vault:
        assert vault.names() == {f"p-{n}": Named(f"Name{n}") for n in range(120)}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Doe^Jane", "Doe, Jane"),
        ("Doe^Jane^Ann^Dr", "Doe, Jane Ann"),
        ("Doe", "Doe"),
        ("^Jane", "Jane"),
        ("Yamada^Tarou=山田^太郎", "Yamada, Tarou"),
        ("", ""),
    ],
)
def test_a_name_as_people_write_it(name, shown):
    assert Named(name).shown == shown


def sent(**attributes):
    (message,) = prepare(part10(dataset(chest_hu(0, size=32), **attributes)), KEY)
    return message


def test_what_a_device_says_goes_to_the_vault_and_nowhere_else(path):
    message = sent(
        PatientName="CANARYDOE^Jane",
        PatientID="CANARY-1",
        IssuerOfPatientID="CANARYCLINIC",
        PatientBirthDate="19500102",
    )
    assert message.named == Named("CANARYDOE^Jane", "CANARY-1", "CANARYCLINIC", "19500102")
    assert b"CANARY" not in message.payload
    assert "CANARY" not in repr(message)
    keeper = NameKeeper(lambda: Vault(path, KEY))
    keeper.keep(message)
    keeper.close()
    assert keeper.trouble == ""
    with Vault(path, KEY) as vault:
        assert vault.names() == {message.patient_id: message.named}


def test_a_device_that_says_no_name_makes_no_vault(path):
    NameKeeper(lambda: Vault(path, KEY)).keep(sent(PatientName="", PatientID=""))
    assert not path.exists()


def test_a_vault_that_cannot_be_used_stops_no_image(path, capsys):
    path.parent.mkdir()
    path.write_bytes(b"damaged" * 1000)
    opened = []

    def connect():
        opened.append(1)
        return Vault(path, KEY)

    keeper = NameKeeper(connect)
    for _ in range(3):
        keeper.keep(sent(PatientName="CANARYDOE^Jane"))
    assert "file is not a database" in keeper.trouble
    assert len(opened) == 1, "tried again later, not with each frame"
    words = capsys.readouterr()
    assert "names are not kept" in words.out + words.err
    assert "CANARY" not in words.out + words.err
