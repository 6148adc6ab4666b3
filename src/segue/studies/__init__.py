"""Studies: several arms of one question, trained, tuned alike, measured alike, and answered in plain words."""

from segue.studies.design import Arm, Compared, Design
from segue.studies.designs import DESIGNS
from segue.studies.runner import StudyOptions, report_study, run_study

__all__ = ["DESIGNS", "Arm", "Compared", "Design", "StudyOptions", "report_study", "run_study"]
