#!/usr/bin/env bash
# Releases the commit in this folder, by three builds with an account each: tests it, builds and scans its images, and
# deploys them. Stops at the first build that fails.
#
#   PROJECT_ID=my-project deploy/release.sh [--dry-run] TAG
#
# TAG names the images, such as a version or a commit: letters, digits, dots, dashes and underscores. With AGENT_DIR, the
# folder of an agent, its tests run and its one image is built. CANARY_PERCENT=10 tries the release on a part of the tasks
# first, and needs two instances of a pool: see deploy/rollout.sh.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DRY_RUN=false
TAG=''
for argument in "$@"; do
  case $argument in
    --dry-run) DRY_RUN=true ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit ;;
    -*) printf 'release: %s is not a valid option; see --help\n' "$argument" >&2; exit 64 ;;
    *) [[ -z $TAG ]] || { echo 'release: one TAG is expected; see --help' >&2; exit 64; }; TAG=$argument ;;
  esac
done
if [[ ! $TAG =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$ ]]; then
  printf "release: TAG must be letters, digits, dots, dashes and underscores, not '%s'; see --help\n" "$TAG" >&2
  exit 64
fi
# shellcheck source=deploy/settings.sh
source "$HERE/settings.sh"
# shellcheck source=deploy/lib/common.sh
source "$HERE/lib/common.sh"
# shellcheck source=deploy/lib/revisions.sh
source "$HERE/lib/revisions.sh"
# shellcheck source=deploy/lib/smoke.sh
source "$HERE/lib/smoke.sh"
check_settings
check_smoke
# A pool that cannot be split is refused now, and not after the builds.
if ((CANARY_PERCENT > 0)); then
  find_targets
  if [[ -n $pool ]]; then
    read_revisions "$pool"
    check_instances
  fi
fi
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

# The deployment gets the variables of the services in base64, because they may have commas, dollars and lines.
variables=''
for name in SERVICE_ENV API_ENV WORKER_ENV DISPATCHER_ENV AGENT_ENV; do
  encoded=$(variables_text "$name" | base64 | tr -d '\n')
  ((${#encoded} <= 4000)) || fail "$name is too long for Cloud Build, which takes 3000 bytes: unset it. The release then keeps the variables, which deploy/deploy.sh sets"
  if [[ -n $encoded ]]; then variables+=",_${name}_BASE64=$encoded"; fi
done

sources=$(dirname "$HERE")
names=''
if [[ -n $AGENT_DIR ]]; then
  submit check "$AGENT_DIR" "$HERE/builds/check-agent.yaml"
  submit build "$AGENT_DIR" "$HERE/builds/agent-image.yaml" "_REPOSITORY=$REPOSITORY,_TAG=$TAG,$(scan_settings)"
  names=,_API=agent,_WORKER=agent
elif [[ $IMAGES_FROM == source ]]; then
  submit check "$sources" "$HERE/builds/check.yaml"
  submit build "$sources" "$HERE/builds/source-image.yaml" "_REPOSITORY=$REPOSITORY,_TAG=$TAG,_AGENT_FILE=$AGENT_FILE,$(scan_settings)"
  names=,_API=source,_WORKER=source
else
  submit check "$sources" "$HERE/builds/check.yaml"
  submit build "$sources" "$HERE/builds/images.yaml" \
    "_REPOSITORY=$REPOSITORY,_BUCKET=$BUILD_BUCKET,_TAG=$TAG,_AGENT_FILE=$AGENT_FILE,$(scan_settings)"
fi
canary="_CANARY_PERCENT=$CANARY_PERCENT,_CANARY_TASKS=$CANARY_TASKS,_CANARY_TOLERANCE=$CANARY_TOLERANCE"
canary+=",_CANARY_SECONDS=$CANARY_SECONDS,_DRAIN_WAIT_SECONDS=$DRAIN_WAIT_SECONDS,_SMOKE_SECRET=$SMOKE_SECRET"
submit deploy "$sources" "$sources/cloudbuild.yaml" "_PREFIX=$PREFIX,_REGION=$REGION,_REPOSITORY=$REPOSITORY,_TAG=$TAG$names,$canary$variables"
if [[ $DRY_RUN == true ]]; then say 'a dry run: nothing was submitted'; else say "released $TAG"; fi
