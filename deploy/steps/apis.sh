# Enables the required APIs, and checks that the region has the services which not every region has. iamcredentials is for tokens
# of the accounts that try the api, cloudresourcemanager for Terraform; most projects have logging and storage from the start.
apis=(run alloydb servicenetworking compute pubsub cloudtasks cloudscheduler secretmanager aiplatform artifactregistry
  cloudbuild ondemandscanning containeranalysis iam iamcredentials cloudresourcemanager serviceusage telemetry monitoring cloudtrace
  logging storage)
enabled=$(query '' services list --enabled --format='value(config.name)') || enabled=''
missing=()
for api in "${apis[@]}"; do
  [[ $'\n'$enabled$'\n' == *$'\n'"$api.googleapis.com"$'\n'* ]] || missing+=("$api.googleapis.com")
done
# One call enables at most 20.
for ((first = 0; first < ${#missing[@]}; first += 20)); do change services enable "${missing[@]:first:20}"; done

# Pub/Sub's service agent gets rights on the topic of dead letters. A project may have the API without the agent.
held=$(query '' pubsub topics get-iam-policy "$PREFIX-turns-dead" --flatten='bindings[].members' \
  --filter="bindings.role=roles/pubsub.publisher AND bindings.members=$(member pubsub-agent)" --format='value(bindings.role)') || held=''
if [[ -z $held ]]; then change beta services identity create --service=pubsub.googleapis.com; fi

# found_by <what> <list command …>: sets found to what it lists. An API that was enabled a moment ago may refuse for some minutes.
found_by() {
  local what=$1 attempt
  shift
  for attempt in {1..12}; do
    if found=$(ask "$REGION" "$@"); then return; fi
    ((${#missing[@]} > 0)) || break
    say "$what does not answer yet: trying again"
    sleep $((attempt * ${GRANT_RETRY_SECONDS:-5}))
  done
  fail "$what does not answer"
}
check_region() {
  found_by "$@"
  [[ $'\n'$found$'\n' == *$'\n'"$REGION"$'\n'* ]] ||
    fail "$1 is not available in REGION=$REGION: set REGION to one of ${found//$'\n'/ }"
}
check_region 'Cloud Run' run regions list --format='value(locationId)'
check_region 'Cloud Tasks' tasks locations list --format='value(locationId)'
check_region 'Cloud Scheduler' scheduler locations list --format='value(locationId)'
check_region 'Artifact Registry' artifacts locations list --format='value(name)'
# gcloud does not list the regions of AlloyDB.
found_by AlloyDB alloydb clusters list --region="$REGION" --format='value(name)'
found_by 'Compute Engine' compute networks list --format='value(name)'
found_by 'Secret Manager' secrets list --limit=1 --format='value(name)'
found_by Pub/Sub pubsub topics list --limit=1 --format='value(name)'
