# Functions for the revisions of the services and of the worker pool, which rollout.sh shares traffic and instances between.
# shellcheck shell=bash

# A dry run sees a pool of WORKER_INSTANCES, a revision that serves, and one of the release that does not. The step contract finds it promoted.
seen() {
  # Without a release, as for the step status, its name stands for it.
  local before=100 next=0 label=r-RELEASE-0
  if [[ -n ${RELEASE:-} ]]; then label=$(release_label "$RELEASE"); fi
  if [[ ${step:-} == contract ]]; then before=0 next=100; fi
  printf '{"metadata":{"annotations":{"run.googleapis.com/manualInstanceCount":"%s"},
    "labels":{"longhaul-release":"%s","longhaul-before":"BEFORE"}},"status":{"latestCreatedRevisionName":"NEXT",
    "traffic":[{"revisionName":"BEFORE","percent":%d},{"revisionName":"NEXT","percent":%d,"tag":"next"}]}}' \
    "$WORKER_INSTANCES" "$label" "$before" "$next"
}

# release_label <release>: the label of what was deployed for a release. Labels have no capitals and dots, so a hash keeps releases apart.
release_label() {
  local text=${1,,}
  printf 'r-%s-%s' "$(printf '%s' "${text//./_}" | cut -c1-50)" "$(printf '%s' "$1" | sha256sum | cut -c1-8)"
}

# ask <placeholder> <command …>: runs a read-only command, and lets gcloud say why it fails. A dry run prints the placeholder.
ask() {
  local placeholder=$1
  shift
  if [[ $DRY_RUN == true ]]; then printf '%s' "$placeholder"; return; fi
  call "$@"
}

# Sets targets to what the deployment has, workers first, and pool to its worker pool, if it has one.
find_targets() {
  local services pools name seen="$PREFIX-dispatcher"$'\n'"$PREFIX-api"
  if [[ $WORKER_MODE == push ]]; then seen+=$'\n'$PREFIX-worker; fi
  if ((GRPC_MAX > 0)); then seen+=$'\n'$PREFIX-grpc; fi
  services=$(ask "$seen" run services list --region="$REGION" --format='value(metadata.name)') ||
    fail "the services of $REGION cannot be listed"
  targets=() pool=''
  if [[ $'\n'$services$'\n' != *$'\n'"$PREFIX-worker"$'\n'* ]]; then
    find_worker_pools
    pools=$(ask "$PREFIX-worker" "${WORKER_POOLS[@]}" list --region="$REGION" --format='value(metadata.name)') ||
      fail "the worker pools of $REGION cannot be listed"
    if [[ $'\n'$pools$'\n' == *$'\n'"$PREFIX-worker"$'\n'* ]]; then pool=$PREFIX-worker targets+=("$PREFIX-worker"); fi
  fi
  for name in worker dispatcher grpc api; do
    if [[ $'\n'$services$'\n' == *$'\n'"$PREFIX-$name"$'\n'* ]]; then targets+=("$PREFIX-$name"); fi
  done
  ((${#targets[@]} > 0)) || fail "$PROJECT_ID has no services of $PREFIX in $REGION: run deploy/deploy.sh first"
}

# read_revisions <target>: sets NEXT to the newest revision, SERVING to those with a share, as REVISION=PERCENT, and for the pool
# INSTANCES to its size. PREPARED is the label of the release that the newest revision was deployed for, and BEFORE the revision that
# served until then; a dash if they are not known.
read_revisions() {
  local -a describe=(run services describe)
  if [[ $1 == "$pool" ]]; then describe=("${WORKER_POOLS[@]}" describe); fi
  local json lines
  json=$(ask "$(seen)" "${describe[@]}" "$1" --region="$REGION" --format=json) || fail "$1 cannot be read"
  lines=$(python3 -S -c '
import json, sys
found = json.load(sys.stdin)
status = found["status"]
entries = status.get("traffic") or status.get("instanceSplits") or []
newest = status["latestCreatedRevisionName"]
shares = {}
for entry in entries:
    name = entry.get("revisionName") or newest
    shares[name] = shares.get(name, 0) + (entry.get("percent") or 0)
if not any(shares.values()):
    shares[newest] = 100
tagged = [entry["revisionName"] for entry in entries if entry.get("tag") == "next"]
following = (tagged or [newest])[0]
# The labels are those of the newest revision.
labels = found["metadata"].get("labels", {}) if following == newest else {}
print(following)
print(found["metadata"].get("annotations", {}).get("run.googleapis.com/manualInstanceCount", "0"))
print(labels.get("longhaul-release", "-"))
print(labels.get("longhaul-before", "-"))
print("\n".join("%s=%d" % share for share in shares.items() if share[1] > 0))
' <<<"$json") || fail "the state of $1 cannot be read"
  mapfile -t SERVING <<<"$lines"
  NEXT=${SERVING[0]}
  if [[ $1 == "$pool" ]]; then INSTANCES=${SERVING[1]}; fi
  PREPARED=${SERVING[2]} BEFORE=${SERVING[3]}
  SERVING=("${SERVING[@]:4}")
}

# check_prepared <target>: refuses a newest revision that was not deployed for RELEASE.
check_prepared() {
  [[ $PREPARED == "$(release_label "$RELEASE")" ]] ||
    fail "the newest revision of $1 is $NEXT, which the step prepare has not deployed for $RELEASE. Nothing was changed: the step status says which releases there are"
}

# serving_image <service>: prints the image of the revision that serves, or nothing if there is no such service.
serving_image() {
  local pool='' json
  exists run services describe "$1" --region="$REGION" || return 0
  read_revisions "$1"
  ((${#SERVING[@]} == 1)) ||
    fail "$1 is split between ${SERVING[*]}: end that rollout first, with deploy/rollout.sh and the step promote or back"
  json=$(ask '' run revisions describe "${SERVING[0]%=*}" --region="$REGION" --format=json) || fail "the revision ${SERVING[0]%=*} cannot be read"
  python3 -S -c '
import json, sys
containers = json.load(sys.stdin)["spec"]["containers"]
print(next((each["image"] for each in containers if each.get("name") == "service"), containers[0]["image"]))
' <<<"$json"
}

# A pool of one instance cannot be split.
check_instances() {
  ((CANARY_PERCENT == 0 || INSTANCES >= 2)) ||
    fail "$pool has $INSTANCES instance, which cannot be split: a canary needs WORKER_INSTANCES=2 or more. Nothing was changed"
}

# deploy_unused <target> <revision before> <flags …>: deploys a revision without a share, and notes both releases.
deploy_unused() {
  local target=$1 labels
  labels="longhaul-release=$(release_label "$RELEASE"),longhaul-before=$2"
  shift 2
  set -- --update-labels="$labels" "$@"
  if [[ $target == "$pool" ]]; then
    change "${WORKER_POOLS[@]}" update "$target" --region="$REGION" --no-promote "$@"
  else
    change run services update "$target" --region="$REGION" --no-traffic --tag=next "$@"
  fi
}

# give <target> <percent>: gives the newest revision a share; of a pool at least one instance.
give() {
  local percent=$2
  if [[ $1 != "$pool" ]]; then
    change run services update-traffic "$1" --region="$REGION" --to-tags="next=$percent"
  elif ((percent == 100)); then
    # By this, later deployments are promoted too.
    change "${WORKER_POOLS[@]}" update-instance-split "$1" --region="$REGION" --to-latest
  else
    local least=$(((100 + INSTANCES - 1) / INSTANCES))
    if ((percent < least)); then percent=$least; fi
    change "${WORKER_POOLS[@]}" update-instance-split "$1" --region="$REGION" \
      --to-revisions="${NEW[$1]}=$percent,${OLD[$1]}=$((100 - percent))"
  fi
}

# restore <target> <revision>: gives it everything.
restore() {
  if [[ $1 == "$pool" ]]; then
    change "${WORKER_POOLS[@]}" update-instance-split "$1" --region="$REGION" --to-revisions="$2=100"
  else
    change run services update-traffic "$1" --region="$REGION" --to-revisions="$2=100"
  fi
}

# admin_entry: prints what starts commands for operators in the image of the job: a file, or a command of the program longhaul.
admin_entry() {
  local entry
  entry=$(ask services/migrate/main.ts run jobs describe "$PREFIX-migrate" --region="$REGION" \
    --format='value(spec.template.spec.template.spec.containers[0].args[0])') || return 1
  printf '%s' "${entry/migrate/admin}"
}

# to_list <word …>: prints a list for a flag of gcloud; its words may contain commas.
to_list() {
  local separator=, list=$1
  if [[ "$*" == *,* ]]; then
    separator='<|>'
    while [[ "$*" == *"$separator"* ]]; do separator=${separator/|/||}; done
    printf '^%s^' "$separator"
  fi
  shift
  while (($# > 0)); do list+=$separator$1; shift; done
  printf '%s' "$list"
}

# run_admin <seconds> <arguments …>: runs a command for operators in the job of the migration, which reaches the database.
run_admin() {
  local seconds=$1 entry
  shift
  entry=$(admin_entry) || return 1
  change run jobs execute "$PREFIX-migrate" --region="$REGION" --wait --task-timeout="${seconds}s" --container=service \
    --args="$(to_list "$entry" "$@")"
}
