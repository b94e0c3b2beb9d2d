# Enables the required APIs in one call. iamcredentials is for tokens of the account that tries the api, cloudresourcemanager for
# Terraform.
apis=(run alloydb servicenetworking compute pubsub cloudtasks cloudscheduler secretmanager aiplatform artifactregistry
  cloudbuild ondemandscanning containeranalysis iam iamcredentials cloudresourcemanager serviceusage telemetry monitoring cloudtrace)
enabled=$(query '' services list --enabled --format='value(config.name)') || enabled=''
missing=()
for api in "${apis[@]}"; do
  [[ $'\n'$enabled$'\n' == *$'\n'"$api.googleapis.com"$'\n'* ]] || missing+=("$api.googleapis.com")
done
if ((${#missing[@]} > 0)); then
  change services enable "${missing[@]}"
  # Creates Pub/Sub's service agent, which the step pubsub grants rights on the dead-letter topic.
  change beta services identity create --service=pubsub.googleapis.com
fi
