"""Build the documentation site: notebooks with their stored outputs, and an API reference out of the modules' comments.

    python tools/docs.py    lays the pages out in _proc/pages, builds them with Sphinx, checks every link, fills _docs/

No notebook is executed and nothing is fetched. Cells with `#| hide` are left out, of cells with `#| echo: false` only the
output stays, other lines that start with `#|` are dropped. A link inside the repository has to lead to one of the pages.
"""

import ast
import io
import json
import posixpath
import re
import shutil
import subprocess
import sys
import tokenize
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat

# the road, in parts: caption, and how the names of its notebooks begin
PARTS = {
    "Ground": "00 01",
    "A stitched corpus": "02",
    "Data": "03 04 05",
    "Network": "06 07",
    "Training": "08",
    "Export and reading": "09 10",
    "Kaggle": "11",
    "Looking": "12",
    "Settings and commands": "13 14",
}
KERNELS = ["prepare", "train", "submit"]
# files of the repository that become pages under another name
FILES = {
    "aslkit/ready/README.md": "ready.md",
    "settings.ini": "settings.md",
    "CONTRIBUTING.md": "contributing.md",
    "LICENSE": "license.md",
    "kaggle_kernels": f"kaggle_kernels/{KERNELS[0]}.ipynb",
}


def pages(root):
    "Which file becomes which page: path in the repository -> path in the site's source."
    found = {path.relative_to(root).as_posix() for path in root.glob("nbs/**/*.ipynb")}
    notebooks = {name: name.removeprefix("nbs/") for name in sorted(found) if ".ipynb_checkpoints" not in name}
    kernels = {f"kaggle_kernels/{name}/{name}.ipynb": f"kaggle_kernels/{name}.ipynb" for name in KERNELS}
    return notebooks | kernels | FILES


def contents(root):
    "The table of contents: caption -> pages, in the order of the road."
    names = [page.removesuffix(".ipynb") for page in pages(root).values() if page.endswith(".ipynb")]
    table = {caption: [n for n in names if n[:2] in starts.split()] for caption, starts in PARTS.items()}
    table["Look closely"] = [name for name in names if name.startswith("explore/")]
    table["Notebooks on Kaggle"] = [f"kaggle_kernels/{name}" for name in KERNELS]
    table["Reference"] = ["commands", "api/index"]
    table["Project"] = [page.removesuffix(".md") for page in FILES.values() if page.endswith(".md")]
    return table


# --- notebooks


def relinked(text, source, page, known, broken):
    "Markdown whose links inside the repository lead to pages; those that lead to none are added to `broken`."

    def lead(match):
        target, hash_sign, anchor = match[2].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return match[0]
        named = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if named not in known:
            broken.append(f"{source}: {match[2]}")
            return match[0]
        return match[1] + posixpath.relpath(known[named], posixpath.dirname(page) or ".") + hash_sign + anchor + match[3]

    return re.sub(r"(\]\()([^)\s]+)(\))", lead, text)


def referred(text, module, names):
    """Markdown in which names of code lead to the reference: on a page of their own module all, elsewhere those that only one
    module exports and that can't be ordinary words."""

    def lead(match):
        homes = names.get(match[1], [])
        only = len(homes) == 1 and re.search("[A-Z_]", match[1])
        home = module if module in homes else homes[0] if only else None
        return f"{{py:obj}}`~aslkit.{home}.{match[1]}`" if home else match[0]

    def line(text):
        return text if text.startswith(("```", "#", ":value:")) else re.sub(r"(?<![`\[}])`([A-Za-z]\w*)`(?![`\]])", lead, text)

    parts = re.split(r"(^```\w*\n.*?^```$)", text, flags=re.M | re.S)
    return "".join(part if i % 2 else "\n".join(map(line, part.split("\n"))) for i, part in enumerate(parts))


