# The variables of the services: SERVICE_ENV, API_ENV, WORKER_ENV, DISPATCHER_ENV and AGENT_ENV. The tables of docs/operate/configuration.md say
# which service reads a variable and what it accepts, and the manifests which ones the deployment sets itself.
# shellcheck shell=bash

# By name: the services that read a variable, and the values that it accepts. By service and name: the setting of what the deployment sets.
declare -A READ_BY=() ACCEPTS=() SET_BY=()
# The variables of each service; shellcheck does not see the references to them.
# shellcheck disable=SC2034
declare -A API_VARIABLES=() WORKER_VARIABLES=() DISPATCHER_VARIABLES=() MIGRATE_VARIABLES=()

read_tables() {
  local line names values services name pair
  while IFS= read -r line; do
    if [[ $line == '## `npm start`'* ]]; then break; fi
    if [[ $line != '| `'* ]]; then
      # Those of OpenTelemetry that its SDK reads have no row.
      while [[ $line =~ \`(OTEL_[A-Z_]+)\` ]]; do READ_BY[${BASH_REMATCH[1]}]=' api worker dispatcher ' line=${line#*"${BASH_REMATCH[0]}"}; done
      continue
    fi
    IFS='|' read -r _ names _ values services _ <<<"$line"
    services=" ${services//,/ } "
    services=${services/ all / api worker dispatcher }
    for name in ${names//[\`,]/ }; do
      # Commands of operators run in the job of the migration.
      READ_BY[$name]=${services/ admin / migrate } ACCEPTS[$name]=${values//[[:space:]]/ }
    done
  done <"$HERE/../docs/operate/configuration.md"
  for pair in api:api api:grpc dispatcher:dispatcher worker:worker worker:worker-push migrate:migrate; do
    while IFS= read -r line; do
      if [[ $line =~ ^\ +-\ (\{\ )?name:\ ([A-Z][A-Z0-9_]*)(,\ value:\ \"\$\{([A-Z_]+)\}\")? ]]; then
        SET_BY["${pair%:*} ${BASH_REMATCH[2]}"]=${BASH_REMATCH[4]:--}
      fi
    done <"$HERE/manifests/${pair#*:}.yaml"
  done
}

# variables_text <setting>: prints its lines, or those of the file that it names.
variables_text() { if [[ ${!1} == @* ]]; then cat "${!1#@}"; else printf '%s' "${!1}"; fi; }

# parse_variables <name> <text> <array>: NAME=value, one a line. In single quotes a value is taken as it is, and in double quotes \n, \" and \\ are
# replaced; both may have several lines. Without quotes it ends with the line.
parse_variables() {
  local text=$2 name value comment nl=$'\n' start='^[[:blank:]]*([A-Za-z_][A-Za-z0-9_]*)='
  local end="[[:blank:]]*($nl|\$)"
  local single="$start'([^']*)'$end" double="$start\"(([^\"\\]|\\\\.)*)\"$end" plain="$start([^'\"$nl][^$nl]*|)($nl|\$)"
  comment="^[[:blank:]]*(#[^$nl]*)?($nl|\$)"
  local -n parsed=$3
  text=${text//$'\r'/}
  while [[ -n $text ]]; do
    if [[ $text =~ $comment ]]; then
      text=${text:${#BASH_REMATCH[0]}}
      continue
    elif [[ $text =~ $single || $text =~ $plain ]]; then
      value=${BASH_REMATCH[2]}
    elif [[ $text =~ $double ]]; then
      value=$(unescape "${BASH_REMATCH[2]}"; printf x)
      value=${value%x}
    else
      # Without the value, which may be a secret.
      text=${text%%"$nl"*}
      problem "$1" "$1 must be NAME=value, one a line, with the quotes of a value closed: ${text%%=*} is not"
      return
    fi
    name=${BASH_REMATCH[1]} text=${text:${#BASH_REMATCH[0]}}
    if [[ -v parsed[$name] ]]; then problem "$1" "$1 has $name twice"; fi
    parsed[$name]=$value
  done
}

unescape() {
  local text=$1
  while [[ $text == *\\* ]]; do
    printf '%s' "${text%%\\*}"
    text=${text#*\\}
    case $text in n*) printf '\n' ;; \"* | \\*) printf '%s' "${text:0:1}" ;; *) printf '\\%s' "${text:0:1}" ;; esac
    text=${text:1}
  done
  printf '%s' "$text"
}

check_variables() {
  if [[ -z $SERVICE_ENV$API_ENV$WORKER_ENV$DISPATCHER_ENV$AGENT_ENV$WORKER_SECRETS ]]; then return; fi
  local setting text name pair
  local -A found
  read_tables
  # Variables of one service replace those of all.
  for setting in SERVICE_ENV API_ENV WORKER_ENV DISPATCHER_ENV AGENT_ENV; do
    found=()
    text=$(variables_text "$setting" 2>/dev/null) || problem "$setting" "$setting names the file ${!setting#@}, which cannot be read"
    parse_variables "$setting" "$text" found
    for name in $(sorted "${!found[@]}"); do check_variable "$setting" "$name" "${found[$name]}"; done
  done
  for pair in ${WORKER_SECRETS//,/ }; do
    name=${pair%%=*}
    if [[ -v SET_BY["worker $name"] || -v WORKER_VARIABLES[$name] ]]; then
      problem WORKER_SECRETS "WORKER_SECRETS must not have $name, which is set already"
    fi
  done
}

# check_variable <setting> <name> <value>: refuses it, or adds it to the services.
check_variable() {
  local setting=$1 name=$2 value=$3 targets service by
  by=${READ_BY[$name]:-}
  case $setting in
    SERVICE_ENV) targets=$by ;;
    AGENT_ENV) targets=worker ;;
    *) targets=${setting%_ENV}; targets=${targets,,} ;;
  esac
  if [[ $name =~ ^(PORT|K_SERVICE|K_REVISION|K_CONFIGURATION|X_GOOGLE_.*|CLOUD_RUN_(JOB|EXECUTION|TASK_.*|WORKER_POOL.*))$ ]]; then
    problem "$setting" "$setting must not have $name, which Cloud Run sets"
    return
  elif [[ $setting == AGENT_ENV ]]; then
    if [[ -n $by || -v SET_BY["worker $name"] ]]; then
      problem "$setting" "$setting must not have $name, which is a variable of Longhaul: use SERVICE_ENV or WORKER_ENV"
      return
    fi
  elif [[ -z $by ]]; then
    problem "$setting" "$setting must not have $name, which docs/operate/configuration.md does not know: variables of your own agent are for AGENT_ENV"
    return
  elif [[ $by != *" $targets "* && $setting != SERVICE_ENV ]]; then
    problem "$setting" "$setting must not have $name, which is not read by the $targets"
    return
  fi
  # The address of the database is set in parts, and a file replaces the variable.
  local base=${name%_FILE}
  base=${base/#DATABASE_URL/DATABASE_HOST}
  for service in $targets; do
    if [[ -v SET_BY["$service $base"] ]]; then
      by=''
      if is_setting "$base"; then by=": use the setting $base"; fi
      if is_setting "${SET_BY["$service $base"]}"; then by=": use the setting ${SET_BY["$service $base"]}"; fi
      problem "$setting" "$setting must not have $name, which the deployment sets$by"
      return
    fi
  done
  check_value "$@"
  for service in $targets; do
    local -n variables=${service^^}_VARIABLES
    variables[$name]=$value
  done
}

is_setting() { [[ $(<"$HERE/lib/checks.txt") == *$'\n'"$1 "* ]]; }

# check_value <setting> <name> <value>
check_value() {
  local accepts=${ACCEPTS[$2]:-} pattern='^[a-z0-9/_-]+(, [a-z0-9/_-]+)+$'
  accepts=${accepts# } accepts=${accepts% }
  if [[ $3 == sm://* ]]; then return; fi
  if [[ -v READ_BY[$2_FILE] ]]; then
    problem "$1" "$1: $2 is secret: give its address in Secret Manager, such as sm://projects/$PROJECT_ID/secrets/NAME/versions/latest"
  elif [[ $accepts == flag ]]; then
    [[ $3 =~ ^(true|false|1|0)$ ]] || problem "$1" "$1: $2 must be true or false, not $3"
  elif [[ $accepts =~ ^([0-9.]+)\ to\ ([0-9.]+)$ ]]; then
    is_between "$3" "${BASH_REMATCH[@]:1:2}" || problem "$1" "$1: $2 must be a number from $accepts, not $3"
  elif [[ $accepts =~ $pattern ]]; then
    [[ ", $accepts, " == *", $3, "* && $3 != *,* ]] || problem "$1" "$1: $2 must be one of $accepts, not $3"
  fi
}

# is_between <value> <least> <most>: in thousandths if one of them has decimals.
is_between() {
  [[ $1 =~ ^(0|[1-9][0-9]{0,15})([.][0-9]{1,3})?$ ]] || return 1
  local -a numbers=("$@")
  local each
  if [[ $* == *.* ]]; then
    [[ ${1%.*} =~ ^.{1,14}$ ]] || return 1
    numbers=()
    for each in "$@"; do
      [[ $each == *.* ]] || each+=.
      each+=000
      numbers+=("$((10#${each%.*} * 1000 + 10#$(printf '%.3s' "${each#*.}")))")
    done
  fi
  ((numbers[0] >= numbers[1] && numbers[0] <= numbers[2]))
}

sorted() { if (($# > 0)); then printf '%s\n' "$@" | LC_ALL=C sort; fi; }

# variable_lines <service> <indentation>: its variables as lines of a manifest.
variable_lines() {
  local -n variables=${1^^}_VARIABLES
  local name value slash='\'
  for name in $(sorted "${!variables[@]}"); do
    value=${variables[$name]//"$slash"/"$slash$slash"}
    value=${value//'"'/"$slash\""}
    value=${value//$'\n'/"${slash}n"}
    value=${value//$'\t'/"${slash}t"}
    # A dollar would start the name of a variable of the manifest.
    value=${value//'$'/"${slash}u0024"}
    printf '%s- { name: %s, value: "%s" }\n' "$2" "$name" "$value"
  done
}

# has_variable <service> <name>
has_variable() {
  local -n variables=${1^^}_VARIABLES
  [[ -v variables[$2] ]]
}

# A dry run shows what each service gets.
show_variables() {
  if [[ $DRY_RUN != true ]]; then return; fi
  local name service
  for service in "$@"; do
    local -n variables=${service^^}_VARIABLES
    for name in $(sorted "${!variables[@]}"); do say "$service: $name=$(printf '%q' "${variables[$name]}")"; done
  done
}

# named_secrets <service>: prints the secrets of this project that its variables name by address.
named_secrets() {
  local -n variables=${1^^}_VARIABLES
  local value
  for value in "${variables[@]}"; do
    if [[ $value =~ ^sm://projects/$PROJECT_ID/secrets/([A-Za-z0-9_-]+)/ ]]; then printf '%s\n' "${BASH_REMATCH[1]}"; fi
  done | sort -u
}

# update_flag <service> [NAME=value …]: prints the flag of gcloud that sets them and the variables of the service.
update_flag() {
  local -n variables=${1^^}_VARIABLES
  local name separator=,
  shift
  local -a pairs=("$@")
  for name in $(sorted "${!variables[@]}"); do pairs+=("$name=${variables[$name]}"); done
  if ((${#pairs[@]} == 0)); then return; fi
  for separator in , '|' '~' ';' '#' '@' '%' $'\x1f'; do
    if [[ ${pairs[*]} != *"$separator"* ]]; then break; fi
  done
  local IFS=$separator
  if [[ $separator != , ]]; then separator="^$separator^"; else separator=''; fi
  printf -- '--update-env-vars=%s%s' "$separator" "${pairs[*]}"
}
