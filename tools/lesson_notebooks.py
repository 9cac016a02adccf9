"""What a lesson's text and its two notebooks have to do with each other.

`lessons/NN_name.py` (jupytext py:percent) is the source. From it come
`notebooks/solutions/NN_name.ipynb`, the text cell for cell, and `notebooks/NN_name.ipynb`, which
lacks just the cells tagged `solution`. Both open with badges under the title and a cell that
installs devotools on Colab; neither stands in the text, since they say nothing about the lesson. A
code cell that draws gives the alt text of its figures in comments, one for each figure:

    # alt: Two panels. Left, the section; right, the same section with its nuclei outlined
    #   in yellow (a comment line indented by three blanks carries on).
"""

import base64
import hashlib
import os
import re
from collections import Counter
from pathlib import Path

import ipykernel.kernelspec
import jupytext
import links
import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from small_png import smaller_png

ROOT = Path(__file__).resolve().parents[1]
LESSONS = ROOT / "lessons"
NOTEBOOKS = ROOT / "notebooks"
SOLUTIONS = NOTEBOOKS / "solutions"
PICTURE = re.compile(r"\]\(\.\./docs/images/([^)]+\.png)\)")  # in a text cell of a lesson

# Nothing of the machine that built it: no versions, no timestamps, no kernel's own name.
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}
# Without the state of the widgets (large, and random ids) a view is an error message in Jupyter;
# the text form beside it stays.
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

ON_COLAB = """\
# On Google Colab this installs devotools, once a session. Anywhere else it does nothing.
import subprocess
import sys

if "google.colab" in sys.modules:
    install = [sys.executable, "-m", "pip", "install", "--quiet", "git+{repository}"]
    subprocess.run(install, check=True)"""


class LessonError(Exception):
    """A lesson that failed; the message names lesson, cell and error."""


def lesson_paths(names: list[str] | None = None, folder: Path = LESSONS) -> list[Path]:
    """The lesson texts in order, or those named (with or without `.py` or a folder before it)."""
    found = {path.stem: path for path in sorted(folder.glob("[0-9][0-9]_*.py"))}
    if not names:
        return list(found.values())
    wanted = [Path(name).stem for name in names]
    unknown = [name for name in wanted if name not in found]
    if unknown:
        raise LessonError(f"no lesson {', '.join(unknown)}; there are {', '.join(found) or 'none'}")
    return [found[name] for name in wanted]


def read_lesson(path: Path) -> NotebookNode:
    """The solved notebook of a lesson's text, not executed."""
    notebook = jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent")
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: Counter[str] = Counter()
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        content = f"{cell.cell_type}\n{cell.source}"
        seen[content] += 1
        cell.id = id_of(content, seen[content])
    return notebook


def id_of(content: str, time: int = 1) -> str:
    """A cell's id, by content and not by position: a cell put in changes no other cell's id."""
    return hashlib.sha256(f"{time}\n{content}".encode()).hexdigest()[:12]


def without_solutions(notebook: NotebookNode) -> NotebookNode:
    """The student's copy: the cells tagged `solution` are gone."""
    student = nbformat.from_dict(dict(notebook))
    student.cells = [c for c in notebook.cells if "solution" not in c.metadata.get("tags", [])]
    return nbformat.from_dict(student)


def with_ways_in(notebook: NotebookNode, place: str) -> NotebookNode:
    """A copy with badges under its title, and with the cell that installs devotools on Colab.

    `place` is the notebook's path within the repository, to which the badges lead.
    """
    opened = nbformat.from_dict(dict(notebook))
    opened.cells = [nbformat.from_dict(dict(cell)) for cell in notebook.cells]
    first = opened.cells[0] if opened.cells else None
    if first is None or first.cell_type != "markdown" or not first.source.startswith("# "):
        raise LessonError(
            f"{place} has no title: begin it with a text cell whose first line is '# ...'"
        )
    title, _, rest = first.source.partition("\n")
    first.source = f"{title}\n\n{links.badges(place, 'attachment:')}\n{rest}".rstrip()
    first.attachments = nbformat.from_dict(links.attachments())
    for cell in opened.cells:
        with_pictures(cell)
    code = ON_COLAB.format(repository=links.repository())
    install = nbformat.v4.new_code_cell(code, id=id_of(code))
    opened.cells.insert(1, install)
    return opened


def with_pictures(cell: NotebookNode) -> None:
    """Put the pictures that a text cell shows from docs/images into the notebook, in place.

    They are seen wherever the notebook lies then: as a page, on nbviewer, in solutions/.
    """
    names = PICTURE.findall(cell.source) if cell.cell_type == "markdown" else []
    if names:
        cell.source = PICTURE.sub(r"](attachment:\1)", cell.source)
        cell.attachments = nbformat.from_dict(links.pictures(names))


def variants(path: Path) -> dict[Path, NotebookNode]:
    """Where each of a lesson's notebooks stands, and what is in it before it is executed."""
    solved = read_lesson(path)
    name = path.stem + ".ipynb"
    return {
        NOTEBOOKS / name: with_ways_in(without_solutions(solved), f"notebooks/{name}"),
        SOLUTIONS / name: with_ways_in(solved, f"notebooks/solutions/{name}"),
    }


def alt_texts(source: str) -> list[str]:
    """The alt texts that a code cell gives in its `# alt:` comments."""
    texts: list[str] = []
    carries_on = False
    for line in source.splitlines():
        if line.startswith("# alt:"):
            texts.append(line.removeprefix("# alt:").strip())
            carries_on = True
        elif carries_on and line.startswith("#   "):
            texts[-1] += " " + line.removeprefix("#").strip()
        else:
            carries_on = False
    return texts


