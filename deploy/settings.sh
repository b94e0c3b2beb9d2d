# Settings of a deployment. Each can be set in the environment, or else in the file deploy.env of the working directory; PROJECT_ID is
# required. lib/checks.txt says what each accepts.
# shellcheck shell=bash disable=SC2034

# shellcheck source=deploy/lib/variables.sh
source "$HERE/lib/variables.sh"
# shellcheck source=deploy/lib/checks.sh
source "$HERE/lib/checks.sh"
SETTINGS_FILE=${SETTINGS_FILE-deploy.env}
read_settings

: "${PROJECT_ID:=}"                           # id of the Google Cloud project
: "${REGION:=us-central1}"
: "${PREFIX:=longhaul}"                       # name prefix of every resource

# Network. Each Cloud Run instance needs addresses of the subnet: a /24 is enough for about 120 instances. To use an
# existing network, set NETWORK and SUBNET: the script adds three firewall rules, and neither creates nor removes them.
: "${NETWORK:=$PREFIX}"
: "${SUBNET:=$PREFIX}"
: "${SUBNET_RANGE:=10.20.0.0/24}"
: "${DATABASE_RANGE:=10.21.0.0}"              # addresses of AlloyDB, a /20
: "${DATABASE_RANGE_BITS:=20}"
# The name of an allocated range, if the private services access of an existing NETWORK has one for AlloyDB: then the script creates none.
: "${DATABASE_RANGE_NAME:=}"

# AlloyDB. To use an existing cluster, set ALLOYDB_CLUSTER and ALLOYDB_INSTANCE to its names, or DATABASE_HOST to its
# address. The script creates only a cluster that has the name PREFIX, or one that starts with PREFIX and a dash.
: "${ALLOYDB_CLUSTER:=$PREFIX}"
: "${ALLOYDB_INSTANCE:=$PREFIX-primary}"
: "${ALLOYDB_CPUS:=2}"
: "${ALLOYDB_AVAILABILITY:=ZONAL}"            # REGIONAL costs twice as much and survives the failure of a zone
# Two deployments that share a cluster have different names of both, or the workers of one would run the tasks of the other.
: "${DATABASE_NAME:=$PREFIX}"
: "${DATABASE_USER:=$PREFIX}"                # prefix of the users: longhaul_api, longhaul_worker, longhaul_dispatcher
: "${DATABASE_MAX_CONNECTIONS:=1000}"
: "${DATABASE_HOST:=}"                        # default: the address of the AlloyDB instance
# The name of a secret with the authority that has signed the database's certificate, in PEM. Default: the connection is encrypted,
# and the server is not verified.
: "${DATABASE_SSL_CA_SECRET:=}"
# Encrypts contents: see docs/operate/data.md.
: "${CONTENT_KMS_KEY:=}"                      # projects/P/locations/L/keyRings/R/cryptoKeys/K
: "${CONTENT_KEY_STORE:=}"                    # gs://BUCKET
# How the services reach the database:
#   private  at its address in the network, or at DATABASE_HOST
#   proxy    through the AlloyDB Auth Proxy, a second container of each instance, at its address in the network
#   public   through the AlloyDB Auth Proxy, at its public address
#   psc      at an endpoint of Private Service Connect in SUBNET, or at DATABASE_HOST
: "${DATABASE_CONNECTION:=private}"
: "${DATABASE_SSL:=require}"                  # see docs/operate/configuration.md; disable between a service and the Auth Proxy
: "${AUTH_PROXY_IMAGE:=gcr.io/alloydb-connectors/alloydb-auth-proxy:1.15.2}"
# Addresses that the services may reach in the network, comma-separated. Default: DATABASE_HOST, or AlloyDB's addresses.
: "${DATABASE_EGRESS:=}"

# Cloud Run. deploy.sh checks that the sum of connections stays below DATABASE_MAX_CONNECTIONS.
: "${API_MIN:=1}"
: "${API_MAX:=20}"
: "${API_POOL:=10}"
: "${DISPATCHER_MIN:=0}"
: "${DISPATCHER_MAX:=10}"
: "${DISPATCHER_POOL:=10}"
: "${WORKER_INSTANCES:=1}"
: "${WORKER_MAX:=20}"                         # largest size of the pool that you intend to scale to
: "${WORKER_POOL:=10}"
# pull: a pool of WORKER_INSTANCES. push: a service that Pub/Sub calls and Cloud Run scales.
: "${WORKER_MODE:=pull}"
: "${WORKER_MIN:=0}"                          # for the service only; the pool has no minimum
# gRPC needs a separate service, with the image and callers of the API: GRPC_MAX=5 creates it.
: "${GRPC_MIN:=0}"
: "${GRPC_MAX:=0}"
: "${WORKER_CONCURRENCY:=100}"
: "${API_INVOKERS:=}"                         # comma-separated members that may call the API: user:…, serviceAccount:…, allUsers
: "${API_GCLOUD_TOKENS:=false}"               # true: accepts tokens of gcloud auth print-identity-token; see docs/operate/deploy.md
# How the API authenticates callers, comma-separated; see AUTH_MODES. cloud-run-iam relies on Cloud Run's IAM
# check and therefore does not work with allUsers; jwt, api-key and google-oauth are verified by the API.
: "${API_AUTH_MODES:=cloud-run-iam}"
: "${API_JWT_ISSUER:=}"
: "${API_JWT_AUDIENCE:=}"
: "${API_OAUTH_AUDIENCE:=}"                   # ids of the OAuth clients, for google-oauth
: "${API_KEYS_SECRET:=}"                      # name of a secret with owner:hash lines, for api-key
# For the smoke test of releases, with API_AUTH_MODES=api-key or jwt: name of a secret with an API key, or with a token.
: "${SMOKE_SECRET:=}"
: "${GEMINI_LOCATION:=global}"
: "${PUBLIC_URL:=}"                           # the address of the api for callers, with a domain of yours; default: that of Cloud Run
: "${TRUSTED_PROXIES:=1}"                     # Cloud Run; with a load balancer in front, 2

