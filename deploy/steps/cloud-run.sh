# Sets the variables of the manifests, for the steps that apply them. Secrets are pinned to a version.
[[ -n $API_IMAGE ]] || API_IMAGE=$(newest_image api)
[[ -n $WORKER_IMAGE ]] || WORKER_IMAGE=$(newest_image worker)
[[ $API_IMAGE == *@sha256:* && $WORKER_IMAGE == *@sha256:* ]] ||
  fail "API_IMAGE and WORKER_IMAGE must be images by digest (…@sha256:…): run the step images"
if [[ -z $DATABASE_HOST ]]; then
  DATABASE_HOST=$(query 10.21.0.2 alloydb instances describe "$ALLOYDB_INSTANCE" --cluster="$ALLOYDB_CLUSTER" \
    --region="$REGION" --format='value(ipAddress)') || fail "AlloyDB has no instance $ALLOYDB_INSTANCE: run the step alloydb"
fi
USER_VERSION=$(secret_version alloy_db_user)
PASSWORD_VERSION=$(secret_version alloy_db_pass)
ADMIN_PASSWORD_VERSION=$(secret_version alloy_db_admin_pass)
PLANNED_CONNECTIONS=$(planned_connections)
