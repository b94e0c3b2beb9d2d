#!/usr/bin/env bash
# Rolls out a release, step by step, as cloudbuild.yaml does. Each step can be run by hand, and again.
#
#   PROJECT_ID=my-project deploy/rollout.sh [--dry-run] STEP RELEASE
#
# prepare   deploys API_IMAGE and WORKER_IMAGE, by digest, as revisions that get no traffic and no instances
# smoke     sends a real task through the new revision of the api
# canary    gives them CANARY_PERCENT, and waits until CANARY_TASKS of their tasks have ended. If more of them failed than of
#           the other releases, or something else fails, it gives everything back
# drain     stops the workers of other releases from taking turns, and waits until they run none
# promote   gives the new revisions everything
# back      gives everything to the revisions before, also after promote, until contract or the next prepare has run
# contract  drops from the database what only releases before needed, once nothing of them runs. There is no way back from it
# status    prints which revisions there are, and their shares; RELEASE may be left out
#
# canary and drain do nothing with CANARY_PERCENT=0, the default. See deploy/settings.sh for the others.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DRY_RUN=false
declare -a words=()
for argument in "$@"; do
  case $argument in
    --dry-run) DRY_RUN=true ;;
    -h | --help) sed -n '2,17s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit ;;
    -*) printf 'rollout: %s is not a valid option; see --help\n' "$argument" >&2; exit 64 ;;
    *) words+=("$argument") ;;
  esac
