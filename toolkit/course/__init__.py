"""The course: exercises that check themselves, quizzes that explain, and the build of the notebooks."""

from toolkit.course.checks import Case, ExerciseError, Verdict, check
from toolkit.course.quiz import Option, Question, Quiz
from toolkit.course.tables import Table, show

__all__ = ["Case", "ExerciseError", "Option", "Question", "Quiz", "Table", "Verdict", "check", "show"]
