# Callers of the services. Cloud Run checks the role run.invoker unless that check is off: then anyone may call.
# shellcheck shell=bash

# read_invokers <service>: sets INVOKERS to the members with the role, CHECKED to whether Cloud Run checks it, and PUBLIC to whether
# anyone may call the service, and INGRESS to where requests may come from. A service that does not exist has neither.
read_invokers() {
  local found held
  INVOKERS=() CHECKED='' PUBLIC=false INGRESS=all
  found=$(ask '[]' run services list --region="$REGION" --filter="metadata.name=$1" --format=json) ||
    fail "the services of $REGION cannot be listed"
  [[ $found == *'"metadata"'* ]] || return 0
  CHECKED=true
  if [[ $found =~ googleapis\.com/ingress\":\ *\"([a-z-]+)\" ]]; then INGRESS=${BASH_REMATCH[1]}; fi
  if [[ $found =~ /invoker-iam-disabled\":\ *\"[Tt]rue\" ]]; then CHECKED=false PUBLIC=true; fi
  held=$(ask '' run services get-iam-policy "$1" --region="$REGION" --flatten='bindings[].members' \
    --filter='bindings.role=roles/run.invoker' --format='value(bindings.members)') || fail "who may call $1 cannot be read"
  mapfile -t INVOKERS < <(printf '%s' "$held")
  if [[ " ${INVOKERS[*]} " == *' allUsers '* ]]; then PUBLIC=true; fi
}

revoke_invoker() {
  change run services remove-iam-policy-binding "$1" --region="$REGION" --role=roles/run.invoker --member="$2" --format=none
}

# set_invokers <service> <member …>: lets these members call the service, and no others. For allUsers, the manifest turns the check off: policies
# of an organization mostly refuse that member.
set_invokers() {
  local service=$1 member wanted=true
  shift
  read_invokers "$service"
  if [[ " $* " == *' allUsers '* ]]; then wanted=false; fi
  if [[ -n $CHECKED && $CHECKED != "$wanted" ]]; then
    if [[ $wanted == true ]]; then member=--invoker-iam-check; else member=--no-invoker-iam-check; fi
    change run services update "$service" --region="$REGION" "$member"
  fi
  for member in "${INVOKERS[@]}"; do
    if [[ " $* " != *" $member "* || $member == allUsers ]]; then revoke_invoker "$service" "$member"; fi
  done
  for member in "$@"; do
    if [[ $member != allUsers && " ${INVOKERS[*]} " != *" $member "* ]]; then grant roles/run.invoker "$member" run services "$service" --region="$REGION"; fi
  done
}

# listed_invokers <service>: prints the members of access.txt that call a service, one a line.
listed_invokers() {
  local account role kind resource _
  while read -r account role kind resource _ <&3 || [[ -n $account ]]; do
    if [[ "$role $kind $resource" == "roles/run.invoker service $1" ]]; then printf '%s\n' "$(member "$account")"; fi
  done 3<"$HERE/lib/access.txt"
}

# Whether the api believes what Cloud Run says about its callers, or asks for no credentials at all.
relies_on_cloud_run() { [[ ",$1," =~ ,(none|cloud-run-iam), ]]; }

# is_open <modes>: whether anyone may call the service that read_invokers has read. In the mode none, whose callers share one owner, that
# includes everyone with a Google account.
is_open() { [[ $PUBLIC == true || (",$1," == *,none,* && " ${INVOKERS[*]} " == *' allAuthenticatedUsers '*) ]]; }

# close_service <service>: turns the check on before a revision relies on it, and waits until callers without a token are refused.
close_service() {
  local service=$1 member status deadline=$((SECONDS + ${CLOSE_SECONDS:-600}))
  read_invokers "$service"
  if ! is_open "$API_AUTH_MODES"; then return; fi
  say "anyone may call $service: closing it before a revision relies on the check of Cloud Run"
  if [[ $CHECKED == false ]]; then change run services update "$service" --region="$REGION" --invoker-iam-check; fi
  for member in "${INVOKERS[@]}"; do
    if [[ $member == allUsers || ($member == allAuthenticatedUsers && $API_AUTH_MODES == none) ]]; then revoke_invoker "$service" "$member"; fi
  done
  # Changes of access take minutes until they are in force.
  while :; do
    status=$(curl --silent --output /dev/null --max-time 30 --write-out '%{http_code}' "https://$service-$PROJECT_NUMBER.$REGION.run.app/health/live") || status=''
    if [[ $status == 40[13] ]]; then return; fi
    ((SECONDS < deadline)) || break
    sleep "${GRANT_RETRY_SECONDS:-5}"
  done
  fail "$service still answers callers without a token (status $status), although anyone was revoked: run it again in a few minutes. Its revision was not changed"
}
