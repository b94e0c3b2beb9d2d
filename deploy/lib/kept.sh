# Settings that decide who may call, what is encrypted, and where the services and their database are. A run that lacks one of those
# that were deployed would replace it by the default, so it is refused.
# shellcheck shell=bash

# is_given <name>: whether a setting is in the environment, and not a default of settings.sh.
is_given() { [[ $(declare -p "$1") =~ ^declare\ -[A-Za-z]*x ]]; }

# check_kept [early]: compares the settings that are not in the environment with those of the api that is deployed. Early, before any
# step, the API of Cloud Run may be missing, and there is nothing to compare.
check_kept() {
  local found lines name value modes='' get=ask
  local -a lost=()
  if [[ ${1:-} == early ]]; then get=query; fi
  if ! found=$("$get" '[]' run services list --region="$REGION" --filter="metadata.name=$PREFIX-api" --format=json); then
    if [[ $get == query ]]; then return; fi
    fail "the services of $REGION cannot be listed"
  fi
  lines=$(python3 -S -c '
import json, sys
found = json.load(sys.stdin)
if not found:
    sys.exit()
template = found[0]["spec"]["template"]
containers = template["spec"]["containers"]
by_name = {each.get("name", "service"): each for each in containers}
env = {each["name"]: each.get("value", "") for each in by_name["service"].get("env", [])}
secret = lambda name: (env.get(name, "").split("/") + [""] * 6)[5]
audience = env.get("GOOGLE_OAUTH_AUDIENCE", "").split(",")
proxy = by_name.get("alloydb-auth-proxy")
interfaces = template.get("metadata", {}).get("annotations", {}).get("run.googleapis.com/network-interfaces", "[{}]")
network = json.loads(interfaces)[0]
kept = {
    "API_AUTH_MODES": env.get("AUTH_MODES", ""),
    "API_JWT_ISSUER": env.get("JWT_ISSUER", ""),
    "API_JWT_AUDIENCE": env.get("JWT_AUDIENCE", ""),
    # Without the account of the smoke test, whose id is the last one, and a number.
    "API_OAUTH_AUDIENCE": ",".join(audience if audience[-1].strip("0123456789") else audience[:-1]),
    "API_KEYS_SECRET": secret("API_KEYS"),
    "CONTENT_KMS_KEY": env.get("CONTENT_KMS_KEY", ""),
    "CONTENT_KEY_STORE": env.get("CONTENT_KEY_STORE", ""),
    "NETWORK": network.get("network", ""),
    "SUBNET": network.get("subnetwork", ""),
    "DATABASE_NAME": env.get("DATABASE_NAME", ""),
}
if proxy:
    kept["DATABASE_CONNECTION"] = "public" if "--public-ip" in proxy.get("args", []) else "proxy"
else:
    kept["DATABASE_SSL"] = env.get("DATABASE_SSL", "")
    kept["DATABASE_SSL_CA_SECRET"] = secret("DATABASE_SSL_CA")
    kept["DATABASE_HOST"] = env.get("DATABASE_HOST", "")
print("\n".join("%s=%s" % each for each in kept.items()))
' <<<"$found") || fail "the settings of $PREFIX-api cannot be read"
  if [[ -z $lines ]]; then return; fi
  read_invokers "$PREFIX-api"
  lines+=$'\n'"API_INVOKERS=$(other_invokers)"
  while IFS== read -r name value; do
    if [[ $name == API_AUTH_MODES ]]; then modes=$value; fi
    # A setting that only another mode needs may go with it.
    if [[ $name =~ ^API_(JWT|OAUTH|KEYS)_ && $modes != "$API_AUTH_MODES" ]] && is_given API_AUTH_MODES; then continue; fi
    if is_given "$name" || [[ ${!name} == "$value" ]]; then continue; fi
    if [[ $name == DATABASE_HOST ]] && is_own_address "$value"; then continue; fi
    lost+=("$(printf '%s=%q' "$name" "$value")")
  done <<<"$lines"
  if ((${#lost[@]} == 0)); then return; fi
  fail "$PREFIX-api was deployed with settings that are not in the environment, and this run would replace them by defaults. Nothing was changed. To keep them:
  export ${lost[*]}
To change one, export its new value, which may be empty"
}

# is_own_address <address>: whether it is that of the cluster of the settings. With another cluster or connection, it changes.
is_own_address() {
  local own
  if is_given ALLOYDB_CLUSTER || is_given DATABASE_CONNECTION; then return; fi
  own=$(query '' alloydb instances describe "$ALLOYDB_INSTANCE" --cluster="$ALLOYDB_CLUSTER" --region="$REGION" --format='value(ipAddress)') || own=''
  [[ $1 == "$own" ]]
}

# Prints the invokers that access.txt does not list, with commas: those of API_INVOKERS.
other_invokers() {
  local member listed
  local -a others=()
  listed=$(listed_invokers api)
  if [[ $PUBLIC == true ]]; then others=(allUsers); fi
  for member in "${INVOKERS[@]}"; do
    if [[ $member != allUsers && $'\n'$listed$'\n' != *$'\n'"$member"$'\n'* ]]; then others+=("$member"); fi
  done
  (IFS=,; printf '%s' "${others[*]}")
}
