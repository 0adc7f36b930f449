"""How `make docs` makes the site of this folder, without a network. Documents link to files as GitHub shows them."""

from __future__ import annotations

import gc
import os
import re
import sys
from functools import cached_property
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

from model import arrays

ROOT = Path(__file__).resolve().parent.parent
gc.disable()  # looking for garbage takes a sixth of a build, and there is next to none
# Functions for Numba as Python has them, with their signatures and docstrings.
os.environ["NUMBA_DISABLE_JIT"] = "1"
# Where MXNet does not exist, modules over it are imported over a stand-in: they have their pages all the same.
if find_spec("mxnet") is None:
    sys.modules["mxnet"] = MagicMock(__spec__=ModuleSpec("mxnet", None))

project = "Nextchar"
extensions = ["myst_nb", "sphinx.ext.autodoc"]
html_theme = "furo"
html_title = "Nextchar"
html_copy_source = False
html_show_copyright = False
html_math_renderer = "mathml"
# The chapter carries the outputs of the run that made it.
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
default_role = "code"
highlight_language = "none"
smartquotes = False  # equations have primes, and options are named between quotes

autodoc_default_options = {"members": True, "undoc-members": True, "member-order": "bysource"}
autodoc_typehints_format = "short"
TYPES = {name for name in vars(arrays) if name[0].isupper()} - {"Any", "Sized", "TypeVar"}
WRAPPED = re.compile(r"TypeAliasForwardRef\('(\w+)'\)")
UNREADABLE = re.compile("<(?:[^<>]|<[^<>]*>)+>")  # <factory>, <function Stopwatch.<lambda>>
autodoc_type_aliases = {name: name for name in TYPES | {"Context", "NDArray", "Parameters", "Project"}}
autodoc_use_type_comments = False
python_maximum_signature_line_length = 100
add_module_names = False
toc_object_entries = False  # the modules of a page are its contents
nitpicky = True
# Other packages' documents are not asked for, and types have names that stand in no document.
nitpick_ignore_regex = [("py:.*", ".*")]

# Documents beside this folder that are pages of the site.
PAGES = {f"{name.upper()}.md": f"{name}.md" for name in ("changelog", "contributing", "security")}
PAGES["README.md"] = "index.md"
LINK = re.compile(r"\[([^\[\]]*)\]\(([^():#\s]+)(#[^()\s]*)?\)")


def on_site(text: str, folder: Path) -> str:
    """A document of `folder` with its links as the site needs them: to pages, to the reference, else to a download."""

    def link(found: re.Match[str]) -> str:
        label, path, anchor = found.groups()
        target = Path(os.path.normpath(folder / path))
        if not target.exists() or not target.is_relative_to(ROOT):
            return found[0]
        own = target.relative_to(ROOT).as_posix()
        if own.startswith("model/") and own.endswith(".py"):
            return f"[{label}](#{own.removesuffix('.py').removesuffix('/__init__').replace('/', '.')})"
        if target.is_dir():
            return label
        return f"[{label}]({PAGES.get(own) or os.path.relpath(target, ROOT / 'docs')}{anchor or ''})"

    return LINK.sub(link, text)


def read(app: Sphinx, document: str, source: list[str]) -> None:
    source[0] = on_site(source[0], ROOT / "docs")


def include(app: Sphinx, path: Path, document: str, source: list[str]) -> None:
    source[0] = on_site(source[0], ROOT)


def is_field(app: Sphinx, of: str, name: str, value: object, skip: bool, options: object) -> bool | None:
    """Fields stand in the signature of their class already."""
    return (
        True if of == "class" and not callable(value) and not isinstance(value, (property, cached_property)) else None
    )


def with_names(
    app: Sphinx, of: str, name: str, value: object, options: object, given: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Names of types inside of other types too, which Sphinx wraps, and defaults as Python can read them."""
    given = given and UNREADABLE.sub("...", WRAPPED.sub(r"\1", given))
    return given, returned and WRAPPED.sub(r"\1", returned)


def inline_formula(translator: Any, node: nodes.math) -> None:
    translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def formula(translator: Any, node: nodes.math_block) -> None:
    translator.body.append(f"<div>{tex2mathml(node.astext(), as_block=True)}</div>")
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    app.connect("source-read", read)
    app.connect("include-read", include)
    app.connect("autodoc-skip-member", is_field)
    app.connect("autodoc-process-signature", with_names)
    app.add_lexer("mermaid", TextLexer)  # GitHub draws it; here its text stands, as what draws it would be fetched too
    # Browsers show MathML by themselves; MathJax would be fetched from elsewhere.
    app.add_html_math_renderer("mathml", (inline_formula, None), (formula, None))
