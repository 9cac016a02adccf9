"""Exercises: judged by their own right and wrong answers, then as the lessons use them."""

import ast
import builtins
import copy
import pickle
import re
from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise

import cv2
import nbformat
import numpy as np
import pytest
import torch
from lesson_notebooks import NOTEBOOKS, SOLUTIONS, lesson_paths, read_lesson

from devotools import InputError, exercises
from devotools.exercises import EXERCISES, Case, Exercise, Hints, Mistake, Verdict, check, judge
from devotools.exercises.kit import same
from devotools.metrics import iou_score

LESSONS = lesson_paths()
NOTHING_YET = "nothing to check so far"

each_exercise = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=list(EXERCISES))
each_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=[path.stem for path in LESSONS])


# --- the machinery, on an exercise of three lines ----------------------------------------------

DOUBLE = Exercise(
    key="0.1",
    right=lambda values: 2 * values,
    cases=(Case("one", (np.array([1.0]),)), Case("three", (np.array([3.0]),))),
    hints=("Think.", "Think of twice.", "2 * values"),
    mistakes=(Mistake("that is the square", lambda values: values**2, "Times two, not itself."),),
    solved="well done.",
)
LARGER = Exercise(
    key="0.2",
    right=max,
    example=(3, 5),
    hints=("Compare.", "Use max.", "max(a, b)"),
    mistakes=(Mistake("that is the smaller one", min, "Look at the other end."),),
    otherwise="It is one of the two.",
    solved="yes.",
)


def test_verdicts_of_a_function():
    assert judge(DOUBLE, lambda values: values + values) == Verdict(True, "well done.")
    named = judge(DOUBLE, lambda values: values * values)
    assert (named.solved, named.mistake) == (False, "that is the square")
    assert repr(named) == "not yet: that is the square. Times two, not itself."
    other = judge(DOUBLE, lambda values: values - 1)
    assert (other.solved, other.mistake) == (False, None)
    assert repr(other) == "not yet: for one expected [2.0], got [0.0]."


def test_a_mistake_made_in_one_case_only_is_not_named():
    verdict = judge(DOUBLE, lambda values: values**2 if values[0] > 2 else 0 * values)
    assert verdict.mistake is None


def test_first_case_that_differs_is_shown():
    verdict = judge(DOUBLE, lambda values: np.minimum(2 * values, 5))
    assert verdict.message == "for three expected [6.0], got [5.0]."


def test_of_a_long_array_the_first_difference_is_told():
    picture = np.linspace(0, 1, 48).reshape(6, 8)
    exercise = Exercise("1", lambda x: x, (), cases=(Case("a picture", (picture,)),))

    def half_wrong(x):
        x = x.copy()
        x[2, 3:] = 0.5
        return x

    said = judge(exercise, half_wrong).message
    assert said == "for a picture expected 0.4043 at row 2, column 3 (counted from 0), got 0.5."
    same_look = judge(exercise, lambda x: x.ravel()).message  # another shape: as they are
    assert "expected [[0.0" in same_look


def test_verdicts_of_a_value():
    assert judge(LARGER, 5, (3, 5)).solved
    assert judge(LARGER, 7, (7, 2)).solved
    assert judge(LARGER, 3, (3, 5)).mistake == "that is the smaller one"
    assert judge(LARGER, 4, (3, 5)) == Verdict(False, "It is one of the two.")


def stub(values):
    return None  # your code


@pytest.mark.parametrize("untouched", [None, ...])
@pytest.mark.parametrize("function", [stub, lambda values: ...], ids=["stub", "dots"])
def test_untouched_is_not_yet(untouched, function):
    for verdict in (
        judge(LARGER, untouched, (3, 5)),
        judge(DOUBLE, untouched),
        judge(DOUBLE, function),
    ):
        assert repr(verdict).startswith(f"not yet: {NOTHING_YET}")


def test_a_forgotten_return_is_told(capsys):
    def forgotten(values):
        values = 2 * values

    def shown(values):
        print(2 * values)

    for answer in (forgotten, shown):
        assert judge(DOUBLE, answer).message.startswith("your function gives nothing back")


def test_a_function_that_leaves_python_is_told():
    assert "raised SystemExit" in judge(DOUBLE, lambda values: exit()).message


