# AlloyDB on private addresses, with point-in-time recovery (default: 14 days) and encrypted connections only.
#
# gcloud reads passwords from a file that only this user can read, because arguments are visible in the
# process list.
password_file() {
  local password
  password=$(read_secret "$1")
  printf -- "--password: '%s'\n" "${password//\'/\'\'}" >"$WORK/$1.flags" # YAML
  printf '%s' "$WORK/$1.flags"
}

# attach_range <name>: gives a range to the private services access of the network, next to the ranges that it has.
attach_range() {
  local access=(--network="$NETWORK" --service=servicenetworking.googleapis.com) found ranges
  found=$(ask "${DATABASE_RANGE_NAME:+peering|$1}" services vpc-peerings list "${access[@]}" \
    --format='value[separator="|"](peering,reservedPeeringRanges.list())') || fail "the private services access of $NETWORK cannot be read"
  ranges=${found#*|}
  if [[ -z $found ]]; then
    change services vpc-peerings connect "${access[@]}" --ranges="$1"
    if [[ $DRY_RUN == true && $NETWORK != "$PREFIX" ]]; then
      say "or, if $NETWORK already has private services access: gcloud services vpc-peerings update ${access[*]} --ranges=ITS_RANGES,$1"
    fi
  elif [[ ",$ranges," != *",$1,"* ]]; then
    change services vpc-peerings update "${access[@]}" --ranges="${ranges:+$ranges,}$1"
  fi
}

# Creates the cluster in the network, or with endpoints of Private Service Connect, which is decided once for all time.
if owns_cluster; then
  range=${DATABASE_RANGE_NAME:-$PREFIX-database}
  declare -a reached=(--network="$NETWORK" --allocated-ip-range-name="$range") allowed=()
  case $DATABASE_CONNECTION in
    psc) reached=(--enable-private-service-connect) allowed=(--allowed-psc-projects="$PROJECT_NUMBER") ;;
    public) allowed=(--assign-inbound-public-ip=ASSIGN_IPV4) ;;
  esac
  if [[ $DATABASE_CONNECTION != psc ]]; then
    if [[ -z $DATABASE_RANGE_NAME ]]; then
      ensure compute addresses describe "$range" --global -- \
        compute addresses create "$range" --global --purpose=VPC_PEERING --network="$NETWORK" \
        --addresses="$DATABASE_RANGE" --prefix-length="$DATABASE_RANGE_BITS"
    fi
    attach_range "$range"
  fi
  if ! exists alloydb clusters describe "$ALLOYDB_CLUSTER" --region="$REGION"; then
    change alloydb clusters create "$ALLOYDB_CLUSTER" --region="$REGION" "${reached[@]}" \
      --flags-file="$(password_file "${SECRET_PREFIX}alloy_db_admin_pass")"
  fi
  ensure alloydb instances describe "$ALLOYDB_INSTANCE" --cluster="$ALLOYDB_CLUSTER" --region="$REGION" -- \
    alloydb instances create "$ALLOYDB_INSTANCE" --cluster="$ALLOYDB_CLUSTER" --region="$REGION" \
    --instance-type=PRIMARY --cpu-count="$ALLOYDB_CPUS" --availability-type="$ALLOYDB_AVAILABILITY" \
    --ssl-mode=ENCRYPTED_ONLY "${allowed[@]}" \
    --database-flags="max_connections=$DATABASE_MAX_CONNECTIONS,alloydb.iam_authentication=on"
  users=$(query '' alloydb users list --cluster="$ALLOYDB_CLUSTER" --region="$REGION" --format='value(name.basename())') || users=''
  # One user for each service; the migration grants their rights.
  for name in api worker dispatcher; do
    if [[ $'\n'$users$'\n' == *$'\n'"${DATABASE_USER}_$name"$'\n'* ]]; then continue; fi
    change alloydb users create "${DATABASE_USER}_$name" --cluster="$ALLOYDB_CLUSTER" --region="$REGION" --type=BUILT_IN \
      --flags-file="$(password_file "${SECRET_PREFIX}alloy_db_pass_$name")"
  done
fi

# The endpoint, for a cluster of this deployment or an existing one.
if [[ $DATABASE_CONNECTION == psc && -z $DATABASE_HOST ]]; then
  attachment=$(query projects/attachment/regions/here/serviceAttachments/alloydb alloydb instances describe "$ALLOYDB_INSTANCE" \
    --cluster="$ALLOYDB_CLUSTER" --region="$REGION" --format='value(pscInstanceConfig.serviceAttachmentLink)') || attachment=''
  [[ -n $attachment ]] || fail "the instance $ALLOYDB_INSTANCE has no service attachment: its cluster $ALLOYDB_CLUSTER was created without Private Service Connect"
  ensure compute addresses describe "$PREFIX-database" --region="$REGION" -- \
    compute addresses create "$PREFIX-database" --region="$REGION" --subnet="$SUBNET"
  ensure compute forwarding-rules describe "$PREFIX-database" --region="$REGION" -- \
    compute forwarding-rules create "$PREFIX-database" --region="$REGION" --network="$NETWORK" \
    --address="$PREFIX-database" --target-service-attachment="$attachment"
fi
