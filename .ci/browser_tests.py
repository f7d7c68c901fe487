"""Check that the browser tests ran. Usage: browser_tests.py JUNIT_XML"""

from __future__ import annotations

import sys
from xml.etree import ElementTree


def main(report: str) -> None:
    names = []
    skipped = []

    for case in ElementTree.parse(report).iter("testcase"):
        if case.get("classname", "").startswith("tests.browser."):
            names.append(case.get("name"))

            if case.find("skipped") is not None:
                skipped.append(case.get("name"))

    if skipped or not names:
        sys.exit(f"Of {len(names)} browser tests were skipped: {skipped}")


if __name__ == "__main__":
    main(sys.argv[1])
