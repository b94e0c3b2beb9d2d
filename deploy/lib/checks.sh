# Checks all settings before anything is made, and reports everything that is refused together: each setting by checks.txt, and how
# they fit together.
# shellcheck shell=bash

declare -a PROBLEMS=()
declare -A REFUSED=()

# problem <setting> <text>
problem() { REFUSED[$1]=true; PROBLEMS+=("$2"); }

# read_settings: takes those that are not in the environment from the file SETTINGS_FILE.
read_settings() {
  local name
  local -A settings=()
  if [[ ! -f $SETTINGS_FILE ]]; then return; fi
  parse_variables "$SETTINGS_FILE" "$(<"$SETTINGS_FILE")" settings
  for name in "${!settings[@]}"; do
    is_setting "$name" || problem "$name" "$SETTINGS_FILE has $name, which is not a setting of deploy/settings.sh"
    if [[ ! -v $name ]]; then export "$name=${settings[$name]}"; fi
  done
}

check_settings() {
  local line
  local -A patterns=() accepted=()
  check_variables
  while IFS= read -r line || [[ -n $line ]]; do
    if [[ $line =~ ^kind\ +([a-z]+)\ +([^ ]+)\ +(.*)$ ]]; then
      patterns[${BASH_REMATCH[1]}]=${BASH_REMATCH[2]} accepted[${BASH_REMATCH[1]}]=${BASH_REMATCH[3]}
    elif [[ $line =~ ^([A-Z_]+)\ (optional\ )?(list\ )?([a-z]+)\ ?(.*)$ ]]; then
      check_setting "${BASH_REMATCH[@]:1:5}"
    elif [[ $line =~ ^(needs|refuses)\ ([A-Z_]+)\ ([^ ]+)\ ([A-Z_]+)\ (.*)$ ]]; then
      "check_${BASH_REMATCH[1]}" "${BASH_REMATCH[@]:2:4}"
    elif [[ $line =~ ^at-most\ ([A-Z_]+)\ ([A-Z_]+)$ ]]; then
      check_at_most "${BASH_REMATCH[@]:1:2}"
    elif [[ $line =~ ^named\ ([A-Z_]+)\ ([A-Z_]+)\ (.*)$ ]]; then
      check_named "${BASH_REMATCH[@]:1:3}"
    elif [[ $line =~ ^egress\ ([a-z]+)\ (.*)$ ]]; then
      check_egress "${BASH_REMATCH[@]:1:2}"
    fi
  done <"$HERE/lib/checks.txt"
  check_callers
  check_folder
  check_ranges
  check_sizes
  if ((${#PROBLEMS[@]} == 0)); then return; fi
  fail "these settings are refused, and nothing was made:$(printf '\n  - %s' "${PROBLEMS[@]}")"
}

# check_setting <name> <"optional " or nothing> <"list " or nothing> <kind> <bounds or values>: the value has the pattern of its kind.
check_setting() {
  local value=${!1} kind=$4 pattern text min=0 max=0
  case $kind in
    variables) return ;;
    number) read -r min max <<<"$5"; pattern='0|[1-9][0-9]{0,6}' text="a number from $min to $max" ;;
    choice) pattern=$5 text=${5//|/, }; text="${text%, *} or ${text##*, }" ;;
    *) pattern=${patterns[$kind]} text=${accepted[$kind]} ;;
  esac
  if [[ -n $3 ]]; then pattern="($pattern)(,($pattern))*" text+=', or several, separated by commas'; fi
  if [[ -n $2 ]]; then
    if [[ -z $value ]]; then return; fi
    text+=', or empty'
  fi
  pattern="^($pattern)\$"
  if [[ ! $value =~ $pattern || ($kind == number && ($value -lt $min || $value -gt $max)) ]]; then
    REFUSED[$1]=true
    # Names that are formed from a refused one are not reported as well.
    if [[ $1 != PREFIX && -n ${REFUSED[PREFIX]:-} && $value == *"$PREFIX"* ]] || [[ $1 == BUILD_BUCKET && -n ${REFUSED[PROJECT_ID]:-} ]]; then return; fi
    problem "$1" "$1 must be $text, not ${value:-empty}"
  fi
}

has() { [[ ",${!1}," == *",$2,"* ]]; }

# check_needs and check_refuses <name> <value> <other name> <text>
check_needs() {
  # In place of a single issuer.
  if [[ $3 == API_JWT_* && -v API_VARIABLES[JWT_ISSUERS] ]]; then return; fi
  if has "$1" "$2" && [[ -z ${!3} ]]; then problem "$3" "$1=$2 needs $3, $4"; fi
}
check_refuses() { if has "$1" "$2" && [[ -n ${!3} ]]; then problem "$3" "$1=$2 does not go with $3: $4"; fi; }

# check_at_most <name> <other name>
check_at_most() {
  if [[ -z ${REFUSED[$1]:-}${REFUSED[$2]:-} ]] && ((${!1} > ${!2})); then problem "$1" "$1 must be at most $2, which is ${!2}, not ${!1}"; fi
}

# check_named <name> <other name> <text>
check_named() {
  if [[ -z ${REFUSED[$1]:-} && ${!1} != "$PREFIX" && ${!2} == "$PREFIX" ]]; then problem "$2" "$1=${!1} needs $2, $3, not $PREFIX"; fi
}

# check_egress <whose addresses> <text>
check_egress() {
  if [[ -z $DATABASE_EGRESS && $(unknown_addresses) == "$1" ]]; then problem DATABASE_EGRESS "$2"; fi
}