# Limits of the queues. Enough calls at once for ten dispatchers of 200: one owner holds at most half of each. A push request
# lasts as long as its turn: 600 s is the maximum of Pub/Sub.
: "${QUEUE_CALLS_PER_SECOND:=500}"
: "${QUEUE_CONCURRENT_CALLS:=2000}"
: "${PULL_ACK_SECONDS:=60}"
: "${PUSH_ACK_SECONDS:=600}"
: "${MAX_DELIVERY_ATTEMPTS:=100}"

# Telemetry. Traces, metrics, dashboard and alerts need an endpoint.
: "${TELEMETRY_ENDPOINT=https://telemetry.googleapis.com}"
: "${TRACE_RATIO:=1}"                         # share of tasks that are traced, from 0 to 1
: "${ALERT_EMAIL:=}"                          # receives alerts; if empty, they are visible only in the console

# Images, by digest. Default: those that serve; before the first deployment, the newest in the registry; built if there are none.
: "${API_IMAGE:=}"
: "${WORKER_IMAGE:=}"

# The name of the release that the workers run: letters, digits, dots, dashes and underscores. Default: the start of the digest.
# deploy/release.sh sets its tag.
: "${WORKER_RELEASE:=}"

# How deploy/release.sh rolls a release out: see deploy/rollout.sh.
: "${CANARY_PERCENT:=0}"                      # share that a new release gets first; 0: everything at once
: "${CANARY_TASKS:=20}"                       # tasks of the new release that must have ended
: "${CANARY_TOLERANCE:=5}"                    # percentage points by which more of them may have failed than of the others
: "${CANARY_SECONDS:=1200}"                   # time in which they must have ended
: "${DRAIN_WAIT_SECONDS:=900}"                # time for the turns of workers of other releases

# How the step images builds them: dockerfile, or source (Google's buildpacks make one image for all services).
: "${IMAGES_FROM:=dockerfile}"
# The folder of an agent with a Dockerfile of its own, as longhaul init writes it: one image for all services, built by
# each run of the step images.
: "${AGENT_DIR:=}"
# The YAML of the agent in images of this repository: a file of the repository, such as docs/agents/orders.yaml.
: "${AGENT_FILE:=agent.yaml}"
# Variables of docs/operate/configuration.md: NAME=value, one a line, or @FILE. See docs/operate/deploy.md.
: "${SERVICE_ENV:=}"                          # for every service that reads them
: "${API_ENV:=}"                              # for one service, in place of those of SERVICE_ENV
: "${WORKER_ENV:=}"
: "${DISPATCHER_ENV:=}"
: "${AGENT_ENV:=}"                            # other variables for the workers: those of the agent
# For the workers: NAME=secret, comma-separated. The secrets exist already, and are pinned to their newest version.
: "${WORKER_SECRETS:=}"

# The region of the builds, if the project may not build in REGION: see docs/operate/deploy.md. Default: REGION.
: "${BUILD_REGION:=}"
# Scans of images. Severities that fail a build, and findings that do not, because they have been assessed:
# CVE-2026-1234|CVE-2026-5678.
: "${REFUSED_SEVERITIES:=HIGH|CRITICAL}"
: "${ACCEPTED_VULNERABILITIES:=none}"

# Regions of the secrets, comma-separated. Default: replicated by Google, which the policy gcp.resourceLocations of an organization may refuse.
: "${SECRET_LOCATIONS:=}"

# The default deployment uses the names of Google's guide for the secrets of the database: alloy_db_user_…, alloy_db_pass_….
SECRET_PREFIX=''
if [[ $PREFIX != longhaul ]]; then SECRET_PREFIX="$PREFIX-"; fi

: "${BUILD_BUCKET:=$PROJECT_ID-$PREFIX-build}"
REPOSITORY="$REGION-docker.pkg.dev/$PROJECT_ID/$PREFIX"

# Whether the cluster belongs to this deployment: deploy.sh creates it, and remove.sh deletes it.
owns_cluster() { [[ -z $DATABASE_HOST && ($ALLOYDB_CLUSTER == "$PREFIX" || $ALLOYDB_CLUSTER == "$PREFIX"-*) ]]; }

account() { printf '%s-%s@%s.iam.gserviceaccount.com' "$PREFIX" "$1" "$PROJECT_ID"; }

# Each instance of the API and the dispatcher needs one more connection to LISTEN, and a migration needs two.
planned_connections() {
  printf '%s' $(((API_MAX + GRPC_MAX) * (API_POOL + 1) + DISPATCHER_MAX * (DISPATCHER_POOL + 1) + WORKER_MAX * WORKER_POOL + 2))
}
