#!/usr/bin/env bash
# Pins the base images and the images of the build steps: resolves each tag in its registry, and writes the digest behind
# it. Needs Docker with buildx. Run it before a release, and commit what it changed.
set -euo pipefail

pinned=$(mktemp)
trap 'rm -f "$pinned"' EXIT
cd "$(dirname "${BASH_SOURCE[0]}")/.."
pattern='^(FROM|[ -]+name:) ([a-z0-9./_-]+[./:][A-Za-z0-9./_:-]+)(@sha256:[0-9a-f]{64})?( AS [a-z]+)?$'
for file in Dockerfile.api Dockerfile.worker cloudbuild.yaml deploy/builds/*.yaml; do
  while IFS= read -r line; do
    if [[ $line =~ $pattern ]]; then
      before=${BASH_REMATCH[1]} image=${BASH_REMATCH[2]} after=${BASH_REMATCH[4]}
      digest=$(docker buildx imagetools inspect "$image" --format '{{.Manifest.Digest}}')
      if [[ ! $digest =~ ^sha256:[0-9a-f]{64}$ ]]; then
        printf 'pin-images: %s has no digest: %s\n' "$image" "$digest" >&2
        exit 1
      fi
      line="$before $image@$digest$after"
    fi
    printf '%s\n' "$line"
  done <"$file" >"$pinned"
  cat "$pinned" >"$file"
done