def visible(cell):
    "A cell as readers see it, or None."
    lines = cell.source.splitlines()
    directives = [line.removeprefix("#|").strip() for line in lines if line.startswith("#|")]
    cell.source = "\n".join(line for line in lines if not line.startswith("#|")).strip("\n")
    if "hide" in directives or "hide" in cell.metadata.get("tags", []) or not cell.source:
        return None
    if "echo: false" in directives:
        cell.metadata["tags"] = ["remove-input"]
    for directive in directives:
        if directive.startswith("fig-alt: "):
            cell.metadata["mystnb"] = {"image": {"alt": directive.removeprefix("fig-alt: ")}}
    if "outputs" in cell:  # bars of progress live in widgets, which a page without a kernel hasn't
        cell.outputs = [o for o in cell.outputs if "application/vnd.jupyter.widget-view+json" not in o.get("data", {})]
    return cell


def notebook_page(path, source, page, known, broken, names):
    "A notebook as Sphinx is to read it."
    notebook = nbformat.read(path, as_version=4)
    module = next((m[1] for cell in notebook.cells if (m := re.match(r"#\| default_exp (\w+)", cell.source))), None)
    notebook.cells = [shown for cell in notebook.cells if (shown := visible(cell))]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = referred(relinked(cell.source, source, page, known, broken), module, names)
        for output in cell.get("outputs", []):
            if "text/markdown" in output.get("data", {}):
                output.data["text/markdown"] = relinked(output.data["text/markdown"], source, page, known, broken)
    if module:
        notebook.cells[0].source += f"\n\nReference: [aslkit.{module}](api/{module}.md)"
    return notebook


def toctree(caption, names):
    "A part of the table of contents; notebooks are called by their files, whose numbers show the order."
    entries = [f"{posixpath.basename(name)} <{name}>" if name[:1].isdigit() else name for name in names]
    return "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *entries, "```"])


# --- reference


def escaped(text):
    "A comment or docstring as Markdown: what stands between backticks is code, the rest means itself."
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if i % 2 else re.sub(r"([\\*_$<\[\]{}])", r"\\\1", part) for i, part in enumerate(parts))


def comments_of(source):
    "Line -> the comment at its end; what is said to tools doesn't count."
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    found = {t.start[0]: t.string for t in tokens if t.type == tokenize.COMMENT and t.line.lstrip()[0] != "#"}
    told = {line: re.sub(r"# (fmt:|noqa).*", "", comment).strip("# ") for line, comment in found.items()}
    return {line: comment for line, comment in told.items() if comment}


def fields(parameters, returns, comments):
    "Field lists of parameters and of what comes back, from the comment on each one's line."
    lines = {node.end_lineno: f":param {name}:" for name, node in parameters}
    if returns is not None:
        lines[returns.end_lineno] = ":returns:"
    return [f"{field} {escaped(comments[line])}" for line, field in sorted(lines.items()) if line in comments]


def arguments_of(node):
    "Name and last node of each parameter, its default included."
    a = node.args
    positional = a.posonlyargs + a.args
    defaults = [None] * (len(positional) - len(a.defaults)) + a.defaults + a.kw_defaults
    pairs = list(zip(positional + a.kwonlyargs, defaults)) + [(one, None) for one in (a.vararg, a.kwarg) if one]
    return [(arg.arg, default or arg) for arg, default in pairs if arg.arg not in ("self", "cls")]


def signature(node):
    "What stands between the brackets, without self."
    return re.sub(r"^(self|cls)(, |$)", "", ast.unparse(node.args))


def directive(kind, head, body, options=(), fence="````"):
    return "\n".join([f"{fence}{{py:{kind}}} {head}", *options, "", *body, fence, ""])


def function(node, comments, kind="function"):
    decorators = [ast.unparse(one) for one in node.decorator_list]
    text = [escaped(ast.get_docstring(node) or ""), ""]
    quoted = isinstance(node.returns, ast.Constant) and isinstance(node.returns.value, str)  # a class that comes further down
    returns = node.returns.value if quoted else ast.unparse(node.returns) if node.returns else ""
    if any("property" in one for one in decorators):
        comment = comments.get(node.returns.end_lineno, "") if returns else ""
        return directive("property", node.name, [*text, escaped(comment)], [f":type: {json.dumps(returns)}"] if returns else [])
    options = [f":{one}:" for one in ("classmethod", "staticmethod") if one in decorators]
    head = f"{node.name}({signature(node)})" + (f" -> {returns}" if returns else "")
    return directive(kind, head, text + fields(arguments_of(node), node.returns, comments), options)


def class_(node, comments):
    "A class: how it is made, from __init__ or from the fields of a data class; then its public methods."
    bases = [ast.unparse(base) for base in node.bases]
    methods = [item for item in node.body if isinstance(item, ast.FunctionDef)]
    (init,) = [item for item in methods if item.name == "__init__"] or [None]
    members = [item for item in node.body if isinstance(item, ast.AnnAssign)]
    if init:
        head, text = signature(init), fields(arguments_of(init), None, comments)
    else:
        head = ", ".join(ast.unparse(item) for item in members)
        text = fields([(ast.unparse(item.target), item) for item in members], None, comments)
    public = [
        function(item, comments, "method")
        for item in methods
        if not item.name.startswith("_") and not any("setter" in ast.unparse(one) for one in item.decorator_list)
    ]
    of = [f"A kind of {' and '.join(f'`{base}`' for base in bases)}.", ""] if bases else []
    body = [escaped(ast.get_docstring(node) or ""), "", *of, *text, "", *public]
    return directive("class", f"{node.name}({head})", body, fence="`````")


