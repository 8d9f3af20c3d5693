"""One HTML file out of the page's parts; it fetches nothing, and its policy forbids it to."""

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from importlib.resources import files
from string import Template
from typing import Any

SCRIPTS = ("format", "elements", "series", "scale", "chart", "tables", "page")


def report_html(data: Mapping[str, Any]) -> str:
    """Return the whole page for what `report_data` returned."""
    script = '"use strict";\n' + "\n".join(_part(f"{name}.js") for name in SCRIPTS)
    # The browser runs no script but this one, whatever a run's text may hold.
    digest = hashlib.sha256(f"\n{script}\n".encode()).digest()
    return Template(_part("report.html")).substitute(
        title=html.escape(str(data["title"])),
        style=_part("report.css"),
        data=_json_in_html(data),
        script=script,
        script_hash=f"sha256-{base64.b64encode(digest).decode()}",
    )


def _json_in_html(data: Mapping[str, Any]) -> str:
    """Write JSON in which nothing can end the element that holds it."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"), default=str)
    return text.replace("<", "\\u003c").replace("&", "\\u0026")


def _part(name: str) -> str:
    return (files("trainer.report") / "page" / name).read_text("utf-8")
