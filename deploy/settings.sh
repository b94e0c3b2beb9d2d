# What a deployment is made of. Each can be set in the environment; PROJECT_ID has to be.
# shellcheck shell=bash disable=SC2034

: "${PROJECT_ID:?set PROJECT_ID to the id of the Google Cloud project}"
: "${REGION:=us-central1}"
: "${PREFIX:=longhaul}"                       # begins the name of everything that is made

# Network. The subnet gives each Cloud Run instance an address: /24 is enough for about 120 of them.
: "${SUBNET_RANGE:=10.20.0.0/24}"
: "${DATABASE_RANGE:=10.21.0.0}"              # AlloyDB's own addresses, a /20
: "${DATABASE_RANGE_BITS:=20}"

# AlloyDB. To use a cluster that exists: its name in ALLOYDB_CLUSTER and ALLOYDB_INSTANCE, and its host in DATABASE_HOST.
: "${ALLOYDB_CLUSTER:=$PREFIX}"
: "${ALLOYDB_INSTANCE:=$PREFIX-primary}"
: "${ALLOYDB_CPUS:=2}"
: "${ALLOYDB_AVAILABILITY:=ZONAL}"            # REGIONAL costs twice as much, and outlives a zone
: "${DATABASE_NAME:=longhaul}"
: "${DATABASE_USER:=longhaul}"
: "${DATABASE_MAX_CONNECTIONS:=1000}"
: "${DATABASE_HOST:=}"                        # asked of AlloyDB unless it is set

# Cloud Run. The connections that these add up to must be fewer than DATABASE_MAX_CONNECTIONS: the script checks it.
: "${API_MIN:=1}"
: "${API_MAX:=20}"
: "${API_POOL:=10}"
: "${DISPATCHER_MIN:=0}"
: "${DISPATCHER_MAX:=10}"
: "${DISPATCHER_POOL:=10}"
: "${WORKER_INSTANCES:=1}"
: "${WORKER_MAX:=20}"                         # how far you mean to scale the pool by hand or by a scaler
: "${WORKER_POOL:=10}"
# pull: a pool, as large as WORKER_INSTANCES says. push: a service that Pub/Sub calls, and that scales by itself.
: "${WORKER_MODE:=pull}"
: "${WORKER_MIN:=0}"                          # of the service; the pool has no minimum of its own
# gRPC needs a service of its own: GRPC_MAX=5 makes it, with the front door's image and callers.
: "${GRPC_MIN:=0}"
: "${GRPC_MAX:=0}"
: "${WORKER_CONCURRENCY:=100}"
: "${API_INVOKERS:=}"                         # who may call the front door, by commas: user:…, serviceAccount:…, allUsers
# How the front door itself tells callers apart: cloud-run-iam believes Cloud Run's check, and so is no way for allUsers;
# jwt and api-key check for themselves. By commas; see AUTH_MODES.
: "${API_AUTH_MODES:=cloud-run-iam}"
: "${API_JWT_ISSUER:=}"
: "${API_JWT_AUDIENCE:=}"
: "${API_KEYS_SECRET:=}"                      # a secret of yours with owner:hash lines, for api-key
: "${GEMINI_LOCATION:=global}"

# Telemetry. Without an endpoint there are no traces, metrics, dashboard and alerts.
: "${TELEMETRY_ENDPOINT=https://telemetry.googleapis.com}"
: "${TRACE_RATIO:=1}"                         # of tasks, from 0 to 1
: "${ALERT_EMAIL:=}"                          # who is told of alerts; without it they are seen in the console alone

# Images, by digest. Without them the newest in the registry are used, or made if there are none.
: "${API_IMAGE:=}"
: "${WORKER_IMAGE:=}"

: "${BUILD_BUCKET:=$PROJECT_ID-$PREFIX-build}"
REPOSITORY="$REGION-docker.pkg.dev/$PROJECT_ID/$PREFIX"

account() { printf '%s-%s@%s.iam.gserviceaccount.com' "$PREFIX" "$1" "$PROJECT_ID"; }

# One more for each front door, which listens, and two for a migration.
planned_connections() {
  printf '%s' $(((API_MAX + GRPC_MAX) * (API_POOL + 1) + DISPATCHER_MAX * DISPATCHER_POOL + WORKER_MAX * WORKER_POOL + 2))
}
