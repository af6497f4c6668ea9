"""The page's script without a browser: how tests open it, change it and read it."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from app.kinds import Value
from app.page.address import CONTROLS
from tests.processor_time import HANG_S

MAIN = Path(__file__).parents[2] / "app/page/main.py"
BYTES = "application/octet-stream"


def opened(view: str = "", **query: str) -> AppTest:
    """A new visitor's page at a view, with the parameters of a link."""
    page = AppTest.from_file(str(MAIN), default_timeout=HANG_S)
    page.query_params.update(query)
    if view:
        page.run()
        return go_to(page, view)
    return good(page.run())


def go_to(page: AppTest, view: str) -> AppTest:
    """The same visitor's page at another view."""
    # Views are functions, which AppTest.switch_page does not know.
    page._page_hash = calc_hash(view)
    return good(page.run())


def good(page: AppTest) -> AppTest:
    """The page after a run that raised nothing and complained of nothing."""
    assert not page.exception, page.exception
    assert not page.error, [error.value for error in page.error]
    return page


def unescaped(markdown: str) -> str:
    """What a reader sees of text whose punctuation was escaped."""
    return markdown.replace("\\", "")


def shown_title(page: AppTest) -> str:
    """The model and the cluster of the plan that is shown."""
    return unescaped(page.subheader[0].value)


def shown_headline(page: AppTest) -> str:
    (found,) = [m.value for m in page.markdown if m.value.startswith("#### ")]
    return unescaped(found.removeprefix("#### "))


def figures(page: AppTest) -> str:
    """The header's line, as HTML."""
    (found,) = [x.proto.body for x in page.get("html") if "<dl" in x.proto.body]
    return str(found)


def is_old(page: AppTest) -> bool:
    """Whether the header says that its figures are of the plan before."""
    return 'class="figures old"' in figures(page)


def texts(page: AppTest) -> str:
    """Everything that the page says in words."""
    elements = (*page.markdown, *page.caption, *page.info, *page.warning, *page.error)
    return unescaped(" ".join(element.value for element in elements))


def metrics(page: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in page.metric}


def metric(page: AppTest, label: str) -> Any:
    """The one number of a name."""
    (found,) = [one for one in page.metric if one.label == label]
    return found


def values_of(page: AppTest) -> dict[str, Value]:
    """Every control's value."""
    return {key: x.kind.from_widget(page.session_state[key]) for key, x in CONTROLS.items()}


def milliseconds(text: str) -> float:
    number, unit = text.split()
    return float(number.replace(",", "")) * {"s": 1e3, "ms": 1.0, "µs": 1e-3}[unit]


def chart(page: AppTest, name: str) -> dict[str, Any]:
    """A chart's specification, by the end of its key."""
    (found,) = [x for x in page.get("plotly_chart") if x.proto.id.endswith(f"chart_{name}")]
    spec: dict[str, Any] = json.loads(found.proto.spec)
    return spec


def traces(page: AppTest, name: str) -> dict[str, dict[str, Any]]:
    return {trace["name"]: trace for trace in chart(page, name)["data"] if "name" in trace}


def escaped(text: str) -> str:
    return html.escape(text, quote=False)
