"""A lesson as a page that can be read with no network, on a phone, and by a screen reader."""

import posixpath
import re
from html import escape

import nbformat
from jinja2 import DictLoader
from lesson_notebooks import WIDGET_VIEW, is_begun_bar
from links import BRANCH, repository
from nbconvert import HTMLExporter
from nbformat import NotebookNode

# nbconvert's own template drops the alt text of output pictures and fetches scripts for widgets.
TEMPLATE = """\
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block extra_css -%}
<style>
  main { max-width: 60rem; margin: 0 auto; }
  img, svg, video { max-width: 100%; height: auto; }
  .jp-OutputArea-output, .jp-RenderedHTMLCommon, .highlight { overflow-x: auto; max-width: 100%; }
  .jp-Cell, .jp-OutputArea, .jp-InputArea, .jp-Cell-inputWrapper, .jp-OutputArea-child,
  .jp-Cell-outputWrapper, .jp-InputArea-editor { min-width: 0; max-width: 100%; }
  p.in-jupyter { margin: 0.5rem; padding: 0.5rem; border-left: 4px solid #1f6f8b; }
  @media (max-width: 45rem) {
    .jp-InputPrompt, .jp-OutputPrompt, .jp-InputCollapser, .jp-OutputCollapser { display: none; }
    body.jp-Notebook { padding: 0.25rem; }
  }
</style>
{%- endblock -%}
{%- block data_png scoped -%}
<div class="jp-RenderedImage jp-OutputArea-output">
<img src="data:image/png;base64,{{ output.data['image/png'] | escape_html }}"
 alt="{{ (output | get_metadata('alt', 'image/png') or '') | escape_html }}">
</div>
{%- endblock -%}
"""
IN_JUPYTER = (
    '<p class="in-jupyter">A control to play with stands here when the lesson is open in '
    "Jupyter.</p>"
)


def title_of(notebook: NotebookNode, otherwise: str) -> str:
    """The first level-1 heading."""
    for cell in notebook.cells:
        for line in cell.source.splitlines() if cell.cell_type == "markdown" else ():
            if line.startswith("# "):
                return line.removeprefix("# ").strip()
    return otherwise


def page(notebook: NotebookNode, name: str) -> str:
    """The HTML of an executed lesson."""
    shown = nbformat.from_dict(dict(notebook))
    shown.metadata["title"] = title_of(shown, name)
    for cell in shown.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not is_begun_bar(output)]
        for output in cell.get("outputs", []):
            if WIDGET_VIEW in output.get("data", {}):
                output.data = nbformat.from_dict({"text/html": IN_JUPYTER})
    exporter = HTMLExporter(
        extra_loaders=[DictLoader({"course_page.html.j2": TEMPLATE})],
        template_file="course_page.html.j2",
    )
    html, _ = exporter.from_notebook_node(shown, resources={"metadata": {"name": name}})
    return re.sub(r'(<a [^>]*?href=")([^"]+)"', lambda link: f'{link[1]}{_target(link[2])}"', html)


def _target(href: str) -> str:
    """Where a link of a lesson leads from its page: to a page of the run, or to the repository."""
    if re.match(r"#|[a-z]+:", href):
        return href
    if re.fullmatch(r"\d\d_\w+\.ipynb(#.*)?", href):
        return href.replace(".ipynb", ".html")
    return f"{repository()}/blob/{BRANCH}/{posixpath.normpath(posixpath.join('notebooks', href))}"


def index_page(rows: list[dict], made_with: str) -> str:
    """The table of contents of a run: rows of name, title, cells, figures, seconds, problem."""
    lines = []
    for row in rows:
        title, what = escape(row["title"]), f"{row['cells']} cells, {row['figures']} figures"
        if row["problem"]:
            entry = f"{title}: <strong>failed</strong><pre>{escape(row['problem'])}</pre>"
        else:
            entry = f'<a href="{row["name"]}.html">{title}</a>: {what}, {row["seconds"]:.0f} s'
        lines.append(f"<li>{entry}</li>")
    return f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>devotools: the course</title>
<style>
  body {{ font: 1.1rem/1.6 system-ui, sans-serif; max-width: 45rem; margin: 2rem auto; }}
  body {{ padding: 0 1rem; }}
  pre {{ overflow-x: auto; }}
</style>
</head>
<body>
<h1>devotools: the course</h1>
<ol>
{chr(10).join(lines)}
</ol>
<p>{escape(made_with)}</p>
</body>
</html>
"""
