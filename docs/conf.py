"Sphinx's settings for the pages that tools/docs.py lays out in _proc/pages."

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml

project = html_title = "aslkit"
extensions = ["myst_nb"]

# committed outputs are shown, nothing is executed
nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "myst"
myst_enable_extensions = ["dollarmath", "fieldlist"]
myst_heading_anchors = 3

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["aslkit.css"]
html_copy_source = False
html_show_copyright = False
smartquotes_action = "D"
html_math_renderer = "mathml"
python_maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"


def setup(app):
    def formula(as_block):
        def draw(translator, node):
            translator.body.append(tex2mathml(node.astext(), as_block=as_block))
            raise SkipNode

        return draw, None

    # MathML, which browsers draw themselves: Sphinx's own ways fetch MathJax or need TeX
    app.add_html_math_renderer("mathml", formula(False), formula(True))
