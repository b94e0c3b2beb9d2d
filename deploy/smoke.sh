#!/usr/bin/env bash
# Sends a task to an API and waits until it has completed, for up to SMOKE_SECONDS (default: 180). With a receiver, the
# address of `longhaul webhooks receive`, it also waits until the receiver has verified the webhook with the result.
#
#   deploy/smoke.sh URL [RECEIVER]
#
# Credentials are read from the environment, because arguments are visible in the process list:
#   SMOKE_TOKEN      a token, sent as Authorization: Bearer
#   SMOKE_API_KEY    an API key, sent as x-api-key
#   SMOKE_INVOKER    an identity token for the check of Cloud Run next to them, sent as X-Serverless-Authorization
set -euo pipefail
if (($# < 1 || $# > 2)) || [[ $1 != http* || ${2:-http} != http* ]]; then
  echo 'smoke: expected the URL of the api, and optionally that of a receiver. Credentials are read from SMOKE_TOKEN, SMOKE_API_KEY and SMOKE_INVOKER' >&2
  exit 64
fi
url=${1%/} receiver=${2:-} wait_seconds=${SMOKE_SECONDS:-180}
deadline=$((SECONDS + wait_seconds))
fail() { printf 'smoke: %s\n' "$*" >&2; exit 1; }

# curl reads the headers from standard input.
headers='header = "content-type: application/json"'
add_header() {
  local value=${2//\\/\\\\}
  headers+=$'\n'"header = \"$1${value//\"/\\\"}\""
}
if [[ -n ${SMOKE_TOKEN:-} ]]; then add_header 'authorization: Bearer ' "$SMOKE_TOKEN"; fi
if [[ -n ${SMOKE_API_KEY:-} ]]; then add_header 'x-api-key: ' "$SMOKE_API_KEY"; fi
if [[ -n ${SMOKE_INVOKER:-} ]]; then add_header 'x-serverless-authorization: Bearer ' "$SMOKE_INVOKER"; fi

# call <request>: sets status, and body to the answer.
call() {
  local answer
  answer=$(curl --silent --show-error --max-time 60 --config - --header 'a2a-version: 1.0' --write-out '\n%{http_code}' \
    --data "$1" "$url/a2a/jsonrpc" <<<"$headers") || answer=$'\n000'
  status=${answer##*$'\n'} body=${answer%$'\n'*}
}

# Pages are of Cloud Run, and JSON is of the api.
refused() {
  local by='the api answered'
  if [[ $body == *'<html'* ]]; then by='Cloud Run answered, and not the api,' body=$(sed 's/<[^>]*>/ /g' <<<"$body" | tr -s ' \n' ' '); fi
  fail "$by with status $status: ${body:0:600}. The table of docs/operate/deploy.md under \"Try it\" has the causes"
}

message=$(printf '{"messageId":"smoke-%s-%s","role":"ROLE_USER","parts":[{"text":"Answer with the word ready."}]}' "$(date +%s)" "$RANDOM")
configuration='{"returnImmediately":true}'
if [[ -n $receiver ]]; then
  configuration="{\"returnImmediately\":true,\"taskPushNotificationConfig\":{\"url\":\"${receiver%/}/\"}}"
fi
waited=false
while :; do
  call "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"SendMessage\",\"params\":{\"message\":$message,\"configuration\":$configuration}}"
  if [[ ! $status =~ ^(000|429|5..)$ && ($status != 403 || $body != *'<html'*) ]]; then break; fi
  # The message is the same each time, so it makes one task.
  ((SECONDS < deadline)) || refused
  if [[ $waited == false ]]; then printf 'smoke: status %s. A new role or revision may take minutes: waiting\n' "$status" >&2; waited=true; fi
  sleep 2
done
[[ $status == 200 ]] || refused
[[ $body =~ \"id\":\"([0-9a-f-]{36})\" ]] || fail "no task was created: $body"
task=${BASH_REMATCH[1]}
state='' got=''
while ((SECONDS < deadline)); do
  call "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"GetTask\",\"params\":{\"id\":\"$task\"}}"
  [[ $status == 200 && $body =~ \"state\":\"(TASK_STATE_[A-Z_]+)\" ]] || refused
  state=${BASH_REMATCH[1]}
  case $state in
    TASK_STATE_COMPLETED) printf 'smoke: task %s completed\n' "$task"; break ;;
    TASK_STATE_FAILED | TASK_STATE_REJECTED | TASK_STATE_CANCELED) fail "task $task ended as $state: $body" ;;
  esac
  sleep 1
done
[[ $state == TASK_STATE_COMPLETED ]] || fail "task $task did not complete within $wait_seconds s"
[[ -n $receiver ]] || exit 0
while ((SECONDS < deadline)); do
  got=$(curl --silent --show-error --fail-with-body --max-time 30 "${receiver%/}/?task=$task") || got=''
  if [[ $got =~ \"verified\":([0-9]+),\"settled\":true ]]; then
    printf 'smoke: %s webhooks arrived with valid signatures\n' "${BASH_REMATCH[1]}"
    exit
  fi
  sleep 1
done
fail "the webhook of task $task did not arrive within $wait_seconds s: $got"