def check_mistake(key, answer, name):
    assert EXERCISES[key].cases
    assert judge(EXERCISES[key], answer).mistake == name


def test_natural_wrong_answers_are_named():
    def enlarged(mask):
        return cv2.resize(mask, None, fx=2, fy=2)

    def dice(true, predicted):
        with np.errstate(invalid="ignore"):
            return 2 * (true & predicted).sum() / (true.sum() + predicted.sum())

    def twice(true, predicted):
        return (true & predicted).sum() / max(true.sum() + predicted.sum(), 1)

    def nuclei_only(p, mask):
        return -np.log(p[mask == 1]).mean()

    check_mistake("2.3", enlarged, "the mask was interpolated")
    check_mistake("4.1", dice, "that is Dice, not IoU, and two empty masks score NaN")
    check_mistake("4.1", twice, "the union is counted twice, and two empty masks score 0")
    check_mistake("3.2", nuclei_only, "the background costs nothing, and is not counted")


def exchange_the_ends(image, mask):
    ends = [np.array(picture) for picture in (image, mask)]
    for new, old in zip(ends, (image, mask), strict=True):
        new[:, 0], new[:, -1] = old[:, -1], old[:, 0]
    return tuple(ends)


def enlarge_but_the_last_column(mask):
    large = np.zeros((2 * len(mask), 2 * mask.shape[1]), mask.dtype)
    for row in range(len(mask)):
        for column in range(mask.shape[1] - 1):
            large[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = mask[row, column]
    return large


def count_from_the_next_section(labels):
    nuclei = len(np.unique(labels[0][labels[0] > 0]))
    for before, after in pairwise(labels):
        for one in np.unique(after[after > 0]):
            others = np.unique(before[before > 0])
            best = max((iou_score(before == k, after == one) for k in others), default=0)
            nuclei += best < 0.2
    return nuclei


def mean_of_the_rows(true, predicted):
    either = (true | predicted).sum(axis=1)
    shares = (true & predicted).sum(axis=1)[either > 0] / either[either > 0]
    return shares.mean() if len(shares) else 1.0


def first_from_the_last_bar(labels, train, test, error):
    return next(n for n, score in zip(labels, test, strict=True) if score >= test[-1] - error[-1])


@pytest.mark.parametrize(
    ("key", "wrong"),
    {
        "1.4": lambda test, train: sum(
            any(e == f and abs(s - t) < 4 for f, t in train) for e, s in test
        ),
        "2.1": exchange_the_ends,
        "1.3": lambda labels, n, um: float(n * um**2 if n in labels else 0),  # its pixels by luck
        "2.3": enlarge_but_the_last_column,
        "3.2": lambda p, mask: -np.log(np.where(p >= 0.5, p, 1 - p)).mean(),
        "4.1": mean_of_the_rows,
        "5.1": lambda x: (x - x.min()) / (x.max() - x.min()) >= 0.5,
        "5.4": count_from_the_next_section,
        "6.2": lambda sections, known: sorted(
            place for place in sections if place[0] not in {embryo for embryo, _ in known}
        ),
        "6.3": first_from_the_last_bar,
    }.items(),
)
def test_answers_that_are_right_by_luck_are_not_solved(key, wrong):
    assert not check(key, wrong).solved


def test_a_mirrored_mask_is_not_the_enlarged_one():
    mirrored = check("2.3", lambda mask: mask.repeat(2, 0).repeat(2, 1)[:, ::-1])
    assert not mirrored.solved


def test_names_are_not_given_to_other_mistakes():
    """Nor advice: a function that blames another thing than what was done is worse than none."""
    surer_is_right = check(
        "3.2", lambda p, m: -np.log(np.where((p >= 0.5) == (m == 1), p, 1 - p)).mean()
    )
    assert surer_is_right.mistake is None
    pixels_squared = check("1.3", lambda labels, n, um: float(((labels == n).sum() * um) ** 2))
    assert pixels_squared.mistake == "the number of pixels is squared as well"
    number_for_a_pair = check("1.4", lambda test, train: sum(s - 1 in train for _, s in test))
    assert "with a pair" in number_for_a_pair.message
    by_majority = check("6.4", lambda clean, many: iou_score(np.mean(many, 0) >= 0.5, clean))
    assert by_majority.mistake is None
    one_less = check("5.4", lambda labels: sum(len(np.unique(one)) - 1 for one in labels))
    assert "links ask for too much" not in one_less.message
    too_dark = check("6.1", lambda grey: grey > 200)
    assert "expected True at row 1, column 1 (counted from 0), got False" in too_dark.message


@pytest.mark.parametrize("key", ["3.4", "4.4"])
def test_lists_that_were_changed_on_the_way_are_told(key):
    exercise = EXERCISES[key]
    given = copy.deepcopy(exercise.example)
    assert check(key, exercise.right(*given), *given).solved
    given[1].sort()
    said = check(key, exercise.right(*given), *given)
    assert not said.solved
    assert "list.sort() changes a list" in said.message


def test_answers_of_another_kind_are_told_so():
    def one_only(image, mask):
        return image[:, ::-1]

    def built_in_sum(mask):
        return 1 - sum(mask) / len(mask)

    def with_if(p, mask):
        return 0 if mask == 1 else 1

    def without_brackets(tp, fp, fn):
        return tp / tp + fp, tp / tp + fn

    assert "Give 2 values, with a comma" in judge(EXERCISES["2.1"], one_only).message
    assert "one number is asked for" in judge(EXERCISES["1.1"], built_in_sum).message
    quoted = judge(EXERCISES["1.1"], lambda mask: f"{1 - mask.mean():.4g}").message
    assert "expected 0.75, got '0.75'. That is text." in quoted
    comma = judge(EXERCISES["1.1"], lambda mask: (1 - mask.mean(),)).message
    assert "a comma or a bracket too many" in comma
    assert "np.where in place of if" in judge(EXERCISES["3.2"], with_if).message
    check_mistake("4.3", without_brackets, "brackets are missing")
    check_mistake("6.1", lambda grey: grey > 100, "the cut is too low")
    check_mistake(
        "7.1",
        lambda true, called: (called[true].mean() + called[~true].mean()) / 2,
        "of the others the wrong calls are counted",
    )


@pytest.mark.parametrize(
    "answer", [lambda grey: grey // 128, lambda grey: torch.as_tensor(grey > 127).float()]
)
def test_a_mask_of_numbers_is_no_mask(answer):
    verdict = judge(EXERCISES["6.1"], answer)
    assert not verdict.solved
    assert "the values are right, but they are numbers" in verdict.message
    assert judge(EXERCISES["6.1"], lambda grey: torch.as_tensor(grey > 127)).solved
    assert judge(EXERCISES["6.1"], lambda grey: (grey > 127).tolist()).solved


@pytest.mark.parametrize("key", ["3.4", "4.4"])
def test_a_check_without_what_the_lesson_gives(key):
    with pytest.raises(InputError, match=rf"exercise '{key}' got 0 values .* expected \d"):
        check(key, 3)


def test_value_in_place_of_a_function_is_told():
    assert judge(DOUBLE, np.array([2.0])).message.startswith("this is a ndarray; give the function")


def test_exception_is_reported_in_one_line():
    def broken(values):
        raise ValueError("first line\nsecond line")

    assert repr(judge(DOUBLE, broken)) == (
        "not yet: for one your function raised ValueError: first line second line"
    )
    assert "TypeError" in judge(DOUBLE, lambda: 3).message


def test_each_call_gets_its_own_arguments():
    def in_place(values):
        values *= 2
        return values

    for _ in range(2):
        assert judge(DOUBLE, in_place).solved
    assert [case.arguments[0].tolist() for case in DOUBLE.cases] == [[1.0], [3.0]]

    # What draws from a generator gets the same numbers, in the right answer and in messages too.
    drawing = Exercise(
        key="0.3",
        right=lambda rng: rng.random(),
        cases=(Case("a seed", (np.random.default_rng(0),)),),
        hints=(),
    )
    assert judge(drawing, lambda rng: rng.random()).solved
    assert judge(drawing, lambda rng: 2.0) == judge(drawing, lambda rng: 2.0)
    assert judge(drawing, lambda rng: rng.random()).solved


def test_a_function_that_spoils_what_it_was_given_is_told_so():
    def spoil(crop, row, col, side):
        crop[row : row + side, col : col + side] = crop.mean()
        return crop

    verdict = judge(EXERCISES["7.2"], spoil)
    assert not verdict.solved
    assert "your function changed what it was given. Copy the crop first" in verdict.message


def test_verdict_says_in_words_what_its_colour_says():
    for verdict, words in (
        (Verdict(True, "a < b & c"), "✓ solved: a < b & c"),
        (Verdict(False, "a < b & c"), "… not yet: a < b & c"),
        (Verdict(True, ""), "✓ solved"),
    ):
        html = verdict._repr_html_()
        shown = re.sub(r"<[^>]*>", "", html)
        assert shown == words.replace("&", "&amp;").replace("<", "&lt;")
        assert repr(verdict) == words[2:]


def test_hints_lie_behind_each_other_and_are_escaped():
    hints = Hints(("x < 1", "y & z", '"quoted"'))
    assert repr(hints).startswith("3 hints")
    html = hints._repr_html_()
    assert html.count("<details") == html.count("</details>") == 3
    assert "open" not in html
    assert html.index("Hint 1 of 3") < html.index("x &lt; 1") < html.index("Hint 2 of 3")
    assert html.index("y &amp; z") < html.index("Hint 3 of 3") < html.index("&quot;quoted&quot;")
    # Nested, not side by side: nothing is closed before the last hint.
    assert html.index("</details>") > html.index("quoted")


def test_unknown_key_is_named():
    for function in (exercises.hint, lambda key: exercises.check(key, 1)):
        with pytest.raises(InputError, match=r"exercise is '9\.9'; expected one of .*'4\.1'"):
            function("9.9")


A = np.array


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (1 / 3, 0.333333),
        (A([1, 2]), [1, 2]),
        ([1, 2], A([1.0, 2.0])),
        ((1, 2), A([1, 2])),
        (torch.tensor([1.0, 2.0], requires_grad=True), (1, 2)),
        (torch.tensor(3), 3),
        (A(3), 3),
        (float("nan"), float("nan")),
        (A([True, False]), [1, 0]),
        (np.str_("test"), "test"),
        ({"a", "b"}, frozenset("ab")),
        ({"x": 1.0}, {"x": 1}),
        (([1], "a"), ([1], "a")),
        (A([]), []),
        (0.0, 0),
    ],
)
def test_same(got, expected):
    assert same(got, expected)


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (0.3334, 1 / 3),
        (A([1, 2]), A([2, 1])),
        (A([[1, 2]]), A([1, 2])),  # another shape
        (1, A([1, 1])),  # no broadcasting
        (A([1, 1]), 1),
        (A(3), (3, 4)),  # an array without an axis has no length
        (torch.tensor(3.0), [3, 4]),
        (3, (3, 4)),
        ("12", (1, 2)),
        ("3", 3),  # text is no number
        (None, float("nan")),  # nor is None
        ([1, None], A([1, np.nan])),
        ({1, 2}, (1, 2)),  # a set has no order
        ((1, 2), {1, 2}),
        ({"x": 1}, {"x": 1, "y": 2}),
        ([("x", 1)], {"x": 1}),
        ([[1], [1, 2]], A([1, 2])),
        (object(), 1),
        (object(), [1]),
        (print, 1),
        ("a", "b"),
        (1, "1"),
        (1e-4, 0),
    ],
)
def test_not_same(got, expected):
    assert not same(got, expected)


