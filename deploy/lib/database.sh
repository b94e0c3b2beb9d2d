# The sizes that AlloyDB was created with. The scripts do not change them later: that can restart the database, so the operator chooses when.
# shellcheck shell=bash

# check_database <step …>: refuses steps whose settings the instance does not have, with the command that changes it.
check_database() {
  local found cpus availability flags connections
  local -a update=(gcloud alloydb instances update "$ALLOYDB_INSTANCE" --cluster="$ALLOYDB_CLUSTER" --region="$REGION" --project="$PROJECT_ID" --no-async) changed=()
  if [[ -n $DATABASE_HOST ]]; then return; fi
  found=$(query '' alloydb instances describe "$ALLOYDB_INSTANCE" --cluster="$ALLOYDB_CLUSTER" --region="$REGION" \
    --format='value[separator="|"](machineConfig.cpuCount,availabilityType,databaseFlags.list())') || found=''
  IFS='|' read -r cpus availability flags <<<"$found" || true
  # The size of an existing cluster is that of its owner.
  if [[ " $* " == *' alloydb '* ]] && owns_cluster; then
    if [[ -n $cpus && $cpus != "$ALLOYDB_CPUS" ]] && is_given ALLOYDB_CPUS; then
      changed+=("ALLOYDB_CPUS=$ALLOYDB_CPUS (it has $cpus)") update+=(--cpu-count="$ALLOYDB_CPUS")
    fi
    if [[ -n $availability && $availability != "$ALLOYDB_AVAILABILITY" ]] && is_given ALLOYDB_AVAILABILITY; then
      changed+=("ALLOYDB_AVAILABILITY=$ALLOYDB_AVAILABILITY (it has $availability)") update+=(--availability-type="$ALLOYDB_AVAILABILITY")
    fi
  fi
  if [[ ,$flags =~ ,max_connections=([0-9]+) ]]; then
    connections=${BASH_REMATCH[1]}
    # Fewer than the database allows are a share of it.
    if ((DATABASE_MAX_CONNECTIONS > connections)) && (is_given DATABASE_MAX_CONNECTIONS || (($(planned_connections) >= connections))); then
      changed+=("DATABASE_MAX_CONNECTIONS=$DATABASE_MAX_CONNECTIONS (it allows $connections)")
      # The command replaces all flags.
      update+=(--database-flags="${flags/max_connections=$connections/max_connections=$DATABASE_MAX_CONNECTIONS}")
    fi
  fi
  if ((${#changed[@]} == 0)); then return; fi
  fail "$ALLOYDB_INSTANCE was created with other settings than$(printf ' %s,' "${changed[@]}") and this script does not change them, because that can restart the database. Nothing was changed. First run:
  $(show "${update[@]}")
or set what it has"
}
