# One service account for each component, so that each gets only the rights that it needs.
declare -A purposes=(
  [api]='API' [worker]='Worker' [dispatcher]='Webhook dispatcher' [migrator]='Migrations'
  [check]='Tests' [build]='Builds images' [deploy]='Deploys images'
  [tasks]='Cloud Tasks, calls the dispatcher' [scheduler]='Cloud Scheduler, calls the dispatcher'
  [push]='Pub/Sub, calls the worker'
)
for name in api worker dispatcher migrator check build deploy tasks scheduler push; do
  ensure iam service-accounts describe "$(account $name)" -- \
    iam service-accounts create "$PREFIX-$name" --display-name="${purposes[$name]}"
done

# Granted on the project, because these roles have no narrower resource; docs/deploy.md explains each.
for name in api worker dispatcher migrator; do
  grant roles/alloydb.client "$(service_account $name)" projects "$PROJECT_ID"
  grant roles/serviceusage.serviceUsageConsumer "$(service_account $name)" projects "$PROJECT_ID"
done
for name in api worker dispatcher; do
  grant roles/telemetry.tracesWriter "$(service_account $name)" projects "$PROJECT_ID"
  grant roles/telemetry.metricsWriter "$(service_account $name)" projects "$PROJECT_ID"
done
grant roles/aiplatform.user "$(service_account worker)" projects "$PROJECT_ID"
for name in check build deploy; do
  grant roles/logging.logWriter "$(service_account $name)" projects "$PROJECT_ID"
done
grant roles/run.developer "$(service_account deploy)" projects "$PROJECT_ID"
grant roles/ondemandscanning.admin "$(service_account build)" projects "$PROJECT_ID"

# Cloud Tasks calls the dispatcher as the account "tasks". Services that create tasks must be able to act as it.
for name in api worker dispatcher; do
  grant roles/iam.serviceAccountUser "$(service_account $name)" iam service-accounts "$(account tasks)"
done
# The deployment creates revisions that run as these accounts.
for name in api worker dispatcher migrator; do
  grant roles/iam.serviceAccountUser "$(service_account deploy)" iam service-accounts "$(account $name)"
done
