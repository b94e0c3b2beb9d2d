# A separate network, in which the services reach only AlloyDB. Internet traffic does not use it.
ensure compute networks describe "$PREFIX" -- \
  compute networks create "$PREFIX" --subnet-mode=custom --bgp-routing-mode=regional
ensure compute networks subnets describe "$PREFIX" --region="$REGION" -- \
  compute networks subnets create "$PREFIX" --network="$PREFIX" --region="$REGION" --range="$SUBNET_RANGE" \
  --enable-private-ip-google-access
# Egress is allowed only to AlloyDB: a second line of defence behind the SSRF guard for webhooks.
ensure compute firewall-rules describe "$PREFIX-database" -- \
  compute firewall-rules create "$PREFIX-database" --network="$PREFIX" --direction=EGRESS --action=ALLOW \
  --rules=tcp:5432 --destination-ranges="$DATABASE_RANGE/$DATABASE_RANGE_BITS" --target-tags="$PREFIX" --priority=1000
ensure compute firewall-rules describe "$PREFIX-nothing-else" -- \
  compute firewall-rules create "$PREFIX-nothing-else" --network="$PREFIX" --direction=EGRESS --action=DENY \
  --rules=all --destination-ranges=0.0.0.0/0 --target-tags="$PREFIX" --priority=65000
