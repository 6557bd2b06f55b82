"""Packaging: all metadata is here, and all tools' settings are in pyproject.toml."""

import ast
from pathlib import Path

from setuptools import setup
from setuptools.command.egg_info import egg_info

HERE = Path(__file__).parent


def version() -> str:
    """Return the version, read from its one source without importing chatd."""
    source = (HERE / "chatd" / "__init__.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        match node:
            case ast.Assign(targets=[ast.Name("__version__")]):
                return str(ast.literal_eval(node.value))
    raise SystemExit("chatd/__init__.py has no __version__")


class OwnTopLevel(egg_info):
    """Claim only the package chatd.

    The plugin lies in twisted/plugins, so setuptools would list ``twisted`` as a
    top-level package of ours, and an uninstall of an egg-style install would then
    remove the whole of Twisted.
    """

    def run(self) -> None:
        """Write the usual files, then our own top_level.txt."""
        super().run()
        Path(self.egg_info, "top_level.txt").write_text("chatd\n", encoding="utf-8")


setup(
    name="chatd",
    version=version(),
    description="A message daemon that anyone can talk to with nc",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The chatd maintainers",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    # The plugin must be found in a checkout installed with -e too: this line makes
    # such an install put the whole checkout on sys.path, where Twisted looks.
    package_dir={"": "."},
    # By hand: twisted/plugins must not have an __init__.py, so discovery misses it.
    packages=[
        "chatd",
        "chatd.client",
        "chatd.client.commands",
        "chatd.client.connection",
        "chatd.client.frontends",
        "chatd.client.history",
        "chatd.client.script",
        "chatd.client.settings",
        "chatd.client.talk",
        "chatd.control",
        "chatd.hub",
        "chatd.server",
        "chatd.store",
        "chatd.wire",
        "twisted.plugins",
    ],
    package_data={
        "chatd": ["py.typed"],
        "chatd.client.history": ["schema/*.sql"],
        "chatd.store": ["queries/*.sql", "schema/*.sql"],
    },
    # Found by man where the folder's bin is on the PATH, in a virtual environment too.
    data_files=[
        (f"share/man/man{number}", [f"docs/man/{name}.{number}" for name in names])
        for number, names in (
            (1, ["chat", "chatctl"]),
            (5, ["chat.toml"]),
            (8, ["chatd"]),
        )
    ],
    install_requires=[
        "twisted[tls]>=24.11",
        "argon2-cffi>=23.1",
        "cryptography>=43",
        "pyopenssl>=24.3",
        "service-identity>=24.1",
        "precis-i18n>=1.1.1",
        "confusable-homoglyphs>=3.3",
        "click>=8.4",
        "platformdirs>=4.0",
        "prompt_toolkit>=3.0.43",
        "wcwidth>=0.3",
    ],
    entry_points={
        "console_scripts": [
            "chat = chatd.client.main:main",
            "chatctl = chatd.control.main:main",
        ]
    },
    extras_require={
        "test": [
            "build>=1.2",
            "coverage>=7.10",
            "hypothesis>=6.100",
            "pyte>=0.8.2",
            "pytest>=8.3",
            "pytest-timeout>=2.3",
            "pytest-twisted>=1.14.3",
            "pytest-xdist>=3.6",
        ],
        "bench": ["matplotlib>=3.8"],
        "tls": [],  # what it asked for is always there
        "fuzz": ["atheris>=2.3"],
        "lint": ["mypy>=1.15", "mypy-zope>=1.0.9", "ruff>=0.9"],
    },
    cmdclass={"egg_info": OwnTopLevel},
    zip_safe=False,
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: No Input/Output (Daemon)",
        "Framework :: Twisted",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: Communications :: Chat",
        "Typing :: Typed",
    ],
)
