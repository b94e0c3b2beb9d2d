#!/usr/bin/env bash
# A fake gcloud for rollouts. $FAKE_PROJECT has a folder for each service and for the worker pool, with the files latest (number of the
# newest revision), tag (the one behind the tag next), shares (lines REVISION PERCENT), labels (NAME=VALUE,…, of the newest
# revision), for a pool instances, and for a service that anyone may call "public" or a line in "invokers". The api has the modes
# $FAKE_MODES, and is at $FAKE_URL; $FAKE_IDENTITY, $FAKE_ACCESS and $FAKE_SECRET are tokens and a secret. $FAKE_RECEIVER is the argument
# --address of a receiver. The labels of the job are in job-labels. Each command that changes something is logged to "changes". A command
# that matches the pattern $FAKE_FAILURE fails; $FAKE_HANGS waits.
set -euo pipefail

printf '%s\037' "$@" >>"$FAKE_PROJECT/calls"
printf '\036' >>"$FAKE_PROJECT/calls"
if [[ $* =~ --container=.*\ --(project|quiet|region|format|wait|async) ]]; then echo "unrecognized arguments: --${BASH_REMATCH[1]}" >&2; exit 2; fi
# The flags of all commands.
while [[ $1 == --* ]]; do shift; done
line="$*"
name='' split='' labels=''
for word in "$@"; do
  case $word in
    longhaul-*) if [[ -z $name ]]; then name=$word; fi ;;
    --to-tags=next=* | --to-revisions=*) split=${word#--to-*=} ;;
    --update-labels=*) labels=${word#*=} ;;
  esac
done
target=$FAKE_PROJECT/$name

change() {
  printf '%s\n' "$line" >>"$FAKE_PROJECT/changes"
  if [[ -n ${FAKE_HANGS:-} && $line =~ $FAKE_HANGS ]]; then exec sleep 60; fi
  if [[ -n ${FAKE_FAILURE:-} && $line =~ $FAKE_FAILURE ]]; then echo "ERROR: (gcloud) refused: $line" >&2; exit 1; fi
}
shares() { printf '%s\n' "$@" >"$target/shares"; }

case $line in
  'run worker-pools --help') ;;
  'run services list '*--filter=*)
    name=${line#*metadata.name=} name=${name%% *} disabled=false
    if [[ -f $FAKE_PROJECT/$name/public ]]; then disabled=true; fi
    printf '[{"metadata":{"name":"%s","annotations":{"run.googleapis.com/invoker-iam-disabled": "%s"}}}]\n' "$name" "$disabled"
    ;;
  'run services get-iam-policy '*) cat "$target/invokers" 2>/dev/null || true ;;
  'run services describe longhaul-receiver '*)
    [[ -n ${FAKE_RECEIVER:-} && $line == *'.args)'* ]] || exit 1
    echo "webhooks;receive;--address;$FAKE_RECEIVER"
    ;;
  'auth print-identity-token '*) printf '%s' "$line" >"$FAKE_PROJECT/identity"; echo "${FAKE_IDENTITY:-}" ;;
  'auth print-access-token '*) echo "${FAKE_ACCESS:-}" ;;
  'secrets versions access '*) printf '%s' "${FAKE_SECRET:-}" ;;
  'run services list '*) for path in "$FAKE_PROJECT"/longhaul-*; do if [[ ! -f $path/instances ]]; then basename "$path"; fi; done ;;
  'run worker-pools list '*) for path in "$FAKE_PROJECT"/longhaul-*; do if [[ -f $path/instances ]]; then basename "$path"; fi; done ;;
  'run jobs describe '*longhaul-contracted*) cat "$FAKE_PROJECT/job-labels" 2>/dev/null || true ;;
  'run jobs update '*) change; printf '%s' "${labels#longhaul-contracted=}" >"$FAKE_PROJECT/job-labels" ;;
  'run jobs describe '*) echo "${FAKE_ENTRY:-services/migrate/main.ts}" ;;
  'run jobs execute '*) change ;;
  'run services describe '* | 'run worker-pools describe '*)
    entries=''
    while read -r revision percent; do entries+="{\"revisionName\":\"$revision\",\"percent\":$percent},"; done <"$target/shares"
    kind=traffic annotations='' names=''
    if [[ -s $target/labels ]]; then names="\"$(sed 's/=/":"/g; s/,/","/g' "$target/labels")\""; fi
    if [[ -f $target/instances ]]; then
      kind=instanceSplits annotations="\"run.googleapis.com/manualInstanceCount\":\"$(cat "$target/instances")\""
    else
      entries+="{\"revisionName\":\"$name-$(cat "$target/tag")\",\"tag\":\"next\",\"url\":\"${FAKE_URL:-https://next}\"},"
    fi
    env="{\"name\":\"AUTH_MODES\",\"value\":\"${FAKE_MODES:-cloud-run-iam}\"},{\"name\":\"CLOUD_RUN_AUDIENCE\",\"value\":\"https://api\"}"
    printf '{"metadata":{"annotations":{%s},"labels":{%s}},"spec":{"template":{"spec":{"containers":[{"name":"service","env":[%s]}]}}},"status":{"latestCreatedRevisionName":"%s","%s":[%s]}}\n' \
      "$annotations" "$names" "$env" "$name-$(cat "$target/latest")" "$kind" "${entries%,}"
    ;;
  'run services update '* | 'run worker-pools update '*)
    change
    echo $(($(cat "$target/latest") + 1)) >"$target/latest"
    cp "$target/latest" "$target/tag"
    printf '%s' "$labels" >"$target/labels"
    ;;
  'run services update-traffic '*--to-tags=*)
    change
    next=$name-$(cat "$target/tag") percent=${split#next=}
    read -r before _ <"$target/shares"
    if ((percent == 100)); then shares "$next 100"; else shares "$before $((100 - percent))" "$next $percent"; fi
    ;;
  'run worker-pools update-instance-split '*--to-latest*) change; shares "$name-$(cat "$target/latest") 100" ;;
  'run services update-traffic '* | 'run worker-pools update-instance-split '*)
    change
    IFS=, read -r -a parts <<<"$split"
    shares "${parts[@]/=/ }"
    ;;
  *) echo "fake gcloud: unknown command: $line" >&2; exit 2 ;;
esac
