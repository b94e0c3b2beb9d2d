# One service account for each that acts, so that each can be given what it needs and no more.
declare -A purposes=(
  [api]='Front door' [worker]='Worker' [dispatcher]='Dispatcher of webhooks' [migrator]='Migrations'
  [build]='Builds and deploys' [tasks]='Cloud Tasks, calling the dispatcher' [scheduler]='Cloud Scheduler, calling the dispatcher'
  [push]='Pub/Sub, calling the worker'
)
for name in api worker dispatcher migrator build tasks scheduler push; do
  ensure iam service-accounts describe "$(account $name)" -- \
    iam service-accounts create "$PREFIX-$name" --display-name="${purposes[$name]}"
done

# Project-wide, because there is no narrower resource: docs/deploy.md gives the reason for each.
for name in api worker dispatcher migrator; do
  grant roles/alloydb.client "$(service_account $name)" projects "$PROJECT_ID"
  grant roles/serviceusage.serviceUsageConsumer "$(service_account $name)" projects "$PROJECT_ID"
done
for name in api worker dispatcher; do
  grant roles/telemetry.tracesWriter "$(service_account $name)" projects "$PROJECT_ID"
  grant roles/telemetry.metricsWriter "$(service_account $name)" projects "$PROJECT_ID"
done
grant roles/aiplatform.user "$(service_account worker)" projects "$PROJECT_ID"
grant roles/run.developer "$(service_account build)" projects "$PROJECT_ID"
grant roles/logging.logWriter "$(service_account build)" projects "$PROJECT_ID"
grant roles/ondemandscanning.admin "$(service_account build)" projects "$PROJECT_ID"

# A Cloud Task carries the identity of the one that calls the dispatcher: whoever makes one must be allowed to use it.
for name in api worker dispatcher; do
  grant roles/iam.serviceAccountUser "$(service_account $name)" iam service-accounts "$(account tasks)"
done
# The build deploys revisions that run as these.
for name in api worker dispatcher migrator; do
  grant roles/iam.serviceAccountUser "$(service_account build)" iam service-accounts "$(account $name)"
done
