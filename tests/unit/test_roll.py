"""Names and beds as the monitor gets them: from vault and list, or the page says there are none."""

import pytest

from identity.pseudonyms import Pseudonyms, load_or_make_key
from identity.vault import Named
from lesionstream.naming import Names, open_vault
from lesionstream.settings import settings
from monitor.known import Called, Roll


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Return the settings of a site with an empty state folder."""
    monkeypatch.setenv("LESIONSTREAM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LESIONSTREAM_BEDS", str(tmp_path / "beds.csv"))
    settings.cache_clear()
    yield settings()
    settings.cache_clear()


def pseudonym(site, patient_id):
    return Pseudonyms(load_or_make_key(site.pseudonym_key_file)).patient("", patient_id)


def test_names_come_from_the_vault_and_beds_from_the_list_as_they_change(site):
    roll = Names().roll
    assert roll() == Roll(), "neither a vault nor a list is there"
    one, two = pseudonym(site, "MRN-1"), pseudonym(site, "MRN-2")
    with open_vault() as vault:
        vault.put(one, Named("Adler^Ada", "MRN-1"))
    site.beds.write_text("PatientID,bed\nMRN-1,1-A\nMRN-2,1-B\n")
    found = roll()
    assert found.called == {one: Called("Adler, Ada", "1-A"), two: Called(None, "1-B")}
    assert (found.names_from, found.beds_from) == ("the vault of this site", "beds.csv")
    with open_vault() as vault:
        vault.put(two, Named("Brandt^Ben", "MRN-2"))
    assert roll().called[two] == Called("Brandt, Ben", "1-B")


def test_a_wrong_key_or_a_wrong_line_shows_no_names_rather_than_wrong_ones(site):
    with open_vault() as vault:
        vault.put(pseudonym(site, "MRN-1"), Named("Adler^Ada", "MRN-1"))
    site.names_key_file.write_text("00" * 32)
    site.beds.write_text("MRN-1,1-A\nMRN-2,1-A\n")
    assert Names().roll() == Roll()
