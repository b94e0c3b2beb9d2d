# Runs the migration job and waits for it, before the services are deployed. Each migration is compatible with
# the previous code. It runs each time, and does nothing if there is nothing to do: commands for operators run in the same job, so an
# execution that succeeded does not say that the migration did.
source "$HERE/steps/cloud-run.sh"
show_variables migrate
# The label of the step contract of rollout.sh, which a manifest without it would remove. Listed, because a job that does not exist then gives nothing.
CONTRACTED=$(ask '' run jobs list --region="$REGION" --filter="metadata.name=$PREFIX-migrate" \
  --format='value(metadata.labels.longhaul-contracted)') || fail "the jobs of $REGION cannot be listed"
apply migrate run jobs describe "$PREFIX-migrate" --region="$REGION" -- run jobs replace --region="$REGION"
change run jobs execute "$PREFIX-migrate" --region="$REGION" --wait
