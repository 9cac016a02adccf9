"""What people read and look at: spelling, links, headings, words for pictures, colours."""

import ast
import re
import subprocess
import sys
from functools import cache
from itertools import combinations, pairwise
from urllib.parse import unquote, urlsplit

import pytest
from lesson_notebooks import NOTEBOOKS, ROOT, alt_texts, lesson_paths, read_lesson
from markdown_it import MarkdownIt

from devotools.exercises import EXERCISES

UNREAD = {".git", ".venv", "build", "dist", "shared", "node_modules"}
LESSONS = lesson_paths()
PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not UNREAD & set(path.relative_to(ROOT).parts)
    and not any(part.endswith(("_cache", ".egg-info", "checkpoints")) for part in path.parts)
)
PACKAGE = sorted((ROOT / "devotools").rglob("*.py"))
DRAWING = [
    *LESSONS,
    *sorted((ROOT / "devotools" / "ui").glob("*.py")),
    ROOT / "devotools" / "plots.py",
    *sorted((ROOT / "benchmarks").glob("*.py")),
]


def named(paths):
    return [path.relative_to(ROOT).as_posix() for path in paths]


each_page = pytest.mark.parametrize("page", PAGES, ids=named(PAGES))
each_text = pytest.mark.parametrize("text", [*PAGES, *LESSONS], ids=named([*PAGES, *LESSONS]))
each_drawing = pytest.mark.parametrize("path", DRAWING, ids=named(DRAWING))


# --- reading Markdown --------------------------------------------------------------------------


@cache
def markdown_of(path):
    """The Markdown of a page, or all the text cells of a lesson."""
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    cells = read_lesson(path).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


@cache
def tokens_of(path):
    """Every token in order, those inside a paragraph or heading included."""
    found = []
    for token in MarkdownIt("commonmark").enable("table").parse(markdown_of(path)):
        found.append(token)
        found.extend(token.children or [])
    return found


def prose_of(path):
    """What is written in words: no code, no addresses, no titles of others' works."""
    words, foreign = [], False
    for token in tokens_of(path):
        if token.type == "link_open":
            foreign = "://" in token.attrs["href"]
        elif token.type == "link_close":
            foreign = False
        elif token.type == "image" or (token.type == "text" and not foreign):
            words.append(token.content)
        elif token.type == "html_block":
            words.append(re.sub(r"<[^>]*>|`[^`]*`", " ", token.content))
        elif token.type in ("softbreak", "paragraph_close", "heading_close", "inline"):
            words.append("\n" if token.type != "inline" else "")
    return "".join(words)


def headings_of(path):
    """Level and text of each heading."""
    tokens = tokens_of(path)
    return [
        (int(token.tag[1]), tokens[number + 1].content)
        for number, token in enumerate(tokens)
        if token.type == "heading_open"
    ]


def anchors_of(path):
    """What a link may jump to: headings as GitHub names them, and ids written by hand."""
    found = set()
    for _, text in headings_of(path):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", text)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        again = (f"{slug}-{number}" for number in range(1, 1000))
        found.add(slug if slug not in found else next(one for one in again if one not in found))
    return found | set(re.findall(r'<\w+ [^>]*\b(?:id|name)="([^"]+)"', markdown_of(path)))


def links_of(path):
    """Every address: of links, of pictures, and written out in the text."""
    found = []
    for token in tokens_of(path):
        if token.type == "link_open":
            found.append(token.attrs["href"])
        elif token.type == "image":
            found.append(token.attrs["src"])
        elif token.type in ("html_inline", "html_block"):
            found += re.findall(r'\b(?:href|src)="([^"]*)"', token.content)
        elif token.type == "text":
            found += re.findall(r"\w+://[^\s<>()\"]+[^\s<>()\".,;:]", token.content)
    return found


def pictures_of(path):
    """Source and words of each picture in the Markdown."""
    found = [(t.attrs["src"], t.content) for t in tokens_of(path) if t.type == "image"]
    for tag in re.findall(r"<img\b[^>]*>", markdown_of(path)):
        source = re.search(r'src="([^"]*)"', tag)
        alt = re.search(r'alt="([^"]*)"', tag)
        found.append((source[1] if source else "", alt[1] if alt else ""))
    return found


