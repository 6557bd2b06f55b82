"""chatd as it is shipped: what is in the archives, and what installing them does."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path

import pytest

import chatd

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
]

ROOT = Path(__file__).parents[2]
PLUGIN = "twisted/plugins/chatd_plugin.py"
MANUAL = {
    f"share/man/man{page.suffix.removeprefix('.')}/{page.name}"
    for page in (ROOT / "docs" / "man").iterdir()
}


def run(*command: object, cwd: Path) -> str:
    """Run a command that has to succeed, away from this run's Python settings.

    Where it installs, nothing is compiled that may never be imported.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "COVERAGE_"))
    }
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment | {"PIP_COMPILE": "0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, (
        f"{command} ended with {done.returncode}:\n{done.stdout}"
    )
    return done.stdout


def copy_of_the_checkout(destination: Path) -> Path:
    """Copy what git would keep, so that builds write nothing into the checkout."""
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    shutil.copytree(
        ROOT,
        destination,
        ignore=shutil.ignore_patterns(".git", *(name.rstrip("/") for name in ignored)),
    )
    return destination


def files_below(folder: Path, part: str = ".") -> set[str]:
    """Return the files in a part of the folder, named from the folder."""
    return {
        path.relative_to(folder).as_posix()
        for path in (folder / part).rglob("*")
        if path.is_file()
    }


@dataclass
class Release:
    """One build of the checkout, and a folder with all that its installation needs."""

    checkout: Path
    sdist: Path
    wheel: Path
    wheels: Path
    dependencies: Path
    """A virtual environment with all that chatd needs."""

    def wheel_files(self) -> set[str]:
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())

    def wheel_metadata(self, name: str) -> bytes:
        with zipfile.ZipFile(self.wheel) as archive:
            (member,) = (
                n for n in archive.namelist() if n.endswith(f".dist-info/{name}")
            )
            return archive.read(member)


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    folder = tmp_path_factory.mktemp("release")
    checkout = copy_of_the_checkout(folder / "checkout")
    archives = folder / "archives"
    # The sdist, and from that the wheel: a file missing in the first breaks the second.
    run(sys.executable, "-m", "build", "--outdir", archives, checkout, cwd=folder)
    (sdist,) = archives.glob("*.tar.gz")
    (wheel,) = archives.glob("*.whl")
    # The only step that needs an index: every installation below takes from here.
    wheels = folder / "wheels"
    settings = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))
    needed = [wheel, *settings["build-system"]["requires"]]
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", wheels]
    run(*command, *needed, cwd=folder)
    dependencies = folder / "dependencies"
    run(sys.executable, "-m", "venv", "--without-pip", dependencies, cwd=folder)
    others = [
        each
        for each in wheels.iterdir()
        if not each.name.startswith(("chatd-", "setuptools-"))
    ]
    pip = [sys.executable, "-m", "pip", "--python", dependencies]
    run(*pip, "install", "--quiet", "--no-index", "--no-deps", *others, cwd=folder)
    # What every installation below will import is compiled once.
    used = "import twisted.scripts.twistd, twisted.internet.endpoints, argon2"
    run(dependencies / "bin" / "python", "-c", used, cwd=folder)
    return Release(checkout, sdist, wheel, wheels, dependencies)


def link_or_copy(source: str, destination: str, *, follow_symlinks: bool = True) -> str:
    """Link a file of an environment; copy a script, which names its environment."""
    if Path(source).parent.name == "bin":
        old, new = Path(source).parents[1], Path(destination).parents[1]
        text = Path(source).read_text(encoding="utf-8")
        Path(destination).write_text(text.replace(str(old), str(new)), encoding="utf-8")
        shutil.copymode(source, destination)
    else:
        os.link(source, destination)
    return destination


@dataclass
class Environment:
    """A virtual environment with what chatd needs, but not yet chatd."""

    folder: Path
    wheels: Path
    elsewhere: Path

    def pip(self, *arguments: object) -> str:
        pip = [sys.executable, "-m", "pip", "--python", self.folder]
        return run(*pip, *arguments, cwd=self.elsewhere)

    def install(self, *what: object) -> None:
        source = ["--no-index", "--find-links", self.wheels]
        self.pip("install", "--quiet", *source, *what)

    def twistd(self, *arguments: str) -> str:
        return run(self.folder / "bin" / "twistd", *arguments, cwd=self.elsewhere)

    def python(self, code: str) -> str:
        return run(self.folder / "bin" / "python", "-c", code, cwd=self.elsewhere)


