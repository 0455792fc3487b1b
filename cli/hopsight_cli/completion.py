"""What typer's completion lacks: in zsh the first Tab of every shell did nothing.

Its file is one that zsh reads at the first Tab, and calls as the completion itself (autoload): it only said what to call from
then on. So does click's own file, after which this one is made, and answers the first Tab too.
"""

from __future__ import annotations

import typer._completion_shared as shared

AT_THE_END = "\ncompdef %(complete_func)s %(prog_name)s"
ANSWERS_AT_ONCE = """
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  %(complete_func)s "$@"
else
  compdef %(complete_func)s %(prog_name)s
fi"""


def answer_first_tab() -> None:
    """Have --install-completion and --show-completion give that file; a typer that gives another one is left alone."""
    scripts: dict[str, str] = getattr(shared, "_completion_scripts", {})
    if "zsh" in scripts:
        scripts["zsh"] = scripts["zsh"].replace(AT_THE_END, ANSWERS_AT_ONCE)
