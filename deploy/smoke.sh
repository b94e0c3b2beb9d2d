#!/usr/bin/env bash
# Sends a task to an API and waits until it has completed, for up to SMOKE_SECONDS (default: 180). With a receiver, the
# address of `longhaul webhooks receive`, it also waits until the receiver has verified the webhook with the result.
#   deploy/smoke.sh <url> [identity token] [receiver]
set -euo pipefail
url=$1
token=${2:-}
receiver=${3:-}
wait_seconds=${SMOKE_SECONDS:-180}

# curl reads the token from standard input, because arguments are visible in the process list.
call() {
  local header='header = "content-type: application/json"'
  if [[ -n $token ]]; then header+=$'\n'"header = \"authorization: Bearer $token\""; fi
  curl --silent --show-error --fail-with-body --max-time 60 --config - --header 'a2a-version: 1.0' \
    --data "$1" "$url/a2a/jsonrpc" <<<"$header"
}

message=$(printf '{"messageId":"smoke-%s-%s","role":"ROLE_USER","parts":[{"text":"Answer with the word ready."}]}' "$(date +%s)" "$RANDOM")
configuration='{"returnImmediately":true}'
if [[ -n $receiver ]]; then
  configuration="{\"returnImmediately\":true,\"taskPushNotificationConfig\":{\"url\":\"${receiver%/}/\"}}"
fi
sent=$(call "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"SendMessage\",\"params\":{\"message\":$message,\"configuration\":$configuration}}")
[[ $sent =~ \"id\":\"([0-9a-f-]{36})\" ]] || { printf 'smoke: no task was created: %s\n' "$sent" >&2; exit 1; }
task=${BASH_REMATCH[1]}
deadline=$((SECONDS + wait_seconds))
state='' got=''
while ((SECONDS < deadline)); do
  now=$(call "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"GetTask\",\"params\":{\"id\":\"$task\"}}")
  [[ $now =~ \"state\":\"(TASK_STATE_[A-Z_]+)\" ]] || { printf 'smoke: cannot read the task: %s\n' "$now" >&2; exit 1; }
  state=${BASH_REMATCH[1]}
  case $state in
    TASK_STATE_COMPLETED) printf 'smoke: task %s completed\n' "$task"; break ;;
    TASK_STATE_FAILED | TASK_STATE_REJECTED | TASK_STATE_CANCELED)
      printf 'smoke: task %s ended as %s\n' "$task" "$state" >&2
      exit 1
      ;;
  esac
  sleep 1
done
if [[ $state != TASK_STATE_COMPLETED ]]; then
  printf 'smoke: task %s did not complete within %s s\n' "$task" "$wait_seconds" >&2
  exit 1
fi
[[ -n $receiver ]] || exit 0
while ((SECONDS < deadline)); do
  got=$(curl --silent --show-error --fail-with-body --max-time 30 "${receiver%/}/?task=$task") || got=''
  if [[ $got =~ \"verified\":([0-9]+),\"settled\":true ]]; then
    printf 'smoke: %s webhooks arrived with valid signatures\n' "${BASH_REMATCH[1]}"
    exit
  fi
  sleep 1
done
printf 'smoke: the webhook of task %s did not arrive within %s s: %s\n' "$task" "$wait_seconds" "$got" >&2
exit 1
