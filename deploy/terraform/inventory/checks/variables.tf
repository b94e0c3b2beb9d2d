# The variables of the services, checked as deploy/lib/variables.sh does: by the tables of docs/operate/configuration.md and by the manifests.

variable "env" {
  type = map(map(string))
}

locals {
  page = split("## `npm start`", file("${path.module}/../../../../docs/operate/configuration.md"))[0]
  rows = regexall("(?m)^\\| (`[^|]*)\\|[^|]*\\|([^|]*)\\|([^|]*)\\|[^|]*\\|$", local.page)
  # Those of OpenTelemetry that its SDK reads have no row. Commands of operators run in the job of the migration.
  known = merge(
    { for name in toset(flatten(regexall("`(OTEL_[A-Z_]+)`", local.page))) : name => { accepts = "", services = ["api", "worker", "dispatcher"] } },
    [for row in local.rows : { for name in regexall("[A-Z][A-Z0-9_]+", row[0]) : name => {
      accepts = trimspace(row[1])
      services = distinct(flatten([for service in split(",", row[2]) :
        trimspace(service) == "all" ? ["api", "worker", "dispatcher"] : trimspace(service) == "admin" ? ["migrate"] : [trimspace(service)]
      ]))
    } }]...
  )
  # What the deployment sets, with the setting that it comes from.
  set_by = { for service, files in { api = ["api", "grpc"], worker = ["worker", "worker-push"], dispatcher = ["dispatcher"], migrate = ["migrate"] } :
    service => merge([for name in files : {
      for found in regexall("(?m)^ +- (?:\\{ )?name: ([A-Z][A-Z0-9_]*)(?:, value: \"\\$\\{([A-Z_]+)\\}\")?", file("${path.module}/../../../manifests/${name}.yaml")) :
      found[0] => join("", slice([for setting in reverse(found) : ": use the setting ${setting}" if setting != null && can(local.checks[setting])], 0, anytrue([for setting in found : setting != null && can(local.checks[setting])]) ? 1 : 0))
    }]...)
  }

  # Variables of one service replace those of all.
  env_names = ["SERVICE_ENV", "API_ENV", "WORKER_ENV", "DISPATCHER_ENV", "AGENT_ENV"]
  given_items = flatten([for setting in local.env_names : [for name, value in lookup(var.env, setting, {}) : {
    setting  = setting, name = name, value = value
    base     = replace(trimsuffix(name, "_FILE"), "/^DATABASE_URL$/", "DATABASE_HOST")
    services = try(local.known[name].services, [])
    accepts  = try(local.known[name].accepts, "")
    targets  = setting == "SERVICE_ENV" ? try(local.known[name].services, []) : setting == "AGENT_ENV" ? ["worker"] : [lower(trimsuffix(setting, "_ENV"))]
  }]])
  items   = [for item in local.given_items : merge(item, { hints = [for service in item.targets : local.set_by[service][item.base] if can(local.set_by[service][item.base])] })]
  secrets = { for pair in compact(split(",", local.settings["WORKER_SECRETS"])) : split("=", pair)[0] => try(split("=", pair)[1], "") }

  env_problems = concat(
    [for setting in sort(setsubtract(keys(var.env), local.env_names)) : "env must not have ${setting}: it has ${join(", ", local.env_names)}"],
    compact([for item in local.items :
      !can(regex("^[A-Za-z_][A-Za-z0-9_]*$", item.name)) ? "${item.setting} must have names of letters, digits and underscores, not ${item.name}" :
      can(regex("^(?:PORT|K_SERVICE|K_REVISION|K_CONFIGURATION|X_GOOGLE_.*|CLOUD_RUN_(?:JOB|EXECUTION|TASK_.*|WORKER_POOL.*))$", item.name)) ? "${item.setting} must not have ${item.name}, which Cloud Run sets" :
      item.setting == "AGENT_ENV" ? (length(item.services) > 0 || contains(keys(local.set_by["worker"]), item.name) ? "AGENT_ENV must not have ${item.name}, which is a variable of Longhaul: use SERVICE_ENV or WORKER_ENV" : "") :
      length(item.services) == 0 ? "${item.setting} must not have ${item.name}, which docs/operate/configuration.md does not know: variables of your own agent are for AGENT_ENV" :
      length(setsubtract(item.targets, item.services)) > 0 ? "${item.setting} must not have ${item.name}, which is not read by the ${item.targets[0]}" :
      length(item.hints) > 0 ? "${item.setting} must not have ${item.name}, which the deployment sets${item.hints[0]}" :
      startswith(item.value, "sm://") ? "" :
      contains(keys(local.known), "${item.name}_FILE") ? "${item.setting}: ${item.name} is secret: give its address in Secret Manager, such as sm://projects/${local.settings["PROJECT_ID"]}/secrets/NAME/versions/latest" :
      item.accepts == "flag" ? (contains(["true", "false", "1", "0"], item.value) ? "" : "${item.setting}: ${item.name} must be true or false, not ${item.value}") :
      can(regex("^[0-9.]+ to [0-9.]+$", item.accepts)) ? (try(can(regex("^[0-9]+([.][0-9]+)?$", item.value)) && tonumber(item.value) >= tonumber(split(" to ", item.accepts)[0]) && tonumber(item.value) <= tonumber(split(" to ", item.accepts)[1]), false) ? "" : "${item.setting}: ${item.name} must be a number from ${item.accepts}, not ${item.value}") :
      can(regex("^[a-z0-9/_-]+(, [a-z0-9/_-]+)+$", item.accepts)) ? (contains(split(", ", item.accepts), item.value) ? "" : "${item.setting}: ${item.name} must be one of ${item.accepts}, not ${item.value}") :
      ""
    ]),
    [for name in keys(local.secrets) : "WORKER_SECRETS must not have ${name}, which is set already" if contains(keys(local.set_by["worker"]), name) || contains(keys(local.variables["worker"]), name)],
  )
  variables = { for service in keys(local.set_by) : service => merge([for item in local.items : { (item.name) = item.value } if contains(item.targets, service)]...) }
}
