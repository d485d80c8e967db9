"""Names on the wire, and schemas in step with the records."""

import json

import jsonschema
import pytest
from pydantic import BaseModel, ValidationError
from pydicom.datadict import dictionary_has_tag, tag_for_keyword
from support.records import finding

from wire import assessment, patient, records
from wire.errors import Reason
from wire.schemas import FOLDER, RECORDS, asyncapi, generated, schema_of

MODELS = [
    model
    for module in (records, assessment, patient)
    for model in vars(module).values()
    if isinstance(model, type) and issubclass(model, BaseModel)
]


def test_aliases_are_dicom_keywords():
    aliases = {
        field.alias for model in MODELS for field in model.model_fields.values() if field.alias
    }
    assert len(aliases) >= 7
    for alias in aliases - {"FrameNumber"}:  # the contract's own word
        tag = tag_for_keyword(alias)
        assert tag is not None, alias
        assert dictionary_has_tag(tag)


@pytest.mark.parametrize("name", sorted(generated()))
def test_shipped_schemas_are_in_step(name):
    assert (FOLDER / name).read_text() == generated()[name], "run `make docs`"


def test_nothing_else_is_shipped():
    assert {path.name for path in FOLDER.iterdir()} == set(generated())


@pytest.mark.parametrize("record", RECORDS)
def test_schemas_are_schemas(record):
    jsonschema.Draft202012Validator.check_schema(schema_of(record))


def test_a_finding_fits_its_schema():
    value = json.loads(finding(0.7).to_json())
    jsonschema.validate(value, schema_of(records.Finding))
    assert value["PatientID"] == "p-1"
    assert value["lesion_probability"] == 0.7


def test_asyncapi_refers_only_to_what_is_there():
    document = asyncapi()

    def references(value):
        if isinstance(value, dict):
            for key, inner in value.items():
                if key == "$ref":
                    yield inner
                else:
                    yield from references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    found = list(references(document))
    assert len(found) > 10
    for reference in found:
        if reference.startswith("#/"):
            place = document
            for part in reference[2:].split("/"):
                place = place[part]
        else:
            assert (FOLDER / reference).is_file()


@pytest.mark.parametrize("p", [float("nan"), float("inf"), -0.1, 1.1])
def test_no_number_that_is_none(p):
    with pytest.raises(ValidationError):
        finding(p)


def test_a_score_and_a_reason_exclude_each_other():
    scored = json.loads(finding(0.5).to_json())
    for change in ({"reason": "quality"}, {"lesion_probability": None}, {"status": "not-scored"}):
        with pytest.raises(ValidationError):
            records.Finding.model_validate(scored | change)


def test_records_are_frozen_and_read_newer_writers():
    record = finding(0.5)
    with pytest.raises(ValidationError):
        record.status = "not-scored"
    newer = json.loads(record.to_json()) | {"field_of_tomorrow": 1}
    assert records.Finding.model_validate(newer) == record


def test_reasons_are_the_contract():
    assert {reason.value for reason in Reason} == {
        "not-an-image", "modality-not-supported", "undecodable", "too-large", "no-lungs",
        "quality", "not-deidentified", "engine-failed",
    }  # fmt: skip