# --- every exercise, by its own answers --------------------------------------------------------


def judged(exercise, answer):
    """The verdict on an answer, on the exercise's own cases or example."""
    return judge(exercise, answer, () if exercise.cases else exercise.example)


def answer_by(exercise, function):
    """What a student who thinks as `function` does would hand in."""
    return function if exercise.cases else function(*exercise.example)


def results_of(exercise, function):
    """The answers of a function: one for each case, or the one value."""
    every = [case.arguments for case in exercise.cases] or [exercise.example]
    return [function(*copy.deepcopy(arguments)) for arguments in every]


def frozen(exercise):
    """Everything that an answer is computed from, as bytes."""
    return pickle.dumps([[case.arguments for case in exercise.cases], exercise.example])


def test_keys_are_lesson_and_number():
    assert list(EXERCISES) == [exercise.key for exercise in EXERCISES.values()]
    for number, lesson in enumerate(exercises.LESSONS, start=1):
        expected = [f"{number}.{count}" for count in range(1, len(lesson.EXERCISES) + 1)]
        assert [exercise.key for exercise in lesson.EXERCISES] == expected, lesson.__name__
    assert len(EXERCISES) == sum(len(lesson.EXERCISES) for lesson in exercises.LESSONS)


@each_exercise
def test_nothing_written_is_not_yet(exercise):
    untouched = [None, ...]
    if exercise.cases:
        untouched += [lambda *arguments: None, lambda *arguments: ...]
    for answer in untouched:
        verdict = judged(exercise, answer)
        assert repr(verdict).startswith(f"not yet: {NOTHING_YET}")