@pytest.fixture
def environment(release: Release, tmp_path: Path) -> Environment:
    folder, elsewhere = tmp_path / "environment", tmp_path / "elsewhere"
    elsewhere.mkdir()
    # The same files: what installs and uninstalls makes new ones, and changes none.
    shutil.copytree(
        release.dependencies, folder, symlinks=True, copy_function=link_or_copy
    )
    return Environment(folder, release.wheels, elsewhere)


WAYS: dict[str, Callable[[Release, Path], list[object]]] = {
    "checkout": lambda release, copy: [copy_of_the_checkout(copy)],
    "editable": lambda release, copy: ["-e", copy_of_the_checkout(copy)],
    "sdist": lambda release, copy: [release.sdist],
    "wheel": lambda release, copy: [release.wheel],
    "name": lambda release, copy: ["chatd"],
}


@pytest.mark.parametrize("way", WAYS)
def test_twistd_has_chatd_once_installed_and_is_whole_once_uninstalled(
    way: str, release: Release, environment: Environment, tmp_path: Path
) -> None:
    environment.install(*WAYS[way](release, tmp_path / "checkout"))

    assert re.search(r"^ +chatd +A message daemon", environment.twistd("--help"), re.M)
    assert "--port" in environment.twistd("chatd", "--help")
    assert environment.python(
        "import chatd, importlib.metadata;"
        "print(chatd.__version__, importlib.metadata.version('chatd'))"
    ).split() == [chatd.__version__, chatd.__version__]
    environment.python(
        "from twisted.application import service;"
        f"service.loadApplication({str(ROOT / 'chatd.tac')!r}, 'python')"
    )

    # One that can be edited stays where it is, and brings nothing but the programs.
    for page in MANUAL if way != "editable" else ():
        assert (environment.folder / page).read_bytes() == (
            ROOT / "docs" / "man" / Path(page).name
        ).read_bytes()

    environment.pip("uninstall", "--quiet", "--yes", "chatd")

    assert not [page for page in MANUAL if (environment.folder / page).exists()]
    environment.python("import twisted.internet.reactor")
    assert "chatd" not in environment.twistd("--help")


def test_the_wheel_holds_the_whole_package_the_plugin_and_nothing_else(
    release: Release,
) -> None:
    ours = {name for name in release.wheel_files() if ".dist-info/" not in name}
    data = {name for name in ours if ".data/" in name}
    assert ours - data == files_below(release.checkout, "chatd") | {PLUGIN}
    assert {Path(name).suffix for name in ours - data} == {".py", ".sql", ".typed"}
    assert {name.partition(".data/data/")[2] for name in data} == MANUAL


def test_the_wheel_claims_no_package_but_chatd(release: Release) -> None:
    assert release.wheel_metadata("top_level.txt").split() == [b"chatd"]


def test_the_metadata_has_the_version_and_the_licence(release: Release) -> None:
    metadata = message_from_bytes(release.wheel_metadata("METADATA"))
    assert metadata["Version"] == chatd.__version__
    assert metadata["License"] == "MIT"
    assert metadata["License-File"] == "LICENSE"


def test_the_sdist_holds_every_file_of_the_checkout(release: Release) -> None:
    with tarfile.open(release.sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    missing = files_below(release.checkout) - packed
    assert {name for name in missing if "egg-info" not in name} == {
        ".ci/run",
        ".gitignore",
    }


@pytest.mark.parametrize("target", ["run", "test"])
def test_make_does_what_the_readme_says(target: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    command = re.search(rf"<!-- {target} -->\n```sh\n(.+)\n```\n", readme)
    recipe = re.search(rf"^{target}:.*\n\t(.+)\n\n", makefile, re.M)
    assert command
    assert recipe
    assert recipe[1] == command[1]
