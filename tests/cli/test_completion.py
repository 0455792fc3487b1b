"""Completion in a real zsh, as --install-completion leaves it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.terminal import ROOT

# What zsh does at a Tab, without a terminal: `_arguments` is told the words to choose from.
TAB = """
hopsight --install-completion
fpath=(~/.zfunc) CURRENT=3; words=(hopsight vm cre)
_arguments() { print -r -- "$@" }
compdef() { }
autoload -Uz _hopsight
_hopsight
"""


@pytest.mark.skipif(not shutil.which("zsh"), reason="there is no zsh")
def test_the_first_tab_of_a_zsh_completes(tmp_path: Path) -> None:
    program = tmp_path / "hopsight"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path[:0] = ['{ROOT}/cli']\nfrom hopsight_cli.main import run\nrun()\n"
    )
    program.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    argv = ["zsh", "-f", "-c", TAB]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert '"create"' in done.stdout, done
