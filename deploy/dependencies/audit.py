"""``python -m deploy.dependencies.audit``: known vulnerabilities of what the image installs, by pip-audit.

Exit status 0 when none is known, 1 when one is, 2 when that could not be found out.
"""

import json
import subprocess
import sys
from pathlib import Path

__all__ = ["main", "report"]

_LOCK = Path(__file__).parents[2] / "requirements-runtime.lock"
# The pins are read as they are: nothing is resolved or installed for it.
_COMMAND = (
    *(sys.executable, "-m", "pip_audit", "--requirement", str(_LOCK), "--require-hashes", "--disable-pip"),
    *("--vulnerability-service", "osv", "--format", "json", "--progress-spinner", "off", "--timeout", "15"),
)
_LONGEST_REASON = 120


def main() -> int:
    """Ask, tell what is known, and return the exit status."""
    asked = subprocess.run(_COMMAND, capture_output=True, encoding="utf-8", check=False)
    status, text = report(asked.stdout, asked.stderr)
    (sys.stderr if status else sys.stdout).write(f"{text}\n")
    return status


def report(answer: str, errors: str) -> tuple[int, str]:
    """Return the exit status and the text for what pip-audit has printed."""
    try:
        packages = json.loads(answer)["dependencies"]
    except (json.JSONDecodeError, KeyError, TypeError):
        last = (errors.strip().splitlines() or ["it printed nothing"])[-1]
        return 2, (
            "Whether a dependency is vulnerable is not known, since pip-audit could not ask the OSV database: run this "
            f"where its service can be reached, as in CI ({last[:_LONGEST_REASON]})."
        )
    skipped = [f"{each['name']}: {each['skip_reason']}" for each in packages if "skip_reason" in each]
    known = [
        f"{each['name']} {each['version']}: {found['id']}, fixed in {', '.join(found['fix_versions']) or 'no version'}"
        for each in packages
        for found in each.get("vulns", ())
    ]
    if known:
        return 1, "\n".join([f"{len(known)} known vulnerabilities:", *known])
    if skipped:
        return 2, "\n".join(["It is not known whether these are vulnerable:", *skipped])
    return 0, f"No vulnerability is known of what {_LOCK.name} pins."


if __name__ == "__main__":
    sys.exit(main())
