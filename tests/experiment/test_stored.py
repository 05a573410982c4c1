"""What a run keeps of its data, where that file was damaged."""

import pytest

from jaxdis import experiment
from jaxdis.experiment import stored
from jaxdis.types import Preparation


@pytest.mark.parametrize("text", ["[1]", "3", "null", '{"spec": 3}', "{", ""])
def test_a_file_that_tells_nothing_is_written_anew(text, tmp_path):
    spec = experiment.plan("mechanism_sparsity/quickstart").data.spec()
    path = tmp_path / "data.json"
    path.write_text(text)
    stored.keep_data(tmp_path, spec, Preparation())
    assert stored.read_data(tmp_path)[0].shape == spec.shape
