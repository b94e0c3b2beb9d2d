# The APIs that are used, switched on in one call.
apis=(run alloydb servicenetworking compute pubsub cloudtasks cloudscheduler secretmanager aiplatform artifactregistry
  cloudbuild ondemandscanning iam serviceusage telemetry monitoring cloudtrace)
enabled=$(ask '' services list --enabled --format='value(config.name)') || enabled=''
missing=()
for api in "${apis[@]}"; do
  [[ $'\n'$enabled$'\n' == *$'\n'"$api.googleapis.com"$'\n'* ]] || missing+=("$api.googleapis.com")
done
if ((${#missing[@]} > 0)); then
  change services enable "${missing[@]}"
  # Pub/Sub's own account, which is given rights on the dead letters, is made with its first use, or here.
  change beta services identity create --service=pubsub.googleapis.com
fi
