# The manifests of the scripts, as the module needs them. templatefile replaces the same ${NAME} as the scripts do.

locals {
  host     = "${var.project_number}.${local.region}.run.app"
  agent    = local.settings["AGENT_DIR"] != ""
  api_url  = "https://${local.prefix}-api-${local.host}"
  instance = "projects/${local.settings["PROJECT_ID"]}/locations/${local.region}/clusters/${local.settings["ALLOYDB_CLUSTER"]}/instances/${local.settings["ALLOYDB_INSTANCE"]}"

  proxy_args = concat(
    ["--port=5432", "--structured-logs", "--health-check", "--http-address=0.0.0.0"],
    local.settings["DATABASE_CONNECTION"] == "public" ? ["--public-ip"] : [],
  )
  proxy = {
    name         = "alloydb-auth-proxy"
    image        = local.settings["AUTH_PROXY_IMAGE"]
    startupProbe = { httpGet = { path = "/startup", port = 9090 }, periodSeconds = 2, failureThreshold = 30 }
    resources    = { limits = { cpu = "1", memory = "512Mi" } }
  }

  # What the scripts compute, by the names in the manifests. Versions of secrets are pinned; the first is 1.
  computed = merge(
    {
      SECRET_PREFIX          = local.secret_prefix
      MANIFEST               = "terraform"
      CONTRACTED             = ""
      API_IMAGE              = local.agent || local.settings["IMAGES_FROM"] == "source" ? local.settings["WORKER_IMAGE"] : local.settings["API_IMAGE"]
      DATABASE_ADDRESS       = local.proxied ? "127.0.0.1" : var.values.database_address
      DATABASE_SSL           = local.proxied ? "disable" : local.settings["DATABASE_SSL"]
      PLANNED_CONNECTIONS    = tostring(module.checks.accepted.connections)
      WORKER_RELEASE         = local.settings["WORKER_RELEASE"] != "" ? local.settings["WORKER_RELEASE"] : try(substr(split("@sha256:", local.settings["WORKER_IMAGE"])[1], 0, 12), "")
      DISPATCHER_URL         = "https://${local.prefix}-dispatcher-${local.host}"
      WORKER_URL             = "https://${local.prefix}-worker-${local.host}"
      RECEIVER_URL           = "https://${local.prefix}-receiver-${local.host}/"
      API_URL                = local.api_url
      API_INGRESS            = "all"
      API_PUBLIC             = tostring(local.public)
      OAUTH_AUDIENCE         = join(",", compact([local.settings["API_OAUTH_AUDIENCE"], contains(split(",", local.settings["API_AUTH_MODES"]), "google-oauth") ? var.values.deploy_id : ""]))
      API_AUDIENCE           = "${local.api_url}${local.gcloud_audience}"
      GRPC_AUDIENCE          = "https://${local.prefix}-grpc-${local.host}${local.gcloud_audience}"
      DATABASE_SSL_CA        = local.proxied || local.settings["DATABASE_SSL_CA_SECRET"] == "" ? "" : "sm://projects/${local.settings["PROJECT_ID"]}/secrets/${local.settings["DATABASE_SSL_CA_SECRET"]}/versions/latest"
      GRPC_TARGET            = local.grpc ? "${local.prefix}-grpc-${local.host}:443" : ""
      API_ARGS               = local.agent ? "api" : "services/api/main.ts"
      WORKER_ARGS            = local.agent ? "worker" : "services/worker/main.ts"
      DISPATCHER_ARGS        = local.agent ? "dispatcher" : "services/dispatcher/main.ts"
      MIGRATE_ARGS           = local.agent ? "migrate" : "services/migrate/main.ts"
      RECEIVER_ARGS          = local.agent ? "webhooks" : "services/cli/main.ts, webhooks"
      API_KEYS_VALUE         = local.settings["API_KEYS_SECRET"] == "" ? "" : "sm://projects/${local.settings["PROJECT_ID"]}/secrets/${local.settings["API_KEYS_SECRET"]}/versions/latest"
      AUTH_PROXY_QUIT_URL    = local.proxied ? "http://127.0.0.1:9091/quitquitquit" : ""
      ADMIN_PASSWORD_VERSION = lookup(var.secret_versions, "admin", "1")
      ALERT_CHANNELS         = ""
      PUBLIC_URL             = local.settings["PUBLIC_URL"] != "" ? local.settings["PUBLIC_URL"] : local.api_url
      API_EXTRA              = local.extra["api"]
      DISPATCHER_EXTRA       = local.extra["dispatcher"]
      MIGRATE_EXTRA          = local.extra["migrate"]
      WORKER_EXTRA           = join("\n", concat([local.extra["worker"]], local.worker_secrets))
      AUTH_PROXY_ANNOTATION  = ""
      AUTH_PROXY             = local.proxied ? "        - ${jsonencode(merge(local.proxy, { args = concat(local.proxy_args, [local.instance]) }))}" : ""
      AUTH_PROXY_OF_JOB      = local.proxied ? "            - ${jsonencode(merge(local.proxy, { args = concat(local.proxy_args, ["--quitquitquit", local.instance]) }))}" : ""
    },
    { for name in ["API", "WORKER", "DISPATCHER"] : "${name}_USER_VERSION" => "1" },
    { for name in ["API", "WORKER", "DISPATCHER"] : "${name}_PASSWORD_VERSION" => lookup(var.secret_versions, lower(name), "1") },
  )
  # Variables of the services, as lines of their manifests.
  extra = { for service, variables in module.checks.accepted.variables : service => join("\n", [for name, value in variables :
    "${service == "migrate" ? "    " : ""}            - { name: ${name}, value: ${jsonencode(value)} }"
  ]) }
  worker_secrets = [for pair in compact(split(",", local.settings["WORKER_SECRETS"])) : "            - { name: ${split("=", pair)[0]}, valueFrom: { secretKeyRef: { name: ${split("=", pair)[1]}, key: latest } } }"]
  # The client id of gcloud, which deploy.sh names too.
  gcloud_audience = local.settings["API_GCLOUD_TOKENS"] == "true" ? one(regexall("GCLOUD_AUDIENCE='([^']+)'", file("${path.module}/../../deploy.sh")))[0] : ""

  files     = merge({ migrate = "migrate" }, { for name in local.services : name => name == "worker" ? "worker-push" : name }, local.push ? {} : { worker = "worker" })
  manifests = { for name, file in local.files : "${local.prefix}-${name}" => yamldecode(templatefile("${path.module}/../../manifests/${file}.yaml", merge(local.settings, local.computed))) }

  # What the resources of services, worker pools and jobs read alike: the specification of the pod, which jobs have one level deeper,
  # the annotations next to it, and the network. Services start after the AlloyDB Auth Proxy, if there is one.
  specs = { for name, manifest in local.manifests : name => merge(
    try(manifest.spec.template.spec.template.spec, manifest.spec.template.spec),
    { annotations = manifest.spec.template.metadata.annotations },
  ) }
  pods = { for name, spec in local.specs : name => merge(spec, {
    networks = try([jsondecode(spec.annotations["run.googleapis.com/network-interfaces"])[0]], [])
    containers = [for index, container in spec.containers : merge(container, {
      env     = try(container.env, [])
      startup = try([container.startupProbe], [])
      live    = try([container.livenessProbe], [])
      after   = [for other in spec.containers : other.name if index == 0 && other.name != container.name]
    })]
  }) }
}

variable "secret_versions" {
  description = "The versions of the passwords that the services and the migration (admin) use, once there are others than the first."
  type        = map(string)
}

output "manifests" {
  value = local.manifests
}
output "pods" {
  value = local.pods
}
output "alerts" {
  value = { for name in local.names["monitoring policies"] : name => yamldecode(templatefile("${path.module}/../../monitoring/alerts/${name}.yaml", merge(local.settings, local.computed))) }
}
output "dashboard" {
  value = { for name in local.names["monitoring dashboards"] : name => yamldecode(templatefile("${path.module}/../../monitoring/${name}.yaml", merge(local.settings, local.computed))) }
}