@each_exercise
def test_right_answer_is_solved(exercise):
    verdict = judged(exercise, answer_by(exercise, exercise.right))
    assert repr(verdict).startswith("solved: ")
    assert verdict.mistake is None
    assert len(exercise.solved) > 10, "say why it matters"


@each_exercise
def test_every_mistake_is_recognised_by_its_name(exercise):
    assert exercise.mistakes, "which wrong answer do people give?"
    names = [mistake.name for mistake in exercise.mistakes]
    assert len(set(names)) == len(names)
    for mistake in exercise.mistakes:
        verdict = judged(exercise, answer_by(exercise, mistake.wrong))
        assert not verdict.solved
        assert verdict.mistake == mistake.name
        assert repr(verdict) == f"not yet: {mistake.name}. {mistake.advice}"


@each_exercise
def test_all_answers_differ(exercise):
    answers = {"the right one": results_of(exercise, exercise.right)}
    answers |= {one.name: results_of(exercise, one.wrong) for one in exercise.mistakes}
    for (name, first), (other, second) in combinations(answers.items(), 2):
        alike = [
            same(a, b, exercise.tolerance) or same(b, a, exercise.tolerance)
            for a, b in zip(first, second, strict=True)
        ]
        assert not all(alike), f"{name!r} and {other!r} cannot be told apart: add a case"


