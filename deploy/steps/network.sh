# A separate network, in which the services reach only AlloyDB. Internet traffic does not use it.
if [[ $NETWORK == "$PREFIX" ]]; then
  ensure compute networks describe "$NETWORK" -- \
    compute networks create "$NETWORK" --subnet-mode=custom --bgp-routing-mode=regional
fi
if [[ $SUBNET == "$PREFIX" ]]; then
  ensure compute networks subnets describe "$SUBNET" --region="$REGION" -- \
    compute networks subnets create "$SUBNET" --network="$NETWORK" --region="$REGION" --range="$SUBNET_RANGE" \
    --enable-private-ip-google-access
fi
egress=$DATABASE_EGRESS
if [[ -z $egress && -n $DATABASE_HOST ]]; then
  egress=$DATABASE_HOST/32
elif [[ -z $egress && $DATABASE_CONNECTION == psc ]]; then
  egress=$SUBNET_RANGE
elif [[ -z $egress ]]; then
  egress="$DATABASE_RANGE/$DATABASE_RANGE_BITS"
  if [[ -n $DATABASE_RANGE_NAME ]] && owns_cluster; then
    found=$(query "10.30.0.0 20 VPC_PEERING $NETWORK" compute addresses describe "$DATABASE_RANGE_NAME" --global \
      --format='value[separator=" "](address,prefixLength,purpose,network.basename())') || found=''
    read -r egress bits purpose network <<<"$found"
    egress+=/$bits
    [[ $purpose == VPC_PEERING && $network == "$NETWORK" ]] ||
      fail "DATABASE_RANGE_NAME must be a range for private services access (VPC_PEERING) of the network $NETWORK, not $DATABASE_RANGE_NAME${found:+ ($found)}: gcloud compute addresses list --global lists them"
  fi
fi
# Egress is allowed only to AlloyDB and, in an existing network, to Google's APIs: a second line of defence behind the SSRF
# guard for webhooks. A public address is reached through the internet, which the rules do not concern.
rule=("$PREFIX-database" --rules=tcp:5432,tcp:5433 --destination-ranges="$egress")
if [[ $DATABASE_CONNECTION == public ]]; then
  say 'DATABASE_CONNECTION is public: no rule allows egress to the database'
elif ! exists compute firewall-rules describe "$PREFIX-database"; then
  change compute firewall-rules create "${rule[@]}" --network="$NETWORK" --direction=EGRESS --action=ALLOW \
    --target-tags="$PREFIX" --priority=1000
elif [[ $(query '' compute firewall-rules describe "$PREFIX-database" --format='value(destinationRanges.list())') != "$egress" ]]; then
  change compute firewall-rules update "${rule[@]}"
fi
# The DNS of an existing network may have Google's APIs at private.googleapis.com or restricted.googleapis.com, whose addresses
# Cloud Run counts as private.
if [[ $NETWORK != "$PREFIX" ]]; then
  ensure compute firewall-rules describe "$PREFIX-google-apis" -- \
    compute firewall-rules create "$PREFIX-google-apis" --network="$NETWORK" --direction=EGRESS --action=ALLOW \
    --rules=tcp:443 --destination-ranges=199.36.153.8/30,199.36.153.4/30 --target-tags="$PREFIX" --priority=1000
fi
ensure compute firewall-rules describe "$PREFIX-nothing-else" -- \
  compute firewall-rules create "$PREFIX-nothing-else" --network="$NETWORK" --direction=EGRESS --action=DENY \
  --rules=all --destination-ranges=0.0.0.0/0 --target-tags="$PREFIX" --priority=65000