def says_something(alt):
    """Whether the words for a picture tell what it shows: a few words, and no file name."""
    return len(alt.split()) >= 3 and not re.fullmatch(r"\S+\.(png|jpe?g|svg|gif|tiff?)", alt, re.I)


PAGE = """\
# A `title`: with [a link](other.md)

Grey words, `code color`, and [a color title](https://example.org/paper) at https://example.com/x.

```python
color = "gray"
```

## Twice

![A round grey nucleus](nucleus.png) ![](no.png) <img src="raw.png" alt="raw.png">

## Twice

<a id="by-hand"></a>
"""


def test_reader_of_markdown(tmp_path):
    """What reads the pages below is tested too."""
    path = tmp_path / "page.md"
    path.write_text(PAGE, encoding="utf-8")
    assert headings_of(path) == [
        (1, "A `title`: with [a link](other.md)"),
        (2, "Twice"),
        (2, "Twice"),
    ]
    assert {"a-title-with-a-link", "twice", "twice-1", "by-hand"} == anchors_of(path)
    links = ["other.md", "https://example.org/paper", "https://example.com/x"]
    assert links_of(path) == [*links, "nucleus.png", "no.png", "raw.png"]
    assert [says_something(alt) for _, alt in pictures_of(path)] == [True, False, False]
    assert "Grey words" in prose_of(path)
    assert "A round grey nucleus" in prose_of(path)
    assert "color" not in prose_of(path)
    assert "gray" not in prose_of(path)


# --- spelling ----------------------------------------------------------------------------------

AMERICAN = {
    "color(s|ed|ing|ful|less)?": "colour",
    "gray(s|ish|scale)?": "grey",
    "center(s|ed|ing)?": "centre",
    "(micro|nano|milli)meters?": "micrometre",
    "neighbor(s|ing|hood)?": "neighbour",
    "behaviors?": "behaviour",
    "(un)?label(ed|ing)": "labelled",
    "model(ed|ing)": "modelled",
    "(analy|recogni|normali|optimi)z(e|es|ed|ing|ation)": "analyse, recognise, normalise",
}


