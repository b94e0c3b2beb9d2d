# What a deployment has: settings, names, bindings and manifests, read from the files of the scripts. It uses no provider, so
# that any machine with Terraform can evaluate it: test/scenarios/long/deploy/terraform.test.ts compares it with what the scripts make.

variable "settings" {
  description = "Settings of deploy/settings.sh by name, such as { PROJECT_ID = \"my-project\", API_MAX = \"5\" }."
  type        = map(string)
}

variable "env" {
  description = "Variables of the services, by SERVICE_ENV, API_ENV, WORKER_ENV, DISPATCHER_ENV and AGENT_ENV, as in deploy/settings.sh."
  type        = map(map(string))
  default     = {}
}

module "checks" {
  source   = "./checks"
  settings = var.settings
  env      = var.env
}

variable "project_number" {
  type = string
}

variable "receiver" {
  description = "Adds a receiver of webhooks to try the deployment with."
  type        = bool
}

variable "values" {
  description = "What is known only once resources exist: the address of the database, and the id of the account that deploys."
  type        = object({ database_address = string, deploy_id = string })
}

locals {
  settings      = module.checks.accepted.settings
  prefix        = local.settings["PREFIX"]
  region        = local.settings["REGION"]
  public        = contains(split(",", local.settings["API_INVOKERS"]), "allUsers")
  push          = local.settings["WORKER_MODE"] == "push"
  grpc          = tonumber(local.settings["GRPC_MAX"]) > 0
  psc           = local.settings["DATABASE_CONNECTION"] == "psc"
  proxied       = contains(["proxy", "public"], local.settings["DATABASE_CONNECTION"])
  owns_cluster  = module.checks.accepted.owns_cluster
  secret_prefix = local.prefix == "longhaul" ? "" : "${local.prefix}-"

  apis     = [for name in split(" ", replace(one(regexall("(?s)apis=\\(([^)]*)\\)", file("${path.module}/../../steps/apis.sh")))[0], "/\\s+/", " ")) : "${name}.googleapis.com"]
  purposes = { for found in regexall("\\[([a-z]+)\\]='([^']*)'", file("${path.module}/../../steps/accounts.sh")) : found[0] => found[1] }
  accounts = merge(local.purposes, var.receiver ? { receiver = "Receives webhooks, to try the deployment" } : {})

  users = [for name in ["api", "worker", "dispatcher"] : "${local.settings["DATABASE_USER"]}_${name}"]
  secrets = concat(
    flatten([for name in ["api", "worker", "dispatcher"] : ["${local.secret_prefix}alloy_db_user_${name}", "${local.secret_prefix}alloy_db_pass_${name}"]]),
    ["${local.secret_prefix}alloy_db_admin_pass", "${local.prefix}-encryption-keys", "${local.prefix}-webhook-signing-keys", "${local.prefix}-webhook-public-keys"],
  )
  services = concat(["dispatcher", "api"], local.push ? ["worker"] : [], local.grpc ? ["grpc"] : [], var.receiver ? ["receiver"] : [])

  # By the groups of gcloud that create them.
  names = {
    "compute networks"         = local.settings["NETWORK"] == local.prefix ? [local.prefix] : []
    "compute networks subnets" = local.settings["SUBNET"] == local.prefix ? [local.prefix] : []
    "compute firewall-rules"   = concat(local.settings["DATABASE_CONNECTION"] == "public" ? [] : ["${local.prefix}-database"], local.settings["NETWORK"] == local.prefix ? [] : ["${local.prefix}-google-apis"], ["${local.prefix}-nothing-else"])
    "compute addresses"        = (local.owns_cluster && !local.psc && local.settings["DATABASE_RANGE_NAME"] == "") || (local.psc && local.settings["DATABASE_HOST"] == "") ? ["${local.prefix}-database"] : []
    "compute forwarding-rules" = local.psc && local.settings["DATABASE_HOST"] == "" ? ["${local.prefix}-database"] : []
    "iam service-accounts"     = [for name in keys(local.accounts) : "${local.prefix}-${name}"]
    "secrets"                  = local.secrets
    "pubsub topics"            = ["${local.prefix}-turns", "${local.prefix}-turns-dead"]
    "pubsub subscriptions"     = ["${local.prefix}-turns-worker", "${local.prefix}-turns-dead-worker"]
    "tasks queues"             = ["${local.prefix}-webhooks"]
    "alloydb clusters"         = local.owns_cluster ? [local.settings["ALLOYDB_CLUSTER"]] : []
    "alloydb instances"        = local.owns_cluster ? [local.settings["ALLOYDB_INSTANCE"]] : []
    "alloydb users"            = local.owns_cluster ? local.users : []
    "artifacts repositories"   = [local.prefix]
    "storage buckets"          = [local.settings["BUILD_BUCKET"]]
    "run jobs"                 = ["${local.prefix}-migrate"]
    "run services"             = [for name in local.services : "${local.prefix}-${name}"]
    "run worker-pools"         = local.push ? [] : ["${local.prefix}-worker"]
    "scheduler jobs"           = ["${local.prefix}-reconcile"]
    "monitoring dashboards"    = local.settings["TELEMETRY_ENDPOINT"] == "" ? [] : ["dashboard"]
    "monitoring policies"      = local.settings["TELEMETRY_ENDPOINT"] == "" ? [] : [for name in fileset("${path.module}/../../monitoring/alerts", "*.yaml") : trimsuffix(name, ".yaml")]
    "monitoring channels"      = local.settings["TELEMETRY_ENDPOINT"] == "" || local.settings["ALERT_EMAIL"] == "" ? [] : [local.settings["ALERT_EMAIL"]]
  }

  # The bindings of access.txt that apply to this deployment.
  lines = [for line in split("\n", file("${path.module}/../../lib/access.txt")) : regexall("\\S+", line) if can(regex("^[a-z]", line))]
  listed = [for words in local.lines : {
    member   = words[0] == "pubsub-agent" ? "serviceAccount:service-${var.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com" : "serviceAccount:${local.prefix}-${words[0]}@${local.settings["PROJECT_ID"]}.iam.gserviceaccount.com"
    role     = words[1]
    kind     = words[2]
    resource = startswith(words[3], "/") ? "${local.secret_prefix}${trimprefix(words[3], "/")}" : words[3] == "-" ? local.prefix : "${local.prefix}-${words[3]}"
    } if contains(concat(["always", local.push ? "push" : "pull"], var.receiver ? ["receiver"] : []), words[4])
  ]
  invokers = [for pair in setproduct(setsubtract(compact(split(",", local.settings["API_INVOKERS"])), ["allUsers"]), concat(["api"], local.grpc ? ["grpc"] : [])) : {
    member = pair[0], role = "roles/run.invoker", kind = "service", resource = "${local.prefix}-${pair[1]}"
  }]
  tools = [for pair in compact(split(",", local.settings["WORKER_SECRETS"])) : {
    member   = "serviceAccount:${local.prefix}-worker@${local.settings["PROJECT_ID"]}.iam.gserviceaccount.com"
    role     = "roles/secretmanager.secretAccessor"
    kind     = "secret"
    resource = split("=", pair)[1]
  }]
  keys = local.settings["API_KEYS_SECRET"] == "" ? [] : [{
    member   = "serviceAccount:${local.prefix}-api@${local.settings["PROJECT_ID"]}.iam.gserviceaccount.com"
    role     = "roles/secretmanager.secretAccessor"
    kind     = "secret"
    resource = local.settings["API_KEYS_SECRET"]
  }]
  # Secrets that variables name by address.
  addressed = flatten([for service, variables in module.checks.accepted.variables : [for name, value in variables : {
    member   = "serviceAccount:${local.prefix}-${replace(service, "/^migrate$/", "migrator")}@${local.settings["PROJECT_ID"]}.iam.gserviceaccount.com"
    role     = "roles/secretmanager.secretAccessor"
    kind     = "secret"
    resource = regex("^sm://projects/${local.settings["PROJECT_ID"]}/secrets/([A-Za-z0-9_-]+)/", value)[0]
  } if startswith(value, "sm://projects/${local.settings["PROJECT_ID"]}/secrets/")]])
  authority = local.settings["DATABASE_SSL_CA_SECRET"] == "" ? [] : [for name in ["api", "worker", "dispatcher", "migrator"] : {
    member   = "serviceAccount:${local.prefix}-${name}@${local.settings["PROJECT_ID"]}.iam.gserviceaccount.com"
    role     = "roles/secretmanager.secretAccessor"
    kind     = "secret"
    resource = local.settings["DATABASE_SSL_CA_SECRET"]
  }]
  smoke = local.settings["SMOKE_SECRET"] == "" ? [] : [{
    member   = "serviceAccount:${local.prefix}-deploy@${local.settings["PROJECT_ID"]}.iam.gserviceaccount.com"
    role     = "roles/secretmanager.secretAccessor"
    kind     = "secret"
    resource = local.settings["SMOKE_SECRET"]
  }]
  grants = { for grant in concat(local.listed, local.invokers, local.tools, local.keys, local.authority, local.smoke, local.addressed) : "${grant.kind} ${grant.resource} ${grant.role} ${grant.member}" => grant }
}

output "settings" {
  value = local.settings
}
output "apis" {
  value = local.apis
}
output "accounts" {
  value = { for name, purpose in local.accounts : "${local.prefix}-${name}" => purpose }
}
output "names" {
  value = local.names
}
output "grants" {
  value = local.grants
}
output "psc" {
  value = local.psc
}
output "push" {
  value = local.push
}
