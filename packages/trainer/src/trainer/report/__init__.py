"""One self-contained page and pictures that compare runs."""

from trainer.report.data import report_data as report_data
from trainer.report.figures import draw_figures as draw_figures
from trainer.report.web_page import report_html as report_html
