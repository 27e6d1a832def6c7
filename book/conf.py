"""Sphinx: a static site that is built and read offline.  `build.py` puts the pages beside this file's copy."""

from docutils import nodes

from metst_core.experiment.executed import mathml
from metst_core.version import __version__

project, author, release = "metst", "the metst authors", __version__
copyright = "the metst authors; MIT licence"
extensions = ["myst_nb"]
myst_enable_extensions = ["dollarmath", "colon_fence", "html_image", "attrs_inline"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # the run executed them
nb_ipywidgets_js = {}  # it would come from another host
nb_number_source_lines = False
html_theme = "furo"
html_title = "metst"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_extra_path = ["extra"]
html_show_sourcelink = html_copy_source = False
html_math_renderer = "mathml"
exclude_patterns = ["_build", "extra"]
suppress_warnings = ["mystnb.unknown_mime_type", "myst.header", "myst.xref_missing"]


def _inline(self, node):
    self.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def _block(self, node):
    self.body.append(f'<div class="math">{mathml(node.astext(), block=True)}</div>')
    raise nodes.SkipNode


def setup(app):
    """Formulas as MathML, which browsers draw by themselves."""
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))