@each_exercise
def test_advice_is_a_sentence(exercise):
    for mistake in exercise.mistakes:
        assert not mistake.name.endswith("."), mistake.name  # a full stop follows
        assert mistake.name[0] == mistake.name[0].lower() or mistake.name.split()[0].isupper()
        assert len(mistake.advice) >= 25, f"{mistake.advice!r}: what should they look at?"
        assert re.search(r"[.?!)`]$", mistake.advice), mistake.advice
        assert not re.fullmatch(r"(that is )?(wrong|incorrect|not right)\W*", mistake.advice, re.I)


@each_exercise
def test_hints_lead_from_a_nudge_to_the_answer(exercise):
    hints = exercises.hint(exercise.key).texts
    assert hints == exercise.hints
    assert len(hints) >= 3
    assert all(hint.strip() == hint and len(hint) > 10 for hint in hints)
    assert len(set(hints)) == len(hints)
    answer = hints[-1].removeprefix("return ").rstrip(".")
    assert all(answer not in hint for hint in hints[:-1]), "the answer stands in an early hint"
    assert "return " not in hints[0], "the first hint is a nudge"


@each_exercise
def test_odd_answers_are_not_yet_and_never_an_error(exercise):
    for odd in (object(), "text", b"", [[1], [2, 3]], A(-7.5), torch.tensor(-7.5), {}, {-7}, print):
        answer = (lambda *arguments, odd=odd: odd) if exercise.cases else odd
        assert not judged(exercise, answer).solved, odd
    if exercise.cases:
        assert "give the function itself" in judged(exercise, -7.5).message


@each_exercise
def test_exception_of_a_student_is_reported(exercise):
    def broken(*arguments):
        return 1 // 0

    if exercise.cases:
        message = judged(exercise, broken).message
        assert message.startswith(f"for {exercise.cases[0].name} your function raised ZeroDivision")
    else:
        assert judged(exercise, broken).message == exercise.otherwise


@each_exercise
def test_nothing_changes_what_answers_are_computed_from(exercise):
    def spoil(*arguments):
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                argument[...] = 0
            elif isinstance(argument, torch.Tensor):
                argument.zero_()
            elif isinstance(argument, (list, dict, set)):
                argument.clear()
        return -7.5

    before = frozen(exercise)
    answers = [answer_by(exercise, exercise.right)]
    answers += [answer_by(exercise, mistake.wrong) for mistake in exercise.mistakes]
    for answer in [*answers, spoil, -7.5]:
        judged(exercise, answer)
    assert frozen(exercise) == before
    assert judged(exercise, answers[0]).solved


