#!/usr/bin/env bash
# Runs a command for operators in the job of the migration, which reaches the database. Waits for it, prints its output, and exits
# with its status. Without a command, it lists them.
#
#   PROJECT_ID=my-project deploy/admin.sh [--dry-run] [COMMAND [ARGUMENT …]]
#
# The command gets the limits and the encryption keys of the api. The file of "limits apply" is one of this machine. It may run for
# ADMIN_SECONDS (default: 3600). Interrupting this script does not stop it.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DRY_RUN=false
while [[ ${1:-} == -* ]]; do
  case $1 in
    --dry-run) DRY_RUN=true; shift ;;
    -h | --help) sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit ;;
    *) printf 'admin: %s is not a valid option in front of the command; see --help\n' "$1" >&2; exit 64 ;;
  esac
done
: "${ADMIN_SECONDS:=3600}"
: "${ADMIN_POLL_SECONDS:=3}"
# shellcheck source=deploy/settings.sh
source "$HERE/settings.sh"
# shellcheck source=deploy/lib/common.sh
source "$HERE/lib/common.sh"
# shellcheck source=deploy/lib/revisions.sh
source "$HERE/lib/revisions.sh"
fail() { printf 'admin: %s\n' "$*" >&2; exit 1; }
check_settings
[[ $ADMIN_SECONDS =~ ^[1-9][0-9]{0,5}$ ]] || fail "ADMIN_SECONDS must be a number of seconds from 1 to 999999, not $ADMIN_SECONDS"

# The job has no files of this machine, so the text goes along.
words=("$@")
if [[ ${1:-} == limits ]]; then
  verb=''
  for ((at = 1; at < ${#words[@]}; at++)); do
    if [[ ${words[at]} == -* ]]; then continue; fi
    if [[ -z $verb ]]; then verb=${words[at]}; continue; fi
    if [[ $verb != apply ]]; then break; fi
    [[ -r ${words[at]} ]] || fail "the file ${words[at]} cannot be read"
    text=$(<"${words[at]}")
    ((${#text} <= 30000)) || fail "${words[at]} has ${#text} characters: at most 30000 go along with a job"
    words[at]=--text=$text
  done
fi

declare -A given=()
for word in "${words[@]}"; do
  [[ ! -v given[$word] ]] || fail "$word is there twice, which gcloud refuses: write options as --name=value"
  given[$word]=true
done

entry=$(admin_entry) || fail "the job $PREFIX-migrate cannot be read: deploy/deploy.sh migrate creates it"
keys="sm://projects/$PROJECT_ID/secrets/$PREFIX-encryption-keys/versions/latest"
seen='{"spec":{"template":{"spec":{"containers":[{"env":[{"name":"AUTH_MODES","value":"cloud-run-iam"},{"name":"ENCRYPTION_KEYS","value":"ADDRESS"}]}]}}}}'
api=$(ask "${seen/ADDRESS/$keys}" run services describe "$PREFIX-api" --region="$REGION" --format=json) ||
  fail "the service $PREFIX-api cannot be read: deploy/deploy.sh services creates it"
variables=$(python3 -S -c '
import json, sys
template = json.load(sys.stdin).get("spec", {}).get("template", {}).get("spec", {})
containers = template.get("containers", [])
service = next((each for each in containers if each.get("name") == "service"), (containers or [{}])[0])
for variable in service.get("env", []):
    name, value = variable["name"], variable.get("value", "")
    limits = name == "AUTH_MODES" or name.startswith("OWNER_MAX_")
    keys = name == "ENCRYPTION_KEYS" and value.startswith("sm://") and sys.argv[1] in ("reencrypt", "drop-secrets")
    if value and (limits or keys):
        print("%s=%s" % (name, value))
' "${1:-}" <<<"$api") || fail "the variables of $PREFIX-api cannot be read"
declare -a changed=()
if [[ -n $variables ]]; then
  mapfile -t pairs <<<"$variables"
  changed=(--update-env-vars="$(to_list "${pairs[@]}")")
fi

command=(run jobs execute "$PREFIX-migrate" --region="$REGION" --async --format='value(metadata.name)'
  --task-timeout="${ADMIN_SECONDS}s" --container=service --args="$(to_list "$entry" "${words[@]}")" "${changed[@]}")
if [[ $DRY_RUN == true ]]; then show gcloud "${command[@]}"; say 'a dry run: nothing was started'; exit; fi
show gcloud "${command[@]}" >&2
execution=$(call "${command[@]}") || fail "the job $PREFIX-migrate was not started"
trap 'fail "interrupted: $execution continues. To stop it: gcloud run jobs executions cancel $execution --region=$REGION --project=$PROJECT_ID"' INT TERM

# The log has the output a few seconds after the end. After a minute, nothing more is expected.
filter="resource.type=\"cloud_run_job\" labels.\"run.googleapis.com/execution_name\"=\"$execution\""
last=''
while true; do
  log=$(ask '' logging read "$filter" --order=asc --freshness=30d --format=json) ||
    fail "the log of $execution cannot be read, which needs the role roles/logging.viewer. The command runs, or has run"
  status=0
  python3 -S "$HERE/lib/job-output.py" <<<"$log" || status=$?
  if ((status != 75)); then exit "$status"; fi
  if [[ -z $last ]]; then
    ended=$(query '' run jobs executions describe "$execution" --region="$REGION" --format='value(status.completionTime)') || ended=''
    if [[ -n $ended ]]; then last=$((SECONDS + ${ADMIN_LOG_SECONDS:-60})); fi
  elif ((SECONDS >= last)); then
    python3 -S "$HERE/lib/job-output.py" final <<<"$log" || true
    fail "$execution has ended, and its log has no complete output: gcloud run jobs executions describe $execution --region=$REGION --project=$PROJECT_ID says why"
  fi
  sleep "$ADMIN_POLL_SECONDS"
done
