"""The course: exercises that check themselves, quizzes that explain, and the build of the notebooks."""

from toolkit.course.checks import Case, ExerciseError, Verdict, check
from toolkit.course.course_tables import Table, show
from toolkit.course.my_answers import predict
from toolkit.course.quiz import Option, Question, Quiz

__all__ = ["Case", "ExerciseError", "Option", "Question", "Quiz", "Table", "Verdict", "check", "predict", "show"]
