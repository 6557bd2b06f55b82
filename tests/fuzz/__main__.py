"""``python tests/fuzz TARGET [libFuzzer's options]``: guided by coverage.

The corpus of the target is read, and not written: what is found that reaches further is
kept in a folder under build/fuzz. What fails is written there too, and printed.
"""

import sys
from pathlib import Path

import atheris

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent))

with atheris.instrument_imports(include=["chatd"]):
    from targets import TARGETS


def main() -> None:
    """Fuzz what the command line names."""
    name, *options = sys.argv[1:] or ["?"]
    if name not in TARGETS:
        sys.exit(f"name one of: {', '.join(TARGETS)}")
    found = FOLDER.parents[1] / "build" / "fuzz" / name
    found.mkdir(parents=True, exist_ok=True)
    folders = [str(found), str(FOLDER / "corpus" / name)]
    atheris.Setup(
        [sys.argv[0], f"-artifact_prefix={found}/", *options, *folders], TARGETS[name]
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