def constant(node, names, comments, source):
    "Names that are given a value: the value if it is short, else the lines that say it if they are few."
    value, lines = ast.unparse(node.value), ast.get_source_segment(source, node).splitlines()
    short = len(value) <= 72 and len(names) == 1
    body = [escaped(comments.get(node.end_lineno) or comments.get(node.lineno) or "")]
    if not short and len(lines) <= 20:
        body += ["", "```python", *lines, "```"]
    return [directive("data", name, body, [f":value: {json.dumps(value)}"] if short else []) for name in names]


def modules(root):
    "The exported modules in the order of their notebooks: path -> name of the notebook."
    found = {
        path: re.search(r"File to edit: \.\./nbs/(\S+)\.ipynb", path.read_text())[1] for path in root.glob("aslkit/[a-z]*.py")
    }
    return dict(sorted(found.items(), key=lambda item: item[1]))


def exported(tree):
    "The names in a module's __all__."
    assigned = [node for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"]
    return ast.literal_eval(assigned[0].value)


def exporters(root):
    "Name -> the modules that define and export it."
    found = {}
    for path in modules(root):
        tree = ast.parse(path.read_text())
        imported = {one.name for node in tree.body if isinstance(node, ast.ImportFrom) for one in node.names}
        for name in set(exported(tree)) - imported:
            found.setdefault(name, []).append(path.stem)
    return found


def api_page(path, notebook, names):
    "The reference of a module as Markdown, read from its source."
    source = path.read_text()
    tree, comments, parts, found = ast.parse(source), comments_of(source), [], set()
    wanted = set(exported(tree))
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in wanted:
            parts.append((function if isinstance(node, ast.FunctionDef) else class_)(node, comments))
            found.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            stored = [
                n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            ]
            first = [name for name in stored if name in wanted - found]
            parts += constant(node, first, comments, source)
            found.update(first)
        elif isinstance(node, ast.ImportFrom) and (others := [one.name for one in node.names if one.name in wanted]):
            parts.append(f"Also here, of {{py:mod}}`aslkit.{node.module}`: {', '.join(f'`{name}`' for name in others)}.\n")
            found.update(others)
    if wanted - found:
        sys.exit(f"{path.name} exports {', '.join(sorted(wanted - found))}, which its source doesn't define at the top")
    module = f"aslkit.{path.stem}"
    head = [f"# {module}", "", ast.get_docstring(tree), "", f"Notebook: [{notebook}](../{notebook}.ipynb)", ""]
    return referred("\n".join([*head, f"````{{py:module}} {module}", "````", "", *parts]), path.stem, names)


def api_index(root):
    "The list of modules, in the order of their notebooks."
    first = {path.stem: ast.get_docstring(ast.parse(path.read_text())).splitlines()[0] for path in modules(root)}
    rows = [f"| [aslkit.{name}]({name}.md) | {line} |" for name, line in first.items()]
    return "\n".join(
        ["# Reference", "", "| module | |", "|---|---|", *rows, "", "```{toctree}", ":hidden:", "", *first, "```", ""]
    )


def commands_page(root):
    "The options of every command, as Typer writes them; the list at the top in whole sentences."
    command = [sys.executable, "-m", "typer", "aslkit.cli", "utils", "docs", "--name", "aslkit", "--title", "Commands"]
    text = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    said = dict(re.findall(r"^## `aslkit (\w+)`\n\n(.+)", text, flags=re.M))
    return re.sub(r"^\* `(\w+)`: .*", lambda m: f"* `{m[1]}`: {said[m[1]]}", text, flags=re.M)


# --- the site


def lay_out(root, to):
    "Write the pages as Sphinx is to read them; return the links that lead nowhere."
    known, names, broken = pages(root), exporters(root), []
    for source, page in known.items():
        path = root / source
        (to / page).parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".ipynb":
            notebook = notebook_page(path, source, page, known, broken, names)
            if page == "index.ipynb":
                tables = [toctree(caption, names) for caption, names in contents(root).items()]
                notebook.cells.append(nbformat.v4.new_markdown_cell("\n\n".join(tables)))
            nbformat.write(notebook, to / page)
        elif path.suffix == ".md":
            (to / page).write_text(relinked(path.read_text(), source, page, known, broken))
        elif path.is_file():
            (to / page).write_text(f"# {path.name}\n\n````\n{path.read_text()}````\n")
    (to / "api").mkdir()
    (to / "api/index.md").write_text(api_index(root))
    for path, notebook in modules(root).items():
        (to / f"api/{path.stem}.md").write_text(api_page(path, notebook, names))
    (to / "commands.md").write_text(commands_page(root))
    return broken


class Page(HTMLParser):
    "What a page can be linked by, links to, and loads."

    LOADS = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("video", "src")}

    def __init__(self, path):
        super().__init__()
        self.anchors, self.links, self.loads = set(), [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id" or (tag, name) == ("a", "name"):
                self.anchors.add(value)
            elif (tag, name) == ("a", "href"):
                self.links.append(value)
            elif (tag, name) in self.LOADS:
                self.loads.append(value)


def check(site):
    "Mistakes of a built site, and the addresses outside that it links to."
    read = {path: Page(path) for path in site.rglob("*.html")}
    mistakes, outside = [], {}
    for path, page in read.items():
        here = path.relative_to(site).as_posix()
        for address in page.links + page.loads:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                if address in page.loads and parts.scheme != "data":
                    mistakes.append(f"{here} loads {address}")
                elif address in page.links:
                    outside.setdefault(address, here)
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                mistakes.append(f"{here} links to {address}: there is no such file")
            elif parts.fragment and target in read and unquote(parts.fragment) not in read[target].anchors:
                mistakes.append(f"{here} links to {address}: there is no such place in that page")
    for path in site.rglob("*.css"):
        found = re.findall(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')]+)", path.read_text())
        mistakes += [f"{path.relative_to(site)} loads {address}" for address in found]
    return mistakes, outside


def main():
    root = Path(__file__).parent.parent
    work, site = root / "_proc", root / "_docs"
    shutil.rmtree(work, ignore_errors=True)
    if broken := lay_out(root, work / "pages"):
        sys.exit("\n".join(f"{link}: leads to no page" for link in broken))
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-j", "2", "-c", "docs", "-d", "_proc/doctrees"]
    if subprocess.run([*command, "_proc/pages", "_proc/site"], cwd=root).returncode:
        sys.exit("Sphinx warned; here every warning is a mistake.")
    mistakes, outside = check(work / "site")
    if mistakes:
        sys.exit("\n".join(mistakes))
    (work / "site/.buildinfo").unlink()
    shutil.rmtree(site, ignore_errors=True)
    shutil.move(work / "site", site)
    print(f"{len(outside)} addresses outside, not checked:", *sorted(outside), sep="\n  ")
    print("_docs/index.html is the site.")


if __name__ == "__main__":
    main()