# Prints whose addresses the services reach, unless they are known.
unknown_addresses() {
  if [[ -n ${REFUSED[DATABASE_CONNECTION]:-}${REFUSED[DATABASE_HOST]:-} ]]; then
    return
  elif [[ -n $DATABASE_HOST ]]; then
    [[ $DATABASE_HOST =~ ^(${patterns[address]})$ ]] || printf host
  elif [[ $DATABASE_CONNECTION == psc ]]; then
    [[ $SUBNET == "$PREFIX" ]] || printf subnet
  elif [[ $DATABASE_CONNECTION != public ]] && ! owns_cluster; then
    printf cluster
  fi
}

# The services refuse the same of AUTH_MODES.
check_callers() {
  local mode readers=''
  for mode in jwt cloud-run-iam google-oauth; do
    if has API_AUTH_MODES "$mode"; then readers+="${readers:+ and }$mode"; fi
  done
  if [[ $readers == *' and '* ]]; then
    problem API_AUTH_MODES "API_AUTH_MODES must not combine $readers, which use the same header"
  elif has API_AUTH_MODES none && [[ $API_AUTH_MODES != none ]]; then
    problem API_AUTH_MODES 'API_AUTH_MODES must not combine none with other modes: none lets anyone call'
  fi
  if has API_INVOKERS allUsers && [[ ",$API_AUTH_MODES," =~ ,(none|cloud-run-iam), ]] ||
    { has API_INVOKERS allAuthenticatedUsers && has API_AUTH_MODES none; }; then
    problem API_AUTH_MODES "API_INVOKERS lets anyone call, but API_AUTH_MODES=$API_AUTH_MODES does not authenticate callers: set it to jwt, api-key or google-oauth"
  fi
}

check_folder() {
  if [[ $AGENT_FILE != agent.yaml && -z ${REFUSED[AGENT_FILE]:-} ]]; then
    # Relative, and below this folder: a build gets nothing else.
    [[ $AGENT_FILE != *..* && -f $(dirname "$HERE")/$AGENT_FILE ]] ||
      problem AGENT_FILE "AGENT_FILE must be a YAML file of this repository, such as docs/agents/orders.yaml, not $AGENT_FILE"
    [[ -z $AGENT_DIR ]] ||
      problem AGENT_FILE 'AGENT_FILE is for images of this repository: with AGENT_DIR, the Dockerfile of that folder names its agent'
  fi
  if [[ -z $AGENT_DIR || -n ${REFUSED[AGENT_DIR]:-} ]]; then return; fi
  if [[ ! -f $AGENT_DIR/Dockerfile ]]; then
    problem AGENT_DIR "AGENT_DIR must be a folder with a Dockerfile, as longhaul init writes it, and $AGENT_DIR has none"
  fi
  # The Dockerfile of longhaul init refuses this too, after minutes.
  local outside=''
  if [[ -f $AGENT_DIR/package.json ]]; then
    outside=$(grep -oE '"file:(\.\./|/)[^"]*"' "$AGENT_DIR/package.json") || outside=''
  fi
  outside=${outside%%$'\n'*}
  [[ -z $outside ]] ||
    problem AGENT_DIR "the package.json of $AGENT_DIR depends on $outside, outside of the folder, which its image cannot contain: copy it into the folder, and run npm install ./$(basename "${outside//\"/}") there"
}

# A range starts with the first of its addresses, and those of the subnet and of the database are different ones.
check_ranges() {
  local name range start
  local -a starts=() sizes=()
  for name in SUBNET_RANGE DATABASE_RANGE; do
    range=${!name}
    if [[ $name == DATABASE_RANGE ]]; then range+=/$DATABASE_RANGE_BITS; fi
    if [[ -n ${REFUSED[$name]:-} || ($name == DATABASE_RANGE && -n ${REFUSED[DATABASE_RANGE_BITS]:-}) ]]; then return; fi
    start=$(to_number "${range%/*}")
    starts+=("$start") sizes+=($((2 ** (32 - ${range#*/}))))
    if ((start % sizes[-1] != 0)); then problem "$name" "$name must be the first address of its range, which ${range%/*} is not of a /${range#*/}"; fi
  done
  # An existing database has addresses of its own.
  if [[ -n $DATABASE_HOST || $DATABASE_CONNECTION == psc ]]; then return; fi
  if ((starts[0] < starts[1] + sizes[1] && starts[1] < starts[0] + sizes[0])); then
    problem SUBNET_RANGE "SUBNET_RANGE and DATABASE_RANGE must not overlap, as $SUBNET_RANGE and $DATABASE_RANGE/$DATABASE_RANGE_BITS do"
  fi
}

# to_number <IPv4 address>
to_number() { local -a parts; IFS=. read -r -a parts <<<"$1"; printf '%s' $((parts[0] << 24 | parts[1] << 16 | parts[2] << 8 | parts[3])); }

check_sizes() {
  if [[ $WORKER_MODE == push && -z ${REFUSED[WORKER_CONCURRENCY]:-} ]] && ((WORKER_CONCURRENCY > 1000)); then
    problem WORKER_CONCURRENCY "WORKER_CONCURRENCY must be at most 1000 with WORKER_MODE=push, as Cloud Run accepts, not $WORKER_CONCURRENCY"
  fi
  local name
  for name in API_MAX API_POOL GRPC_MAX DISPATCHER_MAX DISPATCHER_POOL WORKER_MAX WORKER_POOL DATABASE_MAX_CONNECTIONS; do
    if [[ -n ${REFUSED[$name]:-} ]]; then return; fi
  done
  (($(planned_connections) < DATABASE_MAX_CONNECTIONS)) ||
    problem DATABASE_MAX_CONNECTIONS "the services may open $(planned_connections) connections, but AlloyDB allows $DATABASE_MAX_CONNECTIONS: lower API_MAX, DISPATCHER_MAX, WORKER_MAX or their pools"
}
