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

grant_listed project
grant_listed account
