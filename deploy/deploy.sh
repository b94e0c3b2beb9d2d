#!/usr/bin/env bash
# Deploys Longhaul on Google Cloud. Creates what is missing and updates what has changed. Safe to run again.
#
#   PROJECT_ID=my-project deploy/deploy.sh [--dry-run] [step …]
#
# --dry-run prints the commands of a first run without running them. Steps, in order (default: all):
# apis network accounts secrets pubsub tasks alloydb images migrate services monitoring. See deploy/settings.sh.
# receiver, which runs only by its name, adds a receiver of webhooks to try the deployment with.
set -euo pipefail

((BASH_VERSINFO[0] >= 5)) || { echo 'deploy: bash 5 or newer is required (Cloud Shell has it)' >&2; exit 69; }
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DRY_RUN=false
declare -a steps=()
for argument in "$@"; do
  case $argument in
    --dry-run) DRY_RUN=true ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit ;;
    -*) printf 'deploy: %s is not a valid option; see --help\n' "$argument" >&2; exit 64 ;;
    *) steps+=("$argument") ;;
  esac
done
if ((${#steps[@]} == 0)); then
  steps=(apis network accounts secrets pubsub tasks alloydb images migrate services monitoring)
fi

# shellcheck source=deploy/settings.sh
source "$HERE/settings.sh"
# shellcheck source=deploy/lib/common.sh
source "$HERE/lib/common.sh"
# shellcheck source=deploy/lib/revisions.sh
source "$HERE/lib/revisions.sh"
# shellcheck source=deploy/lib/invokers.sh
source "$HERE/lib/invokers.sh"
# shellcheck source=deploy/lib/kept.sh
source "$HERE/lib/kept.sh"
# shellcheck source=deploy/lib/database.sh
source "$HERE/lib/database.sh"
check_settings

umask 077
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
if [[ -n ${RENDERED_DIR:-} ]]; then WORK=$RENDERED_DIR; trap - EXIT; fi

API_PUBLIC=false
if has API_INVOKERS allUsers; then API_PUBLIC=true; fi

PROJECT_NUMBER=$(query 123456789012 projects describe "$PROJECT_ID" --format='value(projectNumber)') ||
  fail "cannot read the project $PROJECT_ID: check the id, and log in with gcloud auth login"
# Deterministic URLs, known before the services exist. They are also the audience of the callers' tokens.
DISPATCHER_URL="https://$PREFIX-dispatcher-$PROJECT_NUMBER.$REGION.run.app"
API_URL="https://$PREFIX-api-$PROJECT_NUMBER.$REGION.run.app"
: "${PUBLIC_URL:=$API_URL}"
# The audience of the tokens of gcloud auth print-identity-token, which are for all services of all projects.
GCLOUD_AUDIENCE=''
if [[ $API_GCLOUD_TOKENS == true ]]; then GCLOUD_AUDIENCE=',32555940559.apps.googleusercontent.com'; fi
API_AUDIENCE="$API_URL$GCLOUD_AUDIENCE"
RECEIVER_URL="https://$PREFIX-receiver-$PROJECT_NUMBER.$REGION.run.app/"
WORKER_URL="https://$PREFIX-worker-$PROJECT_NUMBER.$REGION.run.app"
GRPC_HOST="$PREFIX-grpc-$PROJECT_NUMBER.$REGION.run.app"
GRPC_AUDIENCE="https://$GRPC_HOST$GCLOUD_AUDIENCE"
GRPC_TARGET=''
if ((GRPC_MAX > 0)); then GRPC_TARGET="$GRPC_HOST:443"; fi
# The arguments of the images: the services, by their files, or by the commands of the program longhaul.
API_ARGS=services/api/main.ts WORKER_ARGS=services/worker/main.ts
DISPATCHER_ARGS=services/dispatcher/main.ts MIGRATE_ARGS=services/migrate/main.ts
RECEIVER_ARGS='services/cli/main.ts, webhooks'
if [[ -n $AGENT_DIR ]]; then
  API_ARGS=api WORKER_ARGS=worker DISPATCHER_ARGS=dispatcher MIGRATE_ARGS=migrate RECEIVER_ARGS=webhooks
fi
API_KEYS_VALUE=''
if [[ -n $API_KEYS_SECRET ]]; then API_KEYS_VALUE="sm://projects/$PROJECT_ID/secrets/$API_KEYS_SECRET/versions/latest"; fi

DATABASE_SSL_CA=''
if [[ -n $DATABASE_SSL_CA_SECRET ]]; then
  DATABASE_SSL_CA="sm://projects/$PROJECT_ID/secrets/$DATABASE_SSL_CA_SECRET/versions/latest"
fi

if [[ " ${steps[*]} " =~ \ (migrate|services|receiver)\  ]]; then check_kept early; fi
if [[ " ${steps[*]} " =~ \ (alloydb|migrate|services)\  ]]; then check_database "${steps[@]}"; fi
if [[ " ${steps[*]} " == *' monitoring '* && -n $TELEMETRY_ENDPOINT ]]; then check_alerts; fi

# Whether the step images has built images, and whether a step has set the variables of the manifests.
BUILT=false READY=false
for step in "${steps[@]}"; do
  [[ -f $HERE/steps/$step.sh ]] || fail "unknown step $step"
  say "$step"
  # shellcheck source=/dev/null
  source "$HERE/steps/$step.sh"
done
say "done: $API_URL"
