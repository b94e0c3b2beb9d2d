#!/usr/bin/env bash
# Deletes everything that deploy.sh and its guide created, including the data. Asks for confirmation unless --yes is given.
# --dry-run only prints the commands. AlloyDB may keep the network in use for a while: then run the script again.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DRY_RUN=false
CONFIRMED=false
for argument in "$@"; do
  case $argument in
    --dry-run) DRY_RUN=true ;;
    --yes) CONFIRMED=true ;;
    -h | --help) sed -n '2,3s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit ;;
    *) printf 'remove: %s is not a valid option; see --help\n' "$argument" >&2; exit 64 ;;
  esac
done
# shellcheck source=deploy/settings.sh
source "$HERE/settings.sh"
# shellcheck source=deploy/lib/common.sh
source "$HERE/lib/common.sh"
check_settings
# Clusters have no labels, so the name says whose one is: longhaul-staging and longhaul-staging-restored belong to the prefix
# longhaul-staging, if there is such a deployment.
if owns_cluster; then
  other=$ALLOYDB_CLUSTER
  while [[ $other != "$PREFIX" ]]; do
    found=$(query '' run services list --region="$REGION" --filter="metadata.name=$other-api" --format='value(metadata.name)') ||
      fail "the services of $REGION cannot be listed, so this cannot tell whose cluster $ALLOYDB_CLUSTER is. Nothing was deleted"
    if [[ -n $found ]]; then
      fail "the cluster $ALLOYDB_CLUSTER belongs to another deployment, PREFIX=$other. Set ALLOYDB_CLUSTER to that of $PREFIX. Nothing was deleted"
    fi
    other=${other%-*}
  done
fi
if [[ $DRY_RUN == false && $CONFIRMED == false ]]; then
  read -r -p "This deletes all tasks and secrets of $PREFIX in $PROJECT_ID. Type $PREFIX to continue: " answer
  [[ $answer == "$PREFIX" ]] || fail 'cancelled; nothing was deleted'
fi

# delete_if_exists <describe command …> -- <delete command …>: counts failures and continues.
remaining=0
delete_if_exists() {
  local -a describe=()
  while [[ $1 != -- ]]; do describe+=("$1"); shift; done
  shift
  if [[ $DRY_RUN == true ]] || exists "${describe[@]}"; then change "$@" || remaining=$((remaining + 1)); fi
}

# detach_range <name>: takes a range from the private services access of a network that stays.
detach_range() {
  local access=(--network="$NETWORK" --service=servicenetworking.googleapis.com) ranges
  ranges=$(query "$1" services vpc-peerings list "${access[@]}" --format='value(reservedPeeringRanges.list())') || ranges=''
  case ",$ranges," in
    ",$1,") change services vpc-peerings delete "${access[@]}" || remaining=$((remaining + 1)) ;;
    *",$1,"*)
      ranges=,$ranges, ranges=${ranges/",$1,"/,} ranges=${ranges#,} ranges=${ranges%,}
      # The flag is required to remove a range.
      change services vpc-peerings update "${access[@]}" --ranges="$ranges" --force || remaining=$((remaining + 1))
      ;;
  esac
}

