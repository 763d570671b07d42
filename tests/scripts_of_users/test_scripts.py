"""Each script prints on funnn what it prints on PyTorch, or what it printed there when that was recorded."""

import pytest
import torch  # noqa: F401 (what the scripts are compared with)

from tests.scripts_of_users import _running

SCRIPTS = _running.scripts()


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script(name, tmp_path):
    theirs = _running.expected(SCRIPTS[name], tmp_path)
    ours = _running.run(SCRIPTS[name], _running.ON_FUNNN, tmp_path)
    assert not (lines := _running.difference(ours, theirs)), "\n".join(lines)


def test_there_are_many_and_each_says_something():
    assert len(SCRIPTS) >= 45
    for name, path in SCRIPTS.items():
        assert path.read_text().startswith('"""'), name
        assert "import torchvision" not in path.read_text() or _running.record_of(path).stat().st_size > 200, name


def test_differences_are_seen():
    printed = _running.Printed("loss 0.1234\nwords\n", 1.0)
    assert not _running.difference(_running.Printed("loss 0.1235\nwords\n", 2.0), printed)
    for other in ("loss 0.1236\nwords\n", "loss 0.1234\nother words\n", "loss 0.1234\n"):
        assert _running.difference(_running.Printed(other, 1.0), printed)
