# The smoke test of a release: what it needs, by the modes in which the api authenticates its callers.
# shellcheck shell=bash

# read_api: sets API_MODES to the modes of the api, API_URL to the audience of its identity tokens, and NEXT_URL to that of the revision without traffic.
read_api() {
  local json lines
  json=$(ask "$(seen_api)" run services describe "$PREFIX-api" --region="$REGION" --format=json) ||
    fail "$PREFIX-api cannot be read: run deploy/deploy.sh first"
  lines=$(python3 -S -c '
import json, sys
found = json.load(sys.stdin)
containers = found.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])
env = {each["name"]: each.get("value", "") for one in containers if one.get("name", "service") == "service" for each in one.get("env", [])}
print(env.get("AUTH_MODES", ""))
print(env.get("CLOUD_RUN_AUDIENCE", "").split(",")[0])
print(next((each.get("url", "") for each in found["status"].get("traffic", []) if each.get("tag") == "next"), ""))
' <<<"$json") || fail "the state of $PREFIX-api cannot be read"
  { read -r API_MODES; read -r API_URL; read -r NEXT_URL; } <<<"$lines" || true
}

# A dry run sees the modes of the settings.
seen_api() {
  printf '{"spec":{"template":{"spec":{"containers":[{"env":[{"name":"AUTH_MODES","value":"%s"},{"name":"CLOUD_RUN_AUDIENCE","value":"https://API"}]}]}}},
    "status":{"traffic":[{"tag":"next","url":"https://NEXT"}]}}' "$API_AUTH_MODES"
}

# Whether the smoke test sends a credential that Google does not issue to the account that deploys.
needs_secret() { [[ ! ",$1," =~ ,(none|cloud-run-iam|google-oauth)?, ]]; }

# check_smoke: refuses a release that could not be tried, and would therefore never be promoted.
check_smoke() {
  read_api
  if ! needs_secret "$API_MODES" || [[ -n $SMOKE_SECRET ]]; then return; fi
  fail "$PREFIX-api authenticates its callers by $API_MODES, and the smoke test has no credential. Nothing was changed. Set SMOKE_SECRET to the name of a secret with an API key, or with a token of the issuer, and run deploy/deploy.sh secrets: see docs/operate/deploy.md under \"Smoke test\""
}

# check_closed: refuses a release while anyone may call a service that relies on the check of Cloud Run.
check_closed() {
  local name modes member
  for name in "${targets[@]}"; do
    if [[ $name == "$pool" ]]; then continue; fi
    modes=cloud-run-iam
    if [[ $name =~ -(api|grpc)$ ]]; then modes=${API_MODES:-none}; fi
    if ! relies_on_cloud_run "$modes"; then continue; fi
    read_invokers "$name"
    if ! is_open "$modes"; then continue; fi
    local -a commands=()
    if [[ $CHECKED == false ]]; then commands+=("gcloud run services update $name --region=$REGION --invoker-iam-check"); fi
    for member in "${INVOKERS[@]}"; do
      if [[ $member == allUsers || ($member == allAuthenticatedUsers && $modes == none) ]]; then
        commands+=("gcloud run services remove-iam-policy-binding $name --region=$REGION --role=roles/run.invoker --member=$member")
      fi
    done
    fail "anyone may call $name, which believes what Cloud Run says about its callers. Nothing was changed. Close it first:$(printf '\n  %s' "${commands[@]}")"
  done
}

# run_smoke: tries the revision without traffic. The tokens are those of the account that deploys.
run_smoke() {
  local credential receiver
  local -a as=(--impersonate-service-account="$(account deploy)")
  check_smoke
  [[ -n $NEXT_URL ]] || fail "$PREFIX-api has no revision with the tag next: run the step prepare first"
  SMOKE_INVOKER=$(ask TOKEN auth print-identity-token --audiences="$API_URL" --include-email "${as[@]}") ||
    fail "no identity token of $(account deploy): its creation needs roles/iam.serviceAccountTokenCreator on that account"
  if [[ ",$API_MODES," == *,google-oauth,* ]]; then
    SMOKE_TOKEN=$(ask TOKEN auth print-access-token "${as[@]}") || fail "no access token of $(account deploy)"
  elif needs_secret "$API_MODES"; then
    credential=$(ask KEY secrets versions access latest --secret="$SMOKE_SECRET") ||
      fail "the secret $SMOKE_SECRET cannot be read: run SMOKE_SECRET=$SMOKE_SECRET deploy/deploy.sh secrets"
    if [[ $credential == eyJ*.*.* ]]; then SMOKE_TOKEN=$credential; else SMOKE_API_KEY=$credential; fi
  fi
  # The step receiver of deploy.sh is optional. The receiver accepts only webhooks to its last argument, --address: status.url may
  # be another one of its addresses.
  receiver=$(query '' run services describe "$PREFIX-receiver" --region="$REGION" --format='value(spec.template.spec.containers[0].args)') || receiver=''
  receiver=${receiver##*;}
  show deploy/smoke.sh "$NEXT_URL" ${receiver:+"$receiver"}
  if [[ $DRY_RUN == true ]]; then return; fi
  export SMOKE_INVOKER SMOKE_TOKEN SMOKE_API_KEY
  bash "$HERE/smoke.sh" "$NEXT_URL" ${receiver:+"$receiver"} ||
    fail "the new revision did not pass the smoke test. The revisions before continue to serve"
}
