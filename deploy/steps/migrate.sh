# The schema, before the code that needs it: a job, waited for. Each migration works with the code before it.
source "$HERE/steps/cloud-run.sh"
apply migrate run jobs describe "$PREFIX-migrate" --region="$REGION" -- run jobs replace --region="$REGION"
executed=$(ask '' run jobs executions list --job="$PREFIX-migrate" --region="$REGION" --limit=1 \
  --filter="spec.template.spec.containers.image=$WORKER_IMAGE AND status.succeededCount=1" --format='value(metadata.name)') || executed=''
if [[ -z $executed ]]; then change run jobs execute "$PREFIX-migrate" --region="$REGION" --wait; fi
