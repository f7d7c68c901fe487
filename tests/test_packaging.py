"""What stands in more than one file says the same everywhere."""

from __future__ import annotations

import re
import shlex
import tomllib
from configparser import ConfigParser
from pathlib import Path

import pytest

from flask_kavach_stripe import config

ROOT = Path(__file__).parent.parent


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


@pytest.fixture
def setup_cfg() -> ConfigParser:
    parser = ConfigParser()
    parser.read_string(read("setup.cfg"))
    return parser


def readme_commands() -> list[str]:
    """The two commands at the top of the README."""
    return re.findall(r"^```sh\n(python3 -m venv .+)\n```$", read("README.md"), re.M)


def test_readme_begins_with_two_commands() -> None:
    start, tests = readme_commands()

    assert shlex.split(start)[-2:] == ["-m", "examples.saas"]
    assert shlex.split(tests)[-4:] == ["-m", "pytest", "-n", "auto"]


@pytest.mark.parametrize("index", [0, 1])
def test_ci_runs_the_commands_of_the_readme(index: int) -> None:
    """It takes them from there by these patterns, each of which fits one line."""
    patterns = re.findall(r"=\$\(readme_command '(.+)'\)", read(".ci/run"))
    matches = re.findall(
        rf"^python3 -m venv .*{patterns[index]}.*$", read("README.md"), re.M
    )

    assert matches == [readme_commands()[index]]


def test_extras_of_the_readme_exist(setup_cfg: ConfigParser) -> None:
    extras = set(re.findall(r"\.\[(\w+)\]", read("README.md")))

    assert extras <= set(setup_cfg["options.extras_require"])


def test_newest_change_is_of_this_version(setup_cfg: ConfigParser) -> None:
    version = setup_cfg["metadata"]["version"]

    assert read("CHANGES.rst").startswith(f"Version {version}\n---")


def test_requirements_have_lower_bounds_only(setup_cfg: ConfigParser) -> None:
    """An upper bound of ours would keep an app from updates of its other packages."""
    lines = setup_cfg["options"]["install_requires"].split()

    assert lines
    assert all(re.fullmatch(r"[a-z0-9-]+>=[0-9.]+", line) for line in lines)


def test_oldest_python_is_the_same_everywhere(setup_cfg: ConfigParser) -> None:
    tools = tomllib.loads(read("pyproject.toml"))["tool"]

    assert setup_cfg["options"]["python_requires"] == ">=3.11"
    assert tools["ruff"]["target-version"] == "py311"
    assert tools["pyright"]["pythonVersion"] == "3.11"


def test_every_key_is_documented_with_its_default() -> None:
    documented = dict(
        re.findall(
            r"^\.\. data:: (\w+)$.+?^    :Default: (.+?)$",
            read("docs/configuration.rst"),
            re.M | re.S,
        )
    )
    from_environment = "the environment variable of the same name"
    expected = {
        key: f"``{default!r}``".replace("'", '"')
        for key, default in config.DEFAULTS.items()
    }
    expected["STRIPE_SECRET_KEY"] = from_environment
    expected["STRIPE_WEBHOOK_SECRET"] = from_environment

    assert documented == expected


def test_every_key_of_the_readme_exists() -> None:
    keys = set(re.findall(r"\bSTRIPE_[A-Z_]+\b", read("README.md")))

    assert keys
    assert keys <= set(config.DEFAULTS)