@each_exercise
def test_texts_are_plain(exercise):
    """No HTML and no Markdown headings: they are shown as text."""
    texts = [*exercise.hints, exercise.otherwise, exercise.solved]
    texts += [text for mistake in exercise.mistakes for text in (mistake.name, mistake.advice)]
    texts += [case.name for case in exercise.cases]
    for text in texts:
        assert text == " ".join(text.split()), f"{text!r}: one line, single blanks"
        assert not re.search(r"</?\w+>|^#|\*\*[a-z ]+\*\*", text), text


# --- as the lessons use them -------------------------------------------------------------------

HEADING = re.compile(r"^#{1,6} +(.+)$", re.MULTILINE)
EXERCISE_HEADING = re.compile(r"^#{2,3} Exercise (\d+\.\d+): \S.*$", re.MULTILINE)


@dataclass(frozen=True)
class Place:
    """Where an exercise stands in its lesson: its cells, from the heading to the next one."""

    key: str
    cells: tuple

    @property
    def code(self):
        return [cell for cell in self.cells if cell.cell_type == "code"]

    @property
    def solutions(self):
        return [cell for cell in self.code if "solution" in cell.metadata.get("tags", [])]

    @property
    def stub(self):
        """The code cell before the solution, hints left aside."""
        before = self.code[: self.code.index(self.solutions[0])]
        return next((cell for cell in reversed(before) if not calls(cell.source, "hint")), None)


@cache
def places(lesson):
    """The exercises of a lesson's text, in order."""
    cells = read_lesson(lesson).cells
    prose = [cell.source if cell.cell_type == "markdown" else "" for cell in cells]
    starts = [i for i, text in enumerate(prose) if HEADING.search(text)] + [len(cells)]
    found = []
    for start, stop in pairwise(starts):
        for key in EXERCISE_HEADING.findall(prose[start]):
            found.append(Place(key, tuple(cells[start:stop])))
    return found


def calls(source, function):
    """The calls `exercises.function(...)` in a cell: key, the whole call, whether it is shown."""
    tree = ast.parse(source)
    last = tree.body[-1].value if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == f"exercises.{function}":
            found.append((ast.literal_eval(node.args[0]), node, node is last))
    return found


def all_calls(cells, function):
    return [call for cell in cells for call in calls(cell.source, function)]


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def bound_names(source):
    """The names that the statements of a cell bind: assignments and functions."""
    found = set()
    for statement in ast.parse(source).body:
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            found.add(statement.name)
        else:
            found |= {
                node.id
                for node in ast.walk(statement)
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            }
    return found


def names_in(node):
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}


@each_lesson
def test_lesson_has_its_exercises_in_order(lesson):
    number = int(lesson.stem[:2])
    found = [place.key for place in places(lesson)]
    assert len(found) >= 3, "at least three exercises in each lesson"
    assert found == [f"{number}.{count}" for count in range(1, len(found) + 1)]
    assert found == [exercise.key for exercise in exercises.LESSONS[number - 1].EXERCISES]


@each_lesson
def test_exercise_headings_have_one_form(lesson):
    for cell in read_lesson(lesson).cells:
        if cell.cell_type == "markdown":
            for line in cell.source.splitlines():
                if re.match(r"#+ +\W*exercise", line, flags=re.IGNORECASE):
                    assert EXERCISE_HEADING.match(line), f"{line!r}: ## Exercise N.k: title"


@each_lesson
def test_every_exercise_is_checked_once_and_has_its_hints(lesson):
    cells = code_cells(read_lesson(lesson))
    number = int(lesson.stem[:2])
    wanted = [exercise.key for exercise in exercises.LESSONS[number - 1].EXERCISES]
    for function in ("check", "hint"):
        found = all_calls(cells, function)
        assert [key for key, _, _ in found] == wanted, function
        assert all(shown for _, _, shown in found), "the last line of its cell, so that it is shown"


