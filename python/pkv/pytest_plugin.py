"""pytest --pkv-html=report.html: a page of what pkv.assert_reusable() found in a run of tests."""

from __future__ import annotations

from typing import Any


def pytest_addoption(parser: Any) -> None:
    group = parser.getgroup("pkv")
    group.addoption("--pkv-html", metavar="FILE", help="write the reports of pkv.assert_reusable() as one page")


def pytest_sessionfinish(session: Any) -> None:
    path = session.config.getoption("--pkv-html")
    if not path:
        return
    from . import _pkv
    from .checking import _seen

    flat = [one for report in _seen for one in getattr(report, "reports", [report])]
    if not flat:
        return
    page = flat[0]._check.html() if len(flat) == 1 else _pkv.review_html([r._check for r in flat])
    with open(path, "w", encoding="utf-8") as file:
        file.write(page)


def pytest_terminal_summary(terminalreporter: Any, config: Any) -> None:
    if config.getoption("--pkv-html"):
        from .checking import _seen

        if _seen:
            terminalreporter.write_line(f"pkv: {len(_seen)} reports in {config.getoption('--pkv-html')}")
