#!/usr/bin/env bash
# Removes what deploy.sh made, the data too. Asks once; --yes does not ask, --dry-run prints and removes nothing.
# The network and its peering with Google's services stay until AlloyDB has let go of it: run it again an hour later.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DRY_RUN=false
SURE=false
for argument in "$@"; do
  case $argument in
    --dry-run) DRY_RUN=true ;;
    --yes) SURE=true ;;
    -h | --help) sed -n '2,3s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit ;;
    *) printf 'remove: %s is no option; see --help\n' "$argument" >&2; exit 64 ;;
  esac
done
# shellcheck source=deploy/settings.sh
source "$HERE/settings.sh"
# shellcheck source=deploy/lib.sh
source "$HERE/lib.sh"
if [[ $DRY_RUN == false && $SURE == false ]]; then
  read -r -p "This removes all tasks and secrets of $PREFIX in $PROJECT_ID. Type $PREFIX to go on: " answer
  [[ $answer == "$PREFIX" ]] || fail 'nothing was removed'
fi

# gone <describe command …> -- <delete command …>: one that cannot be removed yet does not keep the rest.
left=0
gone() {
  local -a look=()
  while [[ $1 != -- ]]; do look+=("$1"); shift; done
  shift
  if [[ $DRY_RUN == true ]] || exists "${look[@]}"; then change "$@" || left=$((left + 1)); fi
}

# Rights first, where the resource outlives the account; those on what is removed go with it.
revoke() {
  local held
  held=$(ask "$1" projects get-iam-policy "$PROJECT_ID" --flatten='bindings[].members' \
    --filter="bindings.role=$1 AND bindings.members=$2" --format='value(bindings.role)') || held=''
  if [[ $held == *"$1"* ]]; then
    change projects remove-iam-policy-binding "$PROJECT_ID" --role="$1" --member="$2" --condition=None --format=none
  fi
}
for name in api worker dispatcher migrator; do
  revoke roles/alloydb.client "$(service_account $name)"
  revoke roles/serviceusage.serviceUsageConsumer "$(service_account $name)"
done
for name in api worker dispatcher; do
  for role in telemetry.tracesWriter telemetry.metricsWriter; do revoke "roles/$role" "$(service_account $name)"; done
done
revoke roles/aiplatform.user "$(service_account worker)"
for role in run.developer logging.logWriter ondemandscanning.admin; do revoke "roles/$role" "$(service_account build)"; done

# each <list …> -- <delete …>: what has no name that is known before.
each() {
  local -a look=()
  while [[ $1 != -- ]]; do look+=("$1"); shift; done
  shift
  local name
  while read -r name; do
    if [[ -n $name ]]; then change "$@" "$name" </dev/null || left=$((left + 1)); fi
  done < <(ask NAME "${look[@]}" || true)
}
each alpha monitoring policies list --filter="userLabels.app=\"$PREFIX\"" --format='value(name)' -- alpha monitoring policies delete
each monitoring dashboards list --filter="displayName=\"$PREFIX\"" --format='value(name.basename())' -- monitoring dashboards delete
each beta monitoring channels list --filter="userLabels.app=\"$PREFIX\"" --format='value(name)' -- beta monitoring channels delete

gone scheduler jobs describe "$PREFIX-reconcile" --location="$REGION" -- scheduler jobs delete "$PREFIX-reconcile" --location="$REGION"
for name in api grpc dispatcher worker; do
  gone run services describe "$PREFIX-$name" --region="$REGION" -- run services delete "$PREFIX-$name" --region="$REGION"
done
gone beta run worker-pools describe "$PREFIX-worker" --region="$REGION" -- beta run worker-pools delete "$PREFIX-worker" --region="$REGION"
gone run jobs describe "$PREFIX-migrate" --region="$REGION" -- run jobs delete "$PREFIX-migrate" --region="$REGION"
gone tasks queues describe "$PREFIX-webhooks" --location="$REGION" -- tasks queues delete "$PREFIX-webhooks" --location="$REGION"
for name in turns-worker turns-dead-worker; do
  gone pubsub subscriptions describe "$PREFIX-$name" -- pubsub subscriptions delete "$PREFIX-$name"
done
for name in turns turns-dead; do
  gone pubsub topics describe "$PREFIX-$name" -- pubsub topics delete "$PREFIX-$name"
done
for name in alloy_db_user alloy_db_pass alloy_db_admin_pass "$PREFIX-encryption-keys" "$PREFIX-webhook-signing-keys" \
  "$PREFIX-webhook-public-keys"; do
  gone secrets describe "$name" -- secrets delete "$name"
done
gone artifacts repositories describe "$PREFIX" --location="$REGION" -- artifacts repositories delete "$PREFIX" --location="$REGION"
gone storage buckets describe "gs://$BUILD_BUCKET" -- storage rm --recursive "gs://$BUILD_BUCKET"
for name in api worker dispatcher migrator build tasks scheduler push; do
  gone iam service-accounts describe "$(account $name)" -- iam service-accounts delete "$(account $name)"
done
if [[ -z $DATABASE_HOST ]]; then # a cluster that was there before stays
  gone alloydb clusters describe "$ALLOYDB_CLUSTER" --region="$REGION" -- alloydb clusters delete "$ALLOYDB_CLUSTER" --region="$REGION" --force
  gone compute addresses describe "$PREFIX-database" --global -- compute addresses delete "$PREFIX-database" --global
fi
for name in database nothing-else; do
  gone compute firewall-rules describe "$PREFIX-$name" -- compute firewall-rules delete "$PREFIX-$name"
done
gone compute networks subnets describe "$PREFIX" --region="$REGION" -- compute networks subnets delete "$PREFIX" --region="$REGION"
gone compute networks describe "$PREFIX" -- compute networks delete "$PREFIX"
if ((left > 0)); then fail "$left of them could not be removed yet: run it again in an hour"; fi
say 'nothing is left'
