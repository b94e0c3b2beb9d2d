# The services, their callers, and the schedule that triggers the reconciler.
source "$HERE/steps/cloud-run.sh"
apply dispatcher run services describe "$PREFIX-dispatcher" --region="$REGION" -- run services replace --region="$REGION"
if [[ $WORKER_MODE == push ]]; then
  apply worker-push run services describe "$PREFIX-worker" --region="$REGION" -- run services replace --region="$REGION"
else
  find_worker_pools
  apply worker "${WORKER_POOLS[@]}" describe "$PREFIX-worker" --region="$REGION" -- "${WORKER_POOLS[@]}" replace
fi
apply api run services describe "$PREFIX-api" --region="$REGION" -- run services replace --region="$REGION"

grant_listed service
services=("$PREFIX-api")
if ((GRPC_MAX > 0)); then
  apply grpc run services describe "$PREFIX-grpc" --region="$REGION" -- run services replace --region="$REGION"
  services+=("$PREFIX-grpc")
fi
IFS=, read -r -a invokers <<<"$API_INVOKERS"
for service in "${services[@]}"; do
  for member in "${invokers[@]}"; do
    grant roles/run.invoker "$member" run services "$service" --region="$REGION"
  done
done
# Lost wake-ups are found within a minute, even if all services are scaled to zero.
ensure scheduler jobs describe "$PREFIX-reconcile" --location="$REGION" -- \
  scheduler jobs create http "$PREFIX-reconcile" --location="$REGION" --schedule='* * * * *' \
  --uri="$DISPATCHER_URL/reconcile" --http-method=POST --attempt-deadline=60s \
  --oidc-service-account-email="$(account scheduler)" --oidc-token-audience="$DISPATCHER_URL"