def test_spelling():
    """Everything that people read, by codespell's list of common mistakes."""
    files = [*PAGES, *LESSONS, *PACKAGE, *sorted((ROOT / "benchmarks").glob("*.py"))]
    files += [ROOT / "CITATION.cff", ROOT / "Makefile", ROOT / "environment.yml"]
    done = subprocess.run(
        [sys.executable, "-m", "codespell_lib", *named(files)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_spelling_is_really_checked(tmp_path):
    path = tmp_path / "page.md"
    path.write_text("We recieve" + " teh masks.\n", encoding="utf-8")
    command = [sys.executable, "-m", "codespell_lib", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stdout.count("==>") == 2


def american(text):
    """The American forms in a text, each with the one that this project uses."""
    found = []
    for pattern, ours in AMERICAN.items():
        found += [f"{m[0]} -> {ours}" for m in re.finditer(rf"\b(?:{pattern})\b", text, re.I)]
    return found


@each_text
def test_spelling_is_british_throughout(text):
    assert american(prose_of(text)) == []


def docstrings_of(path):
    """The docstrings of a module in words: no examples, no code, no roles."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, kinds)]
    text = re.sub(r"^ *(>>>|\.\.\.) .*$", "", "\n".join(texts), flags=re.MULTILINE)
    return re.sub(r"``[^`]*``|(:\w+:)?`[^`]*`|\w+://\S+|\"[^\"\n]*\"", " ", text)


@pytest.mark.parametrize("path", PACKAGE, ids=named(PACKAGE))
def test_docstrings_are_british_too(path):
    assert american(docstrings_of(path)) == []


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=list(EXERCISES))
def test_exercises_are_british_too(exercise):
    texts = [exercise.otherwise, exercise.solved, *exercise.hints]
    texts += [text for mistake in exercise.mistakes for text in (mistake.name, mistake.advice)]
    assert american("\n".join(texts)) == []


@pytest.mark.parametrize("lesson", LESSONS, ids=named(LESSONS))
def test_words_for_figures_are_british_too(lesson):
    code = [cell.source for cell in read_lesson(lesson).cells if cell.cell_type == "code"]
    assert american("\n".join(alt for source in code for alt in alt_texts(source))) == []


# --- links -------------------------------------------------------------------------------------

REGISTRIES = (r"py" r"pi\.org", r"python" r"hosted\.org", r"ana" r"conda\.(org|com)")
REGISTRIES += (r"npm" r"js\.(com|org)", r"crates" r"\.io", r"conda" r"-forge\.org/packages")
HERE_ONLY = re.compile(r"^(localhost|.*\.local|\d+\.\d+\.\d+\.\d+|\[.*\])$", re.IGNORECASE)


def home_of(text):
    """The folder that a page's links start from; a lesson is read in notebooks/."""
    return text.parent if text.suffix == ".md" else NOTEBOOKS


@each_text
def test_links_within_the_project_lead_somewhere(text):
    for link in links_of(text):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        assert not parts.path.startswith("/"), f"{link}: a path of one machine"
        target = (home_of(text) / unquote(parts.path)).resolve() if parts.path else text
        assert target.exists(), f"{link}: there is no {target.name}"
        assert target.is_relative_to(ROOT), f"{link}: outside of the repository"
        assert not UNREAD & set(target.relative_to(ROOT).parts), f"{link}: not in the repository"
        if parts.fragment:
            lesson = ROOT / "lessons" / f"{target.stem}.py"
            there = lesson if target.suffix == ".ipynb" else target
            assert parts.fragment in anchors_of(there), f"{link}: no such heading"


@each_text
def test_links_to_elsewhere_are_well_formed(text):
    for link in links_of(text):
        parts = urlsplit(link)
        if not parts.scheme and not parts.netloc:
            continue
        assert parts.scheme == "https", f"{link}: https"
        assert re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", parts.netloc), f"{link}: a host's name"
        assert not HERE_ONLY.match(parts.netloc), f"{link}: of one machine"
        assert not re.search("|".join(REGISTRIES), parts.netloc + parts.path), f"{link}: a registry"
        assert not re.search(r"[\s<>{}|\\^`]|%(?![0-9A-F]{2})", link, re.I), (
            f"{link}: odd characters"
        )


@each_text
def test_pictures_are_described(text):
    for source, alt in pictures_of(text):
        assert says_something(alt), f"{source}: {alt!r} does not say what it shows"


@pytest.mark.parametrize("lesson", LESSONS, ids=named(LESSONS))
def test_figures_are_described(lesson):
    seen = {}
    for number, cell in enumerate(read_lesson(lesson).cells, start=1):
        for alt in alt_texts(cell.source) if cell.cell_type == "code" else ():
            assert len(alt.split()) >= 6, f"cell {number}: {alt!r} does not say what it shows"
            assert alt.endswith("."), f"cell {number}: {alt!r} is no sentence"
            assert alt not in seen, f"cells {seen[alt]} and {number} have the same words"
            seen[alt] = number


@each_page
def test_headings_are_in_order(page):
    found = headings_of(page)
    assert found, "a page begins with its title"
    assert found[0][0] == 1
    assert [level for level, _ in found].count(1) == 1, "one title"
    for (before, _), (level, text) in pairwise(found):
        assert level <= before + 1, f"{text!r} is level {level} after level {before}"


# --- colours -----------------------------------------------------------------------------------

OKABE_ITO = {"#0072B2", "#D55E00", "#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#F0E442"}
COLOURS = OKABE_ITO | {"black", "white", "grey", "none", "#000000", "#999999", "#FFFFFF"}
MAPS = {"gray", "gray_r", "viridis", "cividis"}
COLOUR_ARGUMENTS = {"color", "c", "colors", "ec", "fc", "mec", "mfc", "ecolor", "labelcolor"}
COLOUR_ARGUMENTS |= {"edgecolor", "edgecolors", "facecolor", "facecolors"}
COLOUR_ARGUMENTS |= {"markeredgecolor", "markerfacecolor"}
LINES = {"plot", "step", "errorbar", "stairs", "axhline", "axvline", "hlines", "vlines"}
SHAPES = {"scatter", "bar", "barh", "hist", "fill_between", "stem"}
STYLES = {"linestyle", "ls", "marker", "dashes", "hatch"}


def strings_in(node):
    """The texts that an expression may come to; what is looked up by a key is left aside."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.Subscript):
        return strings_in(node.value)
    if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        return [text for inner in node.elts for text in strings_in(inner)]
    if isinstance(node, ast.Dict):
        return [text for inner in node.values for text in strings_in(inner)]
    if isinstance(node, ast.IfExp):
        return strings_in(node.body) + strings_in(node.orelse)
    return []


def given(tree, names):
    """What arguments, and entries of dictionaries, of these names are set to."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in names:
            yield node.value
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value in names:
                    yield value


def method_calls(tree, names):
    for node in ast.walk(tree):
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Attribute) and called.attr in names:
            yield node


def formats(call):
    """The short format strings among the arguments of a plot, such as "o--"."""
    texts = [text for argument in call.args for text in strings_in(argument)]
    return [text for text in texts if re.fullmatch(r"[a-zA-Z0-9.,:|_*+<>^-]{1,4}", text)]


def colours_in(tree):
    """Every colour that a piece of code names."""
    found = [text for node in given(tree, COLOUR_ARGUMENTS) for text in strings_in(node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found += re.findall(r"#[0-9a-fA-F]{6}\b", node.value)
    for call in method_calls(tree, {"plot", "errorbar"}):
        for text in formats(call):
            letters = re.findall(r"C\d|[bgrcmykw]", text)
            found += ["black" if letter == "k" else letter for letter in letters]
    return found


def maps_in(tree):
    """Every colour map that a piece of code names."""
    found = [text for node in given(tree, {"cmap", "image.cmap"}) for text in strings_in(node)]
    for call in method_calls(tree, {"set_cmap", "get_cmap", "ListedColormap"}):
        found += [text for argument in call.args for text in strings_in(argument)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("colormaps"):
            found += strings_in(node.slice)
        elif isinstance(node, ast.Attribute) and re.search(r"\bcm$", ast.unparse(node.value)):
            found.append(node.attr)
        elif isinstance(node, ast.Assign) and "cmap" in ast.unparse(node.targets[0]).lower():
            found += strings_in(node.value)
    return found


def without_colour(tree):
    """Calls that draw and leave the colour to matplotlib, whose own are not ours."""
    wanted = COLOUR_ARGUMENTS | {None}  # None: **style
    return [
        ast.unparse(call)
        for call in method_calls(tree, LINES | SHAPES)
        if (call.args or call.keywords)
        and not wanted & {keyword.arg for keyword in call.keywords}
        and not any("k" in text for text in formats(call))
    ]


def look_of(call):
    """What tells a line apart without its colour: the format, less its colour letter, and style."""
    style = [
        ast.unparse(keyword.value)
        for keyword in sorted(call.keywords, key=lambda keyword: keyword.arg or "")
        if keyword.arg in STYLES
    ]
    return call.func.attr, [re.sub(r"[bgrcmykw]", "", text) for text in formats(call)], style


def has(call, names):
    return any(keyword.arg in names for keyword in call.keywords)


def same_looks(tree):
    """Pairs of named lines on the same axes that only their colour tells apart."""
    found, by_axes = [], {}
    for call in method_calls(tree, LINES | {"hist"}):
        if has(call, {"label"}) and not has(call, {None}):
            by_axes.setdefault(ast.unparse(call.func.value), []).append(call)
    for calls in by_axes.values():
        for one, other in combinations(calls, 2):
            if look_of(one) == look_of(other):
                found.append(f"{ast.unparse(one)} and {ast.unparse(other)}")
    for loop in ast.walk(tree):
        if isinstance(loop, ast.For):
            found += _same_look_in_loop(loop)
    return found


def _same_look_in_loop(loop):
    """Named lines that a loop draws on one Axes with one look."""
    turning = {node.id for node in ast.walk(loop.target) if isinstance(node, ast.Name)}
    found = []
    for call in method_calls(loop, LINES | {"hist"}):
        axes = {node.id for node in ast.walk(call.func.value) if isinstance(node, ast.Name)}
        label = next((k.value for k in call.keywords if k.arg == "label"), None)
        if axes & turning or label is None or isinstance(label, ast.Constant):
            continue
        looks = [k.value for k in call.keywords if k.arg in STYLES | {None}] + call.args[2:]
        if all(isinstance(look, ast.Constant) for look in looks):
            found.append(ast.unparse(call))
    return found


def cells_of(path):
    """The pieces of code in which lines may share Axes: cells of a lesson, else functions."""
    if path in LESSONS:
        cells = read_lesson(path).cells
        return [ast.parse(cell.source) for cell in cells if cell.cell_type == "code"]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


@each_drawing
def test_colours_are_those_of_okabe_and_ito(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    known = {colour.upper() for colour in COLOURS}
    assert [colour for colour in colours_in(tree) if colour.upper() not in known] == []


@each_drawing
def test_colour_maps_can_be_read_by_everyone(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert [name for name in maps_in(tree) if name not in MAPS] == []


@each_drawing
def test_every_drawing_says_its_colour(path):
    assert without_colour(ast.parse(path.read_text(encoding="utf-8"))) == []


@each_drawing
def test_lines_differ_in_more_than_colour(path):
    for tree in cells_of(path):
        assert same_looks(tree) == []


def test_reader_of_colours_sees_every_form():
    def colours(code):
        return colours_in(ast.parse(code))

    assert colours('ax.plot(x, y, "r--")') == ["r"]
    assert colours('ax.plot(x, y, "C1o-")') == ["C1"]
    assert colours('ax.plot(x, y, "s:", color="#0072b2")') == ["#0072b2", "#0072b2"]
    assert colours('ax.bar(x, y, edgecolor="red")') == ["red"]
    assert colours('style = {"color": "lime", "label": "red"}') == ["lime"]
    assert colours('ax.scatter(x, y, c=["tan" if z else "pink" for z in x])') == []
    assert colours('ax.scatter(x, y, c=("tan" if z else "pink"))') == ["tan", "pink"]
    assert colours('ax.plot(x, y, color=COLOURS["train"])') == []
    assert colours('EDGE = "border: 1px solid #ff0000"') == ["#ff0000"]

    def maps(code):
        return maps_in(ast.parse(code))

    assert maps('ax.imshow(x, cmap="jet")') == ["jet"]
    assert maps('plt.set_cmap("hot"); plt.get_cmap("hsv")') == ["hot", "hsv"]
    assert maps("plt.cm.rainbow(x)") == ["rainbow"]
    assert maps('mpl.colormaps["jet"]') == ["jet"]
    assert maps('my_cmap = "jet" if bright else "hot"') == ["jet", "hot"]
    assert maps('ax.imshow(x, **{"cmap": "jet"})') == ["jet"]

    assert without_colour(ast.parse("ax.plot(x, y, 'o-')")) == ["ax.plot(x, y, 'o-')"]
    assert without_colour(ast.parse("optimizer.step()")) == []
    assert without_colour(ast.parse("ax.plot(x, y, **style); ax.plot(x, y, 'k.')")) == []


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ('ax.plot(x, "o-", label="a")\nax.plot(y, "o-", label="b", color="black")', 1),
        ('ax.plot(x, "o-", label="a")\nax.plot(y, "s-", label="b")', 0),
        ('ax.plot(x, "ko-", label="a")\nax.plot(y, "wo-", label="b")', 1),
        ('ax.plot(x, label="a")\nax.plot(y, label="b", linestyle="--")', 0),
        ('axes[0].plot(x, label="a")\naxes[1].plot(y, label="b")', 0),
        ("ax.plot(x)\nax.plot(y)", 0),  # without names they may mean the same
        ('ax.hist(x, label="a")\nax.hist(y, label="b", hatch="//")', 0),
        ('for name in names:\n    ax.plot(x, y, "o-", label=name)', 1),
        ("for name in names:\n    ax.plot(x, y, style[name], label=name)", 0),
        ('for ax in axes:\n    ax.plot(x, y, "o-", label=ax)', 0),
        ('for k, x in steps:\n    ax.plot(x, label=f"{k}", color="black")', 1),
        ('for k, x in steps:\n    ax.plot(x, label=f"{k}", linestyle=k)', 0),
    ],
)
def test_reader_of_lines_sees_what_only_colour_tells_apart(code, count):
    assert len(same_looks(ast.parse(code))) == count
