"""The same values and errors on protobuf's pure-Python runtime, where there is no wheel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parents[1] / "unit"
FILES = (
    "test_cases_schema.py",
    "test_cases_values.py",
    "test_decoding_plain.py",
    "test_decoding_protojson.py",
    "test_fields.py",
    "test_schema_text.py",
)
PROGRAM = """
import sys
import pytest
from google.protobuf.internal import api_implementation
assert api_implementation.Type() == "python"
sys.exit(pytest.main(sys.argv[1:]))
"""


def test_the_cases_on_pure_python() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "-q", "-p", "no:cacheprovider", *FILES],
        cwd=HERE,
        env={**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
