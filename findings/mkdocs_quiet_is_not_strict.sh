#!/usr/bin/env bash
# mkdocs 1.6.1: with --quiet, `mkdocs build --strict` builds a site whose links lead nowhere, and says that all is well.
#
# Seen: of a page that links to a page and to a heading that are not there, `build --strict` tells both, ends with "Aborted with 2
# warnings in strict mode!" and exit status 1. `build --strict --quiet` prints nothing and ends with status 0. A guess was that
# --quiet changes what is printed and not what is judged: a job that builds in silence then lets every broken link through.
# Why: strict mode counts warnings in a handler of the logger whose level --quiet raises above them.
#
# Run: bash findings/mkdocs_quiet_is_not_strict.sh. It needs python3 and installs into a temporary folder. It fails if this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check mkdocs==1.6.1
cd "$folder"
mkdir docs
cat >mkdocs.yml <<'YAML'
site_name: Two links
validation:
  links:
    anchors: warn
YAML
printf '# Home\n\n[A page](missing.md), [a heading](#missing).\n' >docs/index.md

built() {
    local status=0 said
    said=$("$folder/env/bin/mkdocs" build "$@" 2>&1) || status=$?
    echo "mkdocs build $*: exit status $status; it names $(grep -c 'WARNING' <<<"$said" || true) links"
}

strict=$(built --strict)
quiet=$(built --strict --quiet)
echo "$strict"
echo "$quiet"
[ "$strict" = "mkdocs build --strict: exit status 1; it names 2 links" ]
[ "$quiet" = "mkdocs build --strict --quiet: exit status 0; it names 0 links" ]
