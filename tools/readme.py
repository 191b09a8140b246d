"""Make README.md from nbs/index.ipynb, as it would look with its stored outputs.

Cells with `#| hide` or the tag `hide` are left out, of cells with `#| echo: false` only the output stays. Links and pictures
that are relative to nbs/ are made relative to the checkout. A picture among the outputs goes to nbs/index_files/, named by
`#| label: NAME` in its cell and described by `#| fig-alt: WORDS`; pictures that are no longer there are removed.
"""

import posixpath
import re
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter

HEADER = "<!-- Made from nbs/index.ipynb by `make readme`; edit the notebook. -->\n\n"


def visible(cell, words):
    "A cell as the readme shows it, or None; what its pictures show is added to `words`."
    lines = cell.source.splitlines()
    directives = [line.removeprefix("#|").strip() for line in lines if line.startswith("#|")]
    if "hide" in directives or "hide" in cell.metadata.get("tags", []):
        return None
    named = dict(directive.split(": ", 1) for directive in directives if ": " in directive)
    pictures = [output for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    for i, output in enumerate(pictures if "label" in named else []):
        output.metadata["filename"] = f"{named['label']}{i or ''}.png"
        words[output.metadata["filename"]] = named.get("fig-alt", named["label"])
    cell.source = "\n".join(line for line in lines if not line.startswith("#|")).strip()
    if "echo: false" in directives:
        cell.metadata.transient = {"remove_source": True}
    return cell


def beside_readme(match):
    "A link that was relative to nbs/."
    target = match[2]
    if re.match(r"[a-z]+:|#|/", target):
        return match[0]
    return match[1] + posixpath.normpath(posixpath.join("nbs", target)) + match[3]


def readme(root):
    "What README.md and its pictures should be: path -> bytes."
    notebook = nbformat.read(root / "nbs/index.ipynb", as_version=4)
    words = {}
    notebook.cells = [shown for cell in notebook.cells if (shown := visible(cell, words))]
    text, resources = MarkdownExporter().from_notebook_node(notebook, {"output_files_dir": "index_files"})
    text = re.sub(r"<style scoped>.*?</style>\n?", "", text, flags=re.S)
    for name, alt in words.items():
        text = text.replace(f"![png](index_files/{name})", f"![{alt}](index_files/{name})")
    text = re.sub(r"(\]\()([^)\s]+)(\))", beside_readme, text)
    text = re.sub(r'(src=")([^"]+)(")', beside_readme, text)
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in text.splitlines())).strip()
    pictures = {root / "nbs" / name: content for name, content in resources.get("outputs", {}).items()}
    return {root / "README.md": (HEADER + text + "\n").encode()} | pictures


if __name__ == "__main__":
    root = Path(__file__).parent.parent
    made = readme(root)
    for path in {*root.glob("nbs/index_files/*")} - made.keys():
        path.unlink()
    for path, content in made.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
