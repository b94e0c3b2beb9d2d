#!/usr/bin/env bash
# Sends a task to an API and waits until it has completed, for up to SMOKE_SECONDS (default: 180).
#   deploy/smoke.sh <url> [identity token]
set -euo pipefail
url=$1
token=${2:-}
wait_seconds=${SMOKE_SECONDS:-180}

# curl reads the token from standard input, because arguments are visible in the process list.
call() {
  local header='header = "content-type: application/json"'
  if [[ -n $token ]]; then header+=$'\n'"header = \"authorization: Bearer $token\""; fi
  curl --silent --show-error --fail-with-body --max-time 60 --config - --header 'a2a-version: 1.0' \
    --data "$1" "$url/a2a/jsonrpc" <<<"$header"
}

message=$(printf '{"messageId":"smoke-%s-%s","role":"ROLE_USER","parts":[{"text":"Answer with the word ready."}]}' "$(date +%s)" "$RANDOM")
sent=$(call "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"SendMessage\",\"params\":{\"message\":$message,\"configuration\":{\"returnImmediately\":true}}}")
[[ $sent =~ \"id\":\"([0-9a-f-]{36})\" ]] || { printf 'smoke: no task was created: %s\n' "$sent" >&2; exit 1; }
task=${BASH_REMATCH[1]}
deadline=$((SECONDS + wait_seconds))
while ((SECONDS < deadline)); do
  now=$(call "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"GetTask\",\"params\":{\"id\":\"$task\"}}")
  [[ $now =~ \"state\":\"(TASK_STATE_[A-Z_]+)\" ]] || { printf 'smoke: cannot read the task: %s\n' "$now" >&2; exit 1; }
  case ${BASH_REMATCH[1]} in
    TASK_STATE_COMPLETED) printf 'smoke: task %s completed\n' "$task"; exit ;;
    TASK_STATE_FAILED | TASK_STATE_REJECTED | TASK_STATE_CANCELED)
      printf 'smoke: task %s ended as %s\n' "$task" "${BASH_REMATCH[1]}" >&2
      exit 1
      ;;
  esac
  sleep 1
done
printf 'smoke: task %s did not complete within %s s\n' "$task" "$wait_seconds" >&2
exit 1
