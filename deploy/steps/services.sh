# The services, their callers, and the schedule that triggers the reconciler.
source "$HERE/steps/cloud-run.sh"
show_variables api worker dispatcher
apply dispatcher run services describe "$PREFIX-dispatcher" --region="$REGION" -- run services replace --region="$REGION"
mapfile -t callers < <(listed_invokers dispatcher)
set_invokers "$PREFIX-dispatcher" "${callers[@]}"
if [[ $WORKER_MODE == push ]]; then
  apply worker-push run services describe "$PREFIX-worker" --region="$REGION" -- run services replace --region="$REGION"
  mapfile -t callers < <(listed_invokers worker)
  set_invokers "$PREFIX-worker" "${callers[@]}"
else
  find_worker_pools
  apply worker "${WORKER_POOLS[@]}" describe "$PREFIX-worker" --region="$REGION" -- "${WORKER_POOLS[@]}" replace
fi
if has API_INVOKERS allAuthenticatedUsers; then say 'anyone with a Google account may call the api, because API_INVOKERS has allAuthenticatedUsers'; fi
names=(api)
if ((GRPC_MAX > 0)); then names+=(grpc); fi
IFS=, read -r -a invokers <<<"$API_INVOKERS"
for name in "${names[@]}"; do
  if relies_on_cloud_run "$API_AUTH_MODES"; then close_service "$PREFIX-$name"; fi
  # Someone may have put a load balancer in front: what is closed is not opened.
  read_invokers "$PREFIX-$name"
  API_INGRESS=$INGRESS
  [[ $API_INGRESS == all ]] || say "$PREFIX-$name keeps the ingress $API_INGRESS, which was set by hand. To open it: gcloud run services update $PREFIX-$name --region=$REGION --ingress=all"
  apply "$name" run services describe "$PREFIX-$name" --region="$REGION" -- run services replace --region="$REGION"
  mapfile -t listed < <(listed_invokers "$name")
  set_invokers "$PREFIX-$name" "${listed[@]}" "${invokers[@]}"
done
# Lost wake-ups are found within a minute, even if all services are scaled to zero.
ensure scheduler jobs describe "$PREFIX-reconcile" --location="$REGION" -- \
  scheduler jobs create http "$PREFIX-reconcile" --location="$REGION" --schedule='* * * * *' \
  --uri="$DISPATCHER_URL/reconcile" --http-method=POST --attempt-deadline=60s \
  --oidc-service-account-email="$(account scheduler)" --oidc-token-audience="$DISPATCHER_URL"