def figures(cell: NotebookNode) -> list[NotebookNode]:
    """The outputs of a cell that hold a picture."""
    return [output for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]


def describe_figures(cell: NotebookNode) -> None:
    """Put the alt texts of a code cell on its figures, in order."""
    for output, alt in zip(figures(cell), alt_texts(cell.source), strict=False):
        output.metadata["image/png"] = {"alt": alt}


def shown_as(notebook: NotebookNode) -> list[dict]:
    """What two notebooks must share: types, sources, tags, badges, alt text of each figure."""
    content = []
    for cell in notebook.cells:
        alts = alt_texts(cell.source) if cell.cell_type == "code" else []
        drawn = [output.metadata.get("image/png", {}).get("alt") for output in figures(cell)]
        content.append(
            {
                "type": cell.cell_type,
                "source": cell.source,
                "tags": cell.metadata.get("tags", []),
                "badges": cell.get("attachments", {}),
                "alt": drawn or alts,
            }
        )
    return content


class _ThisPython(KernelSpecManager):
    """Knows one kernel, this environment's, whatever kernels a user has installed elsewhere."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        command = ipykernel.kernelspec.get_kernel_dict()
        return KernelSpec(resource_dir=ipykernel.kernelspec.RESOURCES, **command)


class _ThisPythonsKernel(AsyncKernelManager):
    """Starts that kernel."""

    def __init__(self, **options) -> None:
        super().__init__(**options, kernel_spec_manager=_ThisPython())


def _kernel_environment() -> dict[str, str]:
    environment = {k: v for k, v in os.environ.items() if k != "MPLBACKEND"}  # figures are inline
    environment["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # no remark about frozen modules
    return environment


def execute(
    notebook: NotebookNode, name: str, folder: Path, *, timeout: float = 1800, on_cell=None
) -> NotebookNode:
    """Execute a copy in order in a fresh kernel that works in `folder`; the copy has the outputs.

    Raises `LessonError` that names lesson, cell and error, and KeyboardInterrupt at Ctrl-C. After
    each code cell `on_cell(done, total)` is called.
    """
    executed = nbformat.from_dict(dict(notebook))
    code_cells = [i for i, cell in enumerate(executed.cells) if cell.cell_type == "code"]
    for index in code_cells:
        executed.cells[index].outputs = []
        executed.cells[index].execution_count = None
    current = {"index": 0}

    def started(cell, cell_index):
        current["index"] = cell_index

    def finished(cell, cell_index, execute_reply):
        if on_cell is not None:
            on_cell(code_cells.index(cell_index) + 1, len(code_cells))

    client = NotebookClient(
        executed,
        kernel_manager_class=_ThisPythonsKernel,
        extra_arguments=["--log-level=CRITICAL"],  # what is wrong is said below, once
        timeout=timeout,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
        on_cell_execute=started,
        on_cell_executed=finished,
    )
    try:
        client.execute(env=_kernel_environment())
    except Exception as error:
        if hasattr(client, "_async_cleanup_kernel_future"):  # set by nbclient at Ctrl-C, and then
            raise KeyboardInterrupt from error  # it complains of what it has ended itself
        problem = _problem(error, timeout)
        if problem is None:
            raise
        raise LessonError(_where(executed, name, current["index"], problem)) from error
    executed.metadata = nbformat.from_dict(METADATA)
    return executed


def _problem(error: Exception, timeout: float) -> str | None:
    """What to say of an error of the lesson; None for one of another kind."""
    if isinstance(error, CellExecutionError):
        return _in_short(error)
    if isinstance(error, CellTimeoutError):
        return f"not finished after {timeout:g} s"
    if isinstance(error, DeadKernelError):
        return "the kernel died (often: out of memory)"
    return None


def _in_short(error: CellExecutionError) -> str:
    in_colour = f"{error.ename}: {error.evalue}\n\n{error.traceback}"
    return re.sub(r"\x1b\[[0-9;]*m", "", in_colour).rstrip()


def _where(notebook: NotebookNode, name: str, index: int, problem: str) -> str:
    """A sentence that names the lesson, the cell (its place and first line) and the problem."""
    first_line = next((s for s in notebook.cells[index].source.splitlines() if s.strip()), "")
    return f"{name}, cell {index + 1} of {len(notebook.cells)} ({first_line.strip()!r}): {problem}"


def is_begun_bar(output: NotebookNode) -> bool:
    """Whether an output is a bar of progress as it looked before the first step, for ever."""
    return output.get("data", {}).get("text/plain", "").lstrip().startswith("0%|")


def finish(executed: NotebookNode, name: str) -> NotebookNode:
    """Make outputs fit to be stored: small figures with alt text, no widget state, no dead bars.

    Raises `LessonError` when a cell wrote to stderr (a warning, mostly) or drew without alt text.
    """
    for index, cell in enumerate(executed.cells):
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                problem = f"wrote to stderr, and a lesson must not: {output.text.strip()}"
                raise LessonError(_where(executed, name, index, problem))
            output.get("data", {}).pop(WIDGET_VIEW, None)
        cell.outputs = [output for output in cell.outputs if not is_begun_bar(output)]
        drawn, alts = figures(cell), alt_texts(cell.source)
        if len(drawn) != len(alts):
            problem = (
                f"{len(drawn)} figures but {len(alts)} `# alt:` comments; one for each, in order"
            )
            raise LessonError(_where(executed, name, index, problem))
        describe_figures(cell)
        for output in drawn:
            picture = base64.b64decode(output.data["image/png"])
            output.data["image/png"] = base64.b64encode(smaller_png(picture)).decode()
    return executed
