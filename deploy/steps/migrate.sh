# Runs the migration job and waits for it, before the services are deployed. Each migration is compatible with
# the previous code. A job that has run with its present manifest, so with this image on this database, does not run again.
source "$HERE/steps/cloud-run.sh"
apply migrate run jobs describe "$PREFIX-migrate" --region="$REGION" -- run jobs replace --region="$REGION"
executed=$(query '' run jobs executions list --job="$PREFIX-migrate" --region="$REGION" --limit=1 \
  --filter="metadata.labels.longhaul-manifest=$MANIFEST AND status.succeededCount=1" --format='value(metadata.name)') || executed=''
if [[ -z $executed ]]; then change run jobs execute "$PREFIX-migrate" --region="$REGION" --wait; fi
