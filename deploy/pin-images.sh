#!/usr/bin/env bash
# Pins the base images and the images of the build steps: asks the registry of each for the digest behind its tag, and writes it
# into the files. Run it before a release, and commit what it changed.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=deploy/lib/digests.sh
source deploy/lib/digests.sh
copy=$(mktemp)
trap 'rm -f "$copy"' EXIT
for file in Dockerfile.api Dockerfile.worker services/cli/init/files.ts cloudbuild.yaml deploy/builds/*.yaml; do
  pin "$file" all >"$copy"
  cat "$copy" >"$file"
done