done
step=${words[0]:-} RELEASE=${words[1]:-}
if [[ ${#words[@]} -ne 2 && "${words[*]}" != status || ! $step =~ ^(prepare|smoke|canary|drain|promote|back|contract|status)$ ]]; then
  echo 'rollout: expected one of prepare, smoke, canary, drain, promote, back, contract and status, and the name of the release; see --help' >&2
  exit 64
fi
# shellcheck source=deploy/settings.sh
source "$HERE/settings.sh"
# shellcheck source=deploy/lib/common.sh
source "$HERE/lib/common.sh"
# shellcheck source=deploy/lib/revisions.sh
source "$HERE/lib/revisions.sh"
# shellcheck source=deploy/lib/invokers.sh
source "$HERE/lib/invokers.sh"
# shellcheck source=deploy/lib/smoke.sh
source "$HERE/lib/smoke.sh"
fail() { printf 'rollout: %s\n' "$*" >&2; exit 1; }
check_settings
[[ $step == status || $RELEASE =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$ ]] ||
  fail "RELEASE must be letters, digits, dots, dashes and underscores, not $RELEASE"

prepare() {
  [[ -n $API_IMAGE && -n $WORKER_IMAGE ]] || fail 'API_IMAGE and WORKER_IMAGE must be images by digest (…@sha256:…)'
  local name service image flag
  local -a release
  check_smoke
  check_closed
  for name in "${targets[@]}"; do
    read_revisions "$name"
    ((${#SERVING[@]} == 1)) ||
      fail "$name is split between ${SERVING[*]}: end that rollout first, with the step promote or back. Nothing was changed"
    if [[ $name == "$pool" ]]; then check_instances; fi
    OLD[$name]=${SERVING[0]%=*}
  done
  for name in "${targets[@]}"; do
    service=${name#"$PREFIX-"} image=$WORKER_IMAGE release=()
    case $service in api | grpc) service=api image=$API_IMAGE ;; worker) release=("WORKER_RELEASE=$RELEASE") ;; esac
    flag=$(update_flag "$service" "${release[@]}")
    deploy_unused "$name" "${OLD[$name]}" --container=service --image="$image" ${flag:+"$flag"} ||
      fail "$name was not deployed. The revisions before continue to serve: run the step prepare again"
  done
}

smoke() {
  read_revisions "$PREFIX-api"
  check_prepared "$PREFIX-api"
  run_smoke
}

canary() {
  local name
  for name in "${targets[@]}"; do
    read_revisions "$name"
    [[ ${#SERVING[@]} -eq 1 && ${SERVING[0]} != "$NEXT="* ]] ||
      fail "$name has no revision without a share next to one that serves: run the step prepare first. Nothing was changed"
    check_prepared "$name"
    if [[ $name == "$pool" ]]; then check_instances; fi
    NEW[$name]=$NEXT OLD[$name]=${SERVING[0]%=*}
  done
  trap 'take_back "it was interrupted"' INT TERM
  trap hang_up HUP
  for name in "${targets[@]}"; do
    give "$name" "$CANARY_PERCENT" || take_back "$name did not take the new revision"
  done
  say "waiting for $CANARY_TASKS tasks of $RELEASE, for up to $CANARY_SECONDS s"
  # In the background, so that a signal is handled at once, and in a process group, so that it ends with all of its processes.
  set -m
  run_admin "$((CANARY_SECONDS + 120))" outcomes --candidate="$RELEASE" --at-least="$CANARY_TASKS" --tolerance="$CANARY_TOLERANCE" \
    --wait="$CANARY_SECONDS" --minutes="$((CANARY_SECONDS / 60 + 10))" &
  waiting=$!
  set +m
  wait "$waiting" ||
    take_back "too many of its tasks failed, or too few ended, as the log of the job $PREFIX-migrate says"
  trap - INT TERM HUP
  say "$RELEASE has passed: it keeps its share until it is promoted"
}

# take_back <reason>: gives everything to the revisions before, even if some of them refuse, and ends with the reason.
take_back() {
  trap '' INT TERM HUP
  if [[ -n $waiting ]]; then kill -- -"$waiting" 2>/dev/null || true; fi
  local name
  local -a left=()
  for name in "${targets[@]}"; do restore "$name" "${OLD[$name]}" || left+=("$name"); done
  ((${#left[@]} == 0)) ||
    fail "the canary of $RELEASE was stopped: $1. It still has a share of ${left[*]}: run the step back"
  fail "the canary of $RELEASE was taken back: $1. Everything is with the revisions before: ${OLD[*]}"
}

# A terminal that is gone takes no output, and a pipe that is gone would end this script.
hang_up() {
  trap '' PIPE
  { printf '\n' 2>/dev/null && printf '\n' >&2; } || exec >/dev/null 2>&1
  take_back 'its terminal was closed'
}

drain() {
  [[ -n $pool ]] || { say 'Cloud Run lets the requests of push workers end: nothing to wait for'; return; }
  run_admin "$((DRAIN_WAIT_SECONDS + 120))" drain --keep="$RELEASE" --wait="$DRAIN_WAIT_SECONDS" ||
    fail "the turns of other releases have not ended, as the log of the job $PREFIX-migrate says. $RELEASE keeps its share: run the step drain again, or promote, or back"
}

promote() {
  local name
  local -a promoted=()
  for name in "${targets[@]}"; do
    read_revisions "$name"
    check_prepared "$name"
  done
  for name in "${targets[@]}"; do
    give "$name" 100 ||
      fail "$name was not promoted. These were: ${promoted[*]:-none}. Old and new revisions work together: run the step promote again, or back"
    promoted+=("$name")
  done
  say "$RELEASE has everything"
}

back() {
  local name each contracted
  for name in "${targets[@]}"; do
    read_revisions "$name"
    [[ $BEFORE != - && $BEFORE != "$NEXT" ]] ||
      fail "$name is served by ${SERVING[*]}, and the revision before is not known: choose one of gcloud run revisions list"
    check_prepared "$name"
    for each in "${SERVING[@]}"; do
      [[ ${each%=*} == "$NEXT" || ${each%=*} == "$BEFORE" ]] ||
        fail "$name is served by ${each%=*}, which is neither of $RELEASE nor of the release before: choose one of gcloud run revisions list"
    done
    OLD[$name]=$BEFORE
  done
  contracted=$(ask '' run jobs describe "$PREFIX-migrate" --region="$REGION" --format='value(metadata.labels.longhaul-contracted)') ||
    fail "the job $PREFIX-migrate cannot be read"
  [[ $contracted != "$(release_label "$RELEASE")" ]] ||
    fail "the step contract has run for $RELEASE, so the database may lack what the revisions before need. Nothing was changed: release their code as a new version"
  local -a left=()
  for name in "${targets[@]}"; do restore "$name" "${OLD[$name]}" || left+=("$name"); done
  ((${#left[@]} == 0)) || fail "$RELEASE still has a share of ${left[*]}: run the step back again"
  # The step drain may have stopped them.
  if [[ -n $pool ]]; then
    run_admin 300 drain --keep="$RELEASE" --restart ||
      fail "everything is with the revisions before, but their workers were not restarted: run the step back again"
  fi
  say "everything is with the revisions before: ${OLD[*]}"
}

contract() {
  local name
  for name in "${targets[@]}"; do
    read_revisions "$name"
    check_prepared "$name"
    [[ ${SERVING[*]} == "$NEXT=100" ]] || fail "$name is served by ${SERVING[*]}: run the step promote first. Nothing was changed"
  done
  # First, so that nothing goes back while it runs.
  change run jobs update "$PREFIX-migrate" --region="$REGION" --update-labels="longhaul-contracted=$(release_label "$RELEASE")" ||
    fail "the job $PREFIX-migrate was not changed, and nothing was dropped: run the step contract again"
  run_admin "$((DRAIN_WAIT_SECONDS + 1800))" contract --keep="$RELEASE" --wait="$DRAIN_WAIT_SECONDS" ||
    fail "nothing was dropped, for the reason in the log of the job $PREFIX-migrate: run the step contract again. The step back is refused from now on"
  say "the database has only what $RELEASE needs"
}

status() {
  local name
  for name in "${targets[@]}"; do
    read_revisions "$name"
    PREPARED=${PREPARED#r-} PREPARED=${PREPARED%-*}
    if [[ $BEFORE == - ]]; then BEFORE='not known'; fi
    say "$name: ${SERVING[*]}; newest: $NEXT, of release ${PREPARED:-not known}; before: $BEFORE"
  done
}

waiting=''
declare -A NEW=() OLD=()
if [[ $step =~ ^(canary|drain)$ ]] && ((CANARY_PERCENT == 0)); then
  say "no $step: CANARY_PERCENT is 0"
  exit
fi
find_targets
trap 'fail "the step $step was interrupted: the step status says what has which share. Run it again, or back"' INT TERM HUP
"$step"
if [[ $DRY_RUN == true ]]; then say 'a dry run: nothing was changed'; fi
