"""The experiment log: what was tried, what came out, what was concluded."""

from trainer.log.document import update_log as update_log
from trainer.log.section import describe_run as describe_run
