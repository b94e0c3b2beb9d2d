# A receiver of webhooks, to try the deployment with: it verifies what it gets with the public keys of this deployment,
# logs it, and answers deploy/smoke.sh. Anyone may call it, as any other receiver. Not among the default steps.
source "$HERE/steps/cloud-run.sh"
ensure iam service-accounts describe "$(account receiver)" -- \
  iam service-accounts create "$PREFIX-receiver" --display-name='Receives webhooks, to try the deployment'
grant_listed secret receiver
await_grants
apply receiver run services describe "$PREFIX-receiver" --region="$REGION" -- run services replace --region="$REGION"
set_invokers "$PREFIX-receiver" allUsers
say "receiver: $RECEIVER_URL"
