"""Studies: several arms of one question, trained, tuned alike, measured alike, and answered in plain words."""

from segue.studies.design import Arm, Compared, Design
from segue.studies.designs import DESIGNS
from segue.studies.runner import report_study, run_study
from segue.studies.study_options import StudyOptions

__all__ = ["DESIGNS", "Arm", "Compared", "Design", "StudyOptions", "report_study", "run_study"]
