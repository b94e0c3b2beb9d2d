#!/usr/bin/env bash
# A fake gcloud with the job of the migration, for deploy/admin.sh. An execution runs the real program by $FAKE_JOB, fake-job.ts, which
# writes the log. $FAKE_PROJECT is a directory with the description of the api in "api"; $FAKE_ENTRY is the entry of the job.
set -euo pipefail

printf '%s\037' "$@" >>"$FAKE_PROJECT/calls"
printf '\036' >>"$FAKE_PROJECT/calls"
while [[ $1 == --* ]]; do shift; done
execution=longhaul-migrate-x7k2p
log=$FAKE_PROJECT/log
case "$*" in
  'run jobs describe longhaul-migrate '*) echo "$FAKE_ENTRY" ;;
  'run services describe longhaul-api '*) cat "$FAKE_PROJECT/api" ;;
  'run jobs execute longhaul-migrate '*)
    "$FAKE_NODE" "$FAKE_JOB" "$@"
    echo "$execution"
    ;;
  "run jobs executions describe $execution "*) echo 2026-11-30T12:00:00Z ;;
  'logging read '*"\"$execution\""*)
    # Not all at once.
    if [[ -f $log.read && -z ${FAKE_LOST:-} ]]; then cat "$log"; else cat "$log.part"; fi
    : >"$log.read"
    ;;
  *) echo "fake gcloud: unknown command: $*" >&2; exit 2 ;;
esac