@each_lesson
def test_every_heading_has_stub_solution_and_check(lesson):
    for place in places(lesson):
        assert len(place.solutions) == 1, f"{place.key}: one cell tagged solution"
        solution = place.code.index(place.solutions[0])
        (check,) = all_calls(place.code[solution + 1 :], "check")
        (hint,) = all_calls(place.code, "hint")
        assert check[0] == hint[0] == place.key
        assert place.stub is not None, f"{place.key}: a stub stands before the solution"
        empty = re.search(r"(None|\.\.\.)  # \S", place.stub.source)
        assert empty, f"{place.key}: the stub says where to write: None  # your code"
        asked = bound_names(place.stub.source) & bound_names(place.solutions[0].source)
        asked &= set().union(*(names_in(argument) for argument in check[1].args[1:]))
        assert asked, f"{place.key}: stub, solution and check share no name"
        assert len(place.cells[0].source) > 80, f"{place.key}: the task"


@each_lesson
def test_no_solution_outside_an_exercise(lesson):
    inside = {cell.id for place in places(lesson) for cell in place.solutions}
    for cell in read_lesson(lesson).cells:
        if "solution" in cell.metadata.get("tags", []):
            assert cell.id in inside, cell.source.splitlines()[0]


@each_lesson
@pytest.mark.parametrize(
    ("folder", "verdict"),
    [(NOTEBOOKS, "not yet"), (SOLUTIONS, "solved")],
    ids=["student", "solved"],
)
def test_stored_verdicts(lesson, folder, verdict):
    notebook = nbformat.read(folder / f"{lesson.stem}.ipynb", as_version=4)
    seen = []
    for cell in code_cells(notebook):
        for key, _, _ in calls(cell.source, "check"):
            (output,) = [o for o in cell.outputs if o.output_type == "execute_result"]
            assert output.data["text/plain"].startswith(f"{verdict}: "), output.data["text/plain"]
            seen.append(key)
        for _ in calls(cell.source, "hint"):
            (output,) = [o for o in cell.outputs if o.output_type == "execute_result"]
            assert "<details" in output.data["text/html"]
    assert seen == [place.key for place in places(lesson)]
    assert len(seen) >= 3


def imports_of(lesson):
    """The import statements of a lesson, as one piece of code."""
    statements = [
        s for cell in code_cells(read_lesson(lesson)) for s in ast.parse(cell.source).body
    ]
    found = [s for s in statements if isinstance(s, (ast.Import, ast.ImportFrom))]
    return "\n".join(ast.unparse(statement) for statement in found)


def missing_names(sources, imports):
    """The names that cells use and neither they, Python nor the lesson's imports define."""
    used, known = set(), set(dir(builtins))
    for node in ast.walk(ast.parse("\n".join([imports, *sources]))):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else known).add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            known.add(node.name)
        elif isinstance(node, ast.arg):
            known.add(node.arg)
        elif isinstance(node, ast.alias):
            known.add((node.asname or node.name).split(".")[0])
    return used - known


def cells_to_run(place, solved):
    """The code of an exercise up to its check, with or without the solution."""
    sources = []
    for cell in place.code:
        if solved or "solution" not in cell.metadata.get("tags", []):
            sources.append(cell.source)
        if calls(cell.source, "check"):
            return sources
    return sources


# Those that need the lesson's data are held by the stored verdicts, which nbval runs again.
BY_THEMSELVES = [
    pytest.param(lesson, place, id=place.key)
    for lesson in LESSONS
    for place in places(lesson)
    if not missing_names(cells_to_run(place, solved=True), imports_of(lesson))
]


@pytest.mark.parametrize(("lesson", "place"), BY_THEMSELVES)
def test_stub_then_check_is_not_yet_and_solution_then_check_is_solved(lesson, place, monkeypatch):
    verdicts = []

    def check(*arguments):
        verdicts.append(judge(EXERCISES[arguments[0]], arguments[1], arguments[2:]))
        return verdicts[-1]

    monkeypatch.setattr(exercises, "check", check)
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")  # here no lesson may ask the network
    for solved in (False, True):
        namespace = {}
        for source in [imports_of(lesson), *cells_to_run(place, solved)]:
            exec(compile(source, place.key, "exec"), namespace)  # what the notebook runs
    untouched, done = verdicts
    assert repr(untouched).startswith(f"not yet: {NOTHING_YET}")
    assert repr(done).startswith("solved")


def test_most_exercises_stand_by_themselves():
    """Small arrays that can be counted by hand are the rule; else the test above tests nothing."""
    assert len(BY_THEMSELVES) >= len(EXERCISES) / 2
