"""The course: exercises that check themselves, quizzes that explain, and the build of the notebooks.

In a notebook, its import lets a cell that ran too early say so in a sentence (``missing_names``).
"""

from toolkit.course.checks import Case, ExerciseError, Verdict, check
from toolkit.course.course_tables import Table, show
from toolkit.course.missing_names import explain_missing_names
from toolkit.course.my_answers import predict
from toolkit.course.quiz import Option, Question, Quiz

__all__ = ["Case", "ExerciseError", "Option", "Question", "Quiz", "Table", "Verdict", "check", "predict", "show"]

explain_missing_names()
