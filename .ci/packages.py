"""Check what is in the wheel and in the sdist.

Usage: packages.py FOLDER, with one of each in it.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path


def main(folder: Path) -> None:
    (wheel,) = folder.glob("*.whl")
    (sdist,) = folder.glob("*.tar.gz")

    files = set(
        subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split("\n")
    ) - {""}
    package = {name for name in files if name.startswith("flask_kavach_stripe/")}
    tools = {name for name in files if name.startswith(".")}

    with zipfile.ZipFile(wheel) as archive:
        in_wheel = {name for name in archive.namelist() if ".dist-info/" not in name}

    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}

    if in_wheel != package:
        sys.exit(f"Not in both the wheel and the sources: {in_wheel ^ package}")

    if missing := files - tools - in_sdist:
        sys.exit(f"Not in the sdist: {missing}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
