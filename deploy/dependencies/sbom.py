"""``python -m deploy.dependencies.sbom``: list what the image installs in ``dist/sbom.cdx.json``, as CycloneDX.

The pinned packages are installed, by their hashes, in an environment of their own, which cyclonedx-py reads: so the
list has the versions, the licences and who needs what, as the packages themselves say.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.dependencies.licences import said_by
from worker import __version__

__all__ = ["main"]

_ROOT = Path(__file__).parents[2]
_LISTED = _ROOT / "dist" / "sbom.cdx.json"


def main() -> int:
    """Install, list, and return the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "bin" / "python"
        pip = (*(sys.executable, "-m", "pip", "--python", python), "--disable-pip-version-check", "--quiet")
        _run(sys.executable, "-m", "venv", "--without-pip", folder)
        _run(
            *pip,
            "install",
            "--require-hashes",
            "--only-binary=:all:",
            "--requirement",
            _ROOT / "requirements-runtime.lock",
        )
        _LISTED.parent.mkdir(exist_ok=True)
        _run(
            *(sys.executable, "-m", "cyclonedx_py", "environment", "--pyproject", _ROOT / "pyproject.toml"),
            *("--mc-type", "application", "--output-reproducible", "--output-file", _LISTED, python),
        )
    listed = json.loads(_LISTED.read_text(encoding="utf-8"))
    # What cyclonedx-py does not find out: a version that is computed, and licences in words of their own.
    listed["metadata"]["component"]["version"] = __version__
    for component in listed["components"]:
        if "licenses" not in component:
            component["licenses"] = [{"expression": said_by(component["name"])}]
    _LISTED.write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(f"{_LISTED.relative_to(_ROOT)} is written.\n")
    return 0


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(main())