# Bindings on the project come first, because it outlives the accounts. Others are deleted with their resource.
revoke() {
  local held=0
  if [[ $DRY_RUN == false ]]; then has_binding "$1" "$2" projects get-iam-policy "$PROJECT_ID" || held=$?; fi
  case $held in
    0) change projects remove-iam-policy-binding "$PROJECT_ID" --role="$1" --member="$2" --condition=None --format=none ;;
    2) remaining=$((remaining + 1)) ;;
  esac
}
while read -r account role kind _ <&3; do
  if [[ $kind == project && $account != \#* ]]; then revoke "$role" "$(member "$account")"; fi
done 3<"$HERE/lib/access.txt"

# delete_listed <list command …> -- <delete command …>: for resources with generated names.
delete_listed() {
  local -a list=()
  while [[ $1 != -- ]]; do list+=("$1"); shift; done
  shift
  local name
  while read -r name || [[ -n $name ]]; do
    if [[ -n $name ]]; then change "$@" "$name" </dev/null || remaining=$((remaining + 1)); fi
  done < <(query NAME "${list[@]}" || true)
}
delete_listed alpha monitoring policies list --filter="userLabels.app=\"$PREFIX\"" --format='value(name)' -- alpha monitoring policies delete
delete_listed monitoring dashboards list --filter="displayName=\"$PREFIX\"" --format='value(name.basename())' -- monitoring dashboards delete
delete_listed beta monitoring channels list --filter="userLabels.app=\"$PREFIX\"" --format='value(name)' -- beta monitoring channels delete

delete_if_exists scheduler jobs describe "$PREFIX-reconcile" --location="$REGION" -- scheduler jobs delete "$PREFIX-reconcile" --location="$REGION"
for name in api grpc dispatcher worker receiver; do
  delete_if_exists run services describe "$PREFIX-$name" --region="$REGION" -- run services delete "$PREFIX-$name" --region="$REGION"
done
if has_worker_pools; then
  delete_if_exists "${WORKER_POOLS[@]}" describe "$PREFIX-worker" --region="$REGION" -- "${WORKER_POOLS[@]}" delete "$PREFIX-worker" --region="$REGION"
else
  say "this gcloud has no commands for worker pools: a pool $PREFIX-worker stays until gcloud is updated, and this script is run again"
  # With push workers there is a pool only if the mode was changed.
  if [[ $WORKER_MODE == pull ]]; then remaining=$((remaining + 1)); fi
fi
delete_if_exists run jobs describe "$PREFIX-migrate" --region="$REGION" -- run jobs delete "$PREFIX-migrate" --region="$REGION"
delete_if_exists tasks queues describe "$PREFIX-webhooks" --location="$REGION" -- tasks queues delete "$PREFIX-webhooks" --location="$REGION"
for name in turns-worker turns-dead-worker; do
  delete_if_exists pubsub subscriptions describe "$PREFIX-$name" -- pubsub subscriptions delete "$PREFIX-$name"
done
for name in turns turns-dead; do
  delete_if_exists pubsub topics describe "$PREFIX-$name" -- pubsub topics delete "$PREFIX-$name"
done
# By their label: a secret with such a name that was created by hand stays.
delete_listed secrets list --filter="labels.app=$PREFIX" --format='value(name.basename())' -- secrets delete
delete_if_exists artifacts repositories describe "$PREFIX" --location="$REGION" -- artifacts repositories delete "$PREFIX" --location="$REGION"
delete_if_exists storage buckets describe "gs://$BUILD_BUCKET" -- storage rm --recursive "gs://$BUILD_BUCKET"
# The account caller and the triggers are those of docs/operate/deploy.md.
for name in api worker dispatcher migrator check build deploy tasks scheduler push receiver caller; do
  delete_if_exists iam service-accounts describe "$(account $name)" -- iam service-accounts delete "$(account $name)"
done
for name in check images deploy; do
  delete_if_exists builds triggers describe "$PREFIX-$name" --region="${BUILD_REGION:-$REGION}" -- builds triggers delete "$PREFIX-$name" --region="${BUILD_REGION:-$REGION}"
done
if [[ $DATABASE_CONNECTION == psc && -z $DATABASE_HOST ]]; then
  delete_if_exists compute forwarding-rules describe "$PREFIX-database" --region="$REGION" -- compute forwarding-rules delete "$PREFIX-database" --region="$REGION"
  delete_if_exists compute addresses describe "$PREFIX-database" --region="$REGION" -- compute addresses delete "$PREFIX-database" --region="$REGION"
fi
if owns_cluster; then
  delete_if_exists alloydb clusters describe "$ALLOYDB_CLUSTER" --region="$REGION" -- alloydb clusters delete "$ALLOYDB_CLUSTER" --region="$REGION" --force
  if [[ $DATABASE_CONNECTION != psc && -z $DATABASE_RANGE_NAME ]]; then
    if [[ $NETWORK != "$PREFIX" ]]; then
      detach_range "$PREFIX-database"
    else
      # A network with a peering cannot be deleted.
      peering=$(query peering services vpc-peerings list --network="$NETWORK" --format='value(peering)') || peering=''
      if [[ -n $peering ]]; then
        change compute networks peerings delete servicenetworking-googleapis-com --network="$NETWORK" || remaining=$((remaining + 1))
      fi
    fi
    delete_if_exists compute addresses describe "$PREFIX-database" --global -- compute addresses delete "$PREFIX-database" --global
  fi
else
  say 'keeping the database, which deploy.sh did not create'
fi
# The rule endpoint is that of docs/operate/deploy.md.
for name in database google-apis endpoint nothing-else; do
  delete_if_exists compute firewall-rules describe "$PREFIX-$name" -- compute firewall-rules delete "$PREFIX-$name"
done
if [[ $SUBNET == "$PREFIX" ]]; then
  delete_if_exists compute networks subnets describe "$SUBNET" --region="$REGION" -- compute networks subnets delete "$SUBNET" --region="$REGION"
fi
if [[ $NETWORK == "$PREFIX" ]]; then
  delete_if_exists compute networks describe "$NETWORK" -- compute networks delete "$NETWORK"
fi
if ((remaining > 0)); then fail "$remaining resources could not be deleted yet: run remove.sh again later"; fi
if [[ $DRY_RUN == true ]]; then say 'a dry run: nothing was deleted'; else say 'everything was deleted'; fi
