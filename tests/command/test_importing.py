"""What imports of TensorFlow cost and show."""

import gc
import os
import subprocess
import sys

_IMPORT = """
import gc, os
from pruneplug.command.importing import importing
with importing():
    os.write(2, b"from C++\\n")
    {body}
print(gc.isenabled(), gc.get_freeze_count() > 0)
"""


def _run(body: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _IMPORT.format(body=body)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def test_garbage_is_not_looked_for_while_importing_nor_among_what_was_imported() -> None:
    done = _run("assert not gc.isenabled()")
    assert done.stdout.split() == ["True", "True"]


def test_messages_of_a_good_import_are_kept_inside() -> None:
    assert _run("import keras", TF_CPP_MIN_LOG_LEVEL="3").stderr == ""


def test_messages_show_where_the_user_asks_for_them() -> None:
    assert "from C++" in _run("pass", TF_CPP_MIN_LOG_LEVEL="0").stderr


def test_messages_show_when_the_import_fails() -> None:
    done = _run("raise ImportError('missing')", TF_CPP_MIN_LOG_LEVEL="3")
    assert "from C++" in done.stderr
    assert "ImportError: missing" in done.stderr


def test_later_imports_leave_the_collector_alone() -> None:
    import tensorflow  # noqa: F401

    from pruneplug.command.importing import importing

    frozen = gc.get_freeze_count()
    with importing():
        assert gc.isenabled()
    assert gc.get_freeze_count() == frozen
