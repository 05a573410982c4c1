"""What a run keeps of its data, where that file was damaged."""

import json

import pytest

from jaxdis import experiment, log
from jaxdis.experiment import stored
from jaxdis.types import Preparation


@pytest.mark.parametrize("text", ["[1]", "3", "null", '{"spec": 3}', "{", ""])
def test_a_file_that_tells_nothing_is_written_anew(text, tmp_path):
    spec = experiment.plan("mechanism_sparsity/quickstart").data.spec()
    path = tmp_path / "data.json"
    path.write_text(text)
    stored.keep_data(tmp_path, spec, Preparation())
    assert stored.read_data(tmp_path)[0].shape == spec.shape


def test_what_an_earlier_version_did_not_keep_is_not_compared(tmp_path):
    spec = experiment.plan("mechanism_sparsity/quickstart").data.spec()
    path = tmp_path / "data.json"
    stored.keep_data(tmp_path, spec, Preparation())
    record = json.loads(path.read_text())
    del record["spec"]["truth"]["supports"], record["spec"]["breaks"]
    log.write_json(path, record)
    stored.keep_data(tmp_path, spec, Preparation())
    assert stored.read_data(tmp_path)[0].truth.supports is None
    record["spec"]["truth"]["ga"] = None
    log.write_json(path, record)
    with pytest.raises(ValueError, match="other truth"):
        stored.keep_data(tmp_path, spec, Preparation())
