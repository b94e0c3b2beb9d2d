#!/usr/bin/env bash
# Longhaul on Google Cloud: makes what is missing, and leaves what is there. Safe to run again at any time.
#
#   PROJECT_ID=my-project deploy/deploy.sh [--dry-run] [step …]
#
# --dry-run prints every command that a first run would run, and runs none. Steps, in order, all without an argument:
# apis network accounts secrets pubsub tasks alloydb images migrate services monitoring. Settings: deploy/settings.sh.
set -euo pipefail

((BASH_VERSINFO[0] >= 5)) || { echo 'deploy: bash 5 or newer is needed (Cloud Shell has it)' >&2; exit 69; }
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DRY_RUN=false
declare -a steps=()
for argument in "$@"; do
  case $argument in
    --dry-run) DRY_RUN=true ;;
    -h | --help) sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit ;;
    -*) printf 'deploy: %s is no option; see --help\n' "$argument" >&2; exit 64 ;;
    *) steps+=("$argument") ;;
  esac
done
if ((${#steps[@]} == 0)); then
  steps=(apis network accounts secrets pubsub tasks alloydb images migrate services monitoring)
fi

# shellcheck source=deploy/settings.sh
source "$HERE/settings.sh"
# shellcheck source=deploy/lib.sh
source "$HERE/lib.sh"

umask 077
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
if [[ -n ${RENDERED_DIR:-} ]]; then WORK=$RENDERED_DIR; trap - EXIT; fi

(($(planned_connections) < DATABASE_MAX_CONNECTIONS)) ||
  fail "the services may open $(planned_connections) connections, and AlloyDB allows $DATABASE_MAX_CONNECTIONS: lower API_MAX, DISPATCHER_MAX, WORKER_MAX or their pools"

if [[ ",$API_INVOKERS," == *,allUsers,* && ",$API_AUTH_MODES," =~ ,(none|cloud-run-iam), ]]; then
  fail "API_INVOKERS lets everybody in, and API_AUTH_MODES=$API_AUTH_MODES asks nobody who they are: set it to jwt or api-key"
fi
if [[ ",$API_AUTH_MODES," == *,api-key,* && -z $API_KEYS_SECRET ]]; then
  fail 'API_AUTH_MODES has api-key: make a secret with lines of owner:hash, and name it in API_KEYS_SECRET'
fi

[[ $WORKER_MODE =~ ^(pull|push)$ ]] || fail "WORKER_MODE must be pull or push, not $WORKER_MODE"

PROJECT_NUMBER=$(ask 123456789012 projects describe "$PROJECT_ID" --format='value(projectNumber)') ||
  fail "the project $PROJECT_ID cannot be read: is it right, and are you logged in (gcloud auth login)?"
# Known before the service is: its own name for itself, which is also the audience of the tokens of its callers.
DISPATCHER_URL="https://$PREFIX-dispatcher-$PROJECT_NUMBER.$REGION.run.app"
API_URL="https://$PREFIX-api-$PROJECT_NUMBER.$REGION.run.app"
# Tokens of service accounts are for the URL; those of people, by gcloud auth print-identity-token, for gcloud itself.
API_AUDIENCE="$API_URL,32555940559.apps.googleusercontent.com"
WORKER_URL="https://$PREFIX-worker-$PROJECT_NUMBER.$REGION.run.app"
GRPC_HOST="$PREFIX-grpc-$PROJECT_NUMBER.$REGION.run.app"
GRPC_AUDIENCE="https://$GRPC_HOST,32555940559.apps.googleusercontent.com"
GRPC_TARGET=''
if ((GRPC_MAX > 0)); then GRPC_TARGET="$GRPC_HOST:443"; fi
API_KEYS_VALUE=''
if [[ -n $API_KEYS_SECRET ]]; then API_KEYS_VALUE="sm://projects/$PROJECT_ID/secrets/$API_KEYS_SECRET/versions/latest"; fi

for step in "${steps[@]}"; do
  [[ -f $HERE/steps/$step.sh ]] || fail "there is no step $step"
  say "$step"
  # shellcheck source=/dev/null
  source "$HERE/steps/$step.sh"
done
say "done: $API_URL"
