# Sets the variables of the manifests, for the steps that apply them. Secrets are pinned to a version.
#
# The images that serve stay, unless this run has built others: the newest ones may be of a release that was taken back. The dispatcher
# runs the image of the workers.
if [[ $READY == true ]]; then await_grants; return; fi
check_kept
if [[ $BUILT != true ]]; then
  if [[ -z $WORKER_IMAGE ]]; then
    WORKER_IMAGE=$(serving_image "$PREFIX-dispatcher")
    newest=worker
    if [[ -n $AGENT_DIR ]]; then newest=agent; elif [[ $IMAGES_FROM == source ]]; then newest=source; fi
    newest=$(newest_image "$newest")
    if [[ -n $WORKER_IMAGE && -n $newest && $newest != "$WORKER_IMAGE" ]]; then
      say "the images that serve stay, and not the newest ($newest): to deploy that, use deploy/release.sh, or set API_IMAGE and WORKER_IMAGE"
    fi
  fi
  [[ -n $API_IMAGE || -n $AGENT_DIR || $IMAGES_FROM == source ]] || API_IMAGE=$(serving_image "$PREFIX-api")
fi
if [[ -n $AGENT_DIR ]]; then
  [[ -n $WORKER_IMAGE ]] || WORKER_IMAGE=$(newest_image agent)
  API_IMAGE=$WORKER_IMAGE
fi
if [[ $IMAGES_FROM == source ]]; then
  [[ -n $WORKER_IMAGE ]] || WORKER_IMAGE=$(newest_image source)
  API_IMAGE=$WORKER_IMAGE
fi
[[ -n $API_IMAGE ]] || API_IMAGE=$(newest_image api)
[[ -n $WORKER_IMAGE ]] || WORKER_IMAGE=$(newest_image worker)
[[ $API_IMAGE == *@sha256:* && $WORKER_IMAGE == *@sha256:* ]] ||
  fail "API_IMAGE and WORKER_IMAGE must be images by digest (…@sha256:…): run the step images"
if [[ -z $WORKER_RELEASE ]]; then
  WORKER_RELEASE=${WORKER_IMAGE##*@sha256:}
  WORKER_RELEASE=${WORKER_RELEASE:0:12}
fi
# The address at which the services find the database. DATABASE_HOST stays as it is: with it, the other steps leave the database alone.
DATABASE_ADDRESS=$DATABASE_HOST
case $DATABASE_CONNECTION in
  proxy | public) DATABASE_ADDRESS=127.0.0.1 ;;
  private)
    if [[ -z $DATABASE_ADDRESS ]]; then
      DATABASE_ADDRESS=$(query 10.21.0.2 alloydb instances describe "$ALLOYDB_INSTANCE" --cluster="$ALLOYDB_CLUSTER" \
        --region="$REGION" --format='value(ipAddress)') || fail "AlloyDB has no instance $ALLOYDB_INSTANCE: run the step alloydb"
    fi
    ;;
  psc)
    if [[ -z $DATABASE_ADDRESS ]]; then
      DATABASE_ADDRESS=$(query 10.20.0.2 compute addresses describe "$PREFIX-database" --region="$REGION" \
        --format='value(address)') || fail "$PREFIX-database has no address: run the step alloydb"
    fi
    ;;
esac
auth_proxy
# The account that deploys is a caller of the smoke test, by an access token, which names the id of the account as its client.
OAUTH_AUDIENCE=$API_OAUTH_AUDIENCE
if [[ ",$API_AUTH_MODES," == *,google-oauth,* ]]; then
  OAUTH_AUDIENCE+=,$(query 100000000000000000001 iam service-accounts describe "$(account deploy)" --format='value(uniqueId)') ||
    fail "there is no account $(account deploy): run the step accounts"
fi
for name in api worker dispatcher; do
  # Assigned first: `declare` would hide a failure.
  user=$(secret_version "${SECRET_PREFIX}alloy_db_user_$name")
  password=$(secret_version "${SECRET_PREFIX}alloy_db_pass_$name")
  declare "${name^^}_USER_VERSION=$user" "${name^^}_PASSWORD_VERSION=$password"
done
ADMIN_PASSWORD_VERSION=$(secret_version "${SECRET_PREFIX}alloy_db_admin_pass")
PLANNED_CONNECTIONS=$(planned_connections)

# Variables of the services, as lines of their manifests.
API_EXTRA=$(variable_lines api '            ')
DISPATCHER_EXTRA=$(variable_lines dispatcher '            ')
MIGRATE_EXTRA=$(variable_lines migrate '                ')
WORKER_EXTRA=$(variable_lines worker '            ')$'\n'
IFS=, read -r -a pairs <<<"$WORKER_SECRETS"
for pair in "${pairs[@]}"; do
  WORKER_EXTRA+="            - name: ${pair%%=*}"$'\n'
  WORKER_EXTRA+="              valueFrom: { secretKeyRef: { name: ${pair#*=}, key: \"$(secret_version "${pair#*=}")\" } }"$'\n'
done
READY=true
await_grants
