# The settings with their defaults, once they have passed the checks of deploy/lib/checks.txt, as deploy/lib/checks.sh makes them. Everything
# else reads the output, whose precondition reports everything that is refused together.

variable "settings" {
  type = map(string)
}

locals {
  # : "${NAME:=value}" or : "${NAME=value}"
  defaults = { for found in regexall("(?m)^: \"\\$\\{([A-Z_]+):?=([^}]*)\\}\"", file("${path.module}/../../../settings.sh")) : found[0] => found[1] }
  given    = merge(local.defaults, var.settings)

  # Defaults may name these two settings.
  settings = { for name, value in local.given : name => replace(replace(value, "$PREFIX", local.given["PREFIX"]), "$PROJECT_ID", local.given["PROJECT_ID"]) }
  prefix   = local.settings["PREFIX"]

  file  = file("${path.module}/../../../lib/checks.txt")
  kinds = { for found in regexall("(?m)^kind +([a-z]+) +(\\S+) +(.*)$", local.file) : found[0] => { pattern = found[1], accepted = found[2] } }
  lines = { for found in regexall("(?m)^([A-Z_]+) (optional )?(list )?([a-z]+) ?(.*)$", local.file) : found[0] => {
    optional = found[1] != null, list = found[2] != null, kind = found[3], words = split(" ", found[4])
    values   = split("|", found[4])
    pattern  = found[3] == "number" ? "0|[1-9][0-9]{0,6}" : found[3] == "choice" ? found[4] : local.kinds[found[3]].pattern
  } if found[3] != "variables" }
  checks = { for name, line in local.lines : name => {
    pattern = "^(?:${line.optional ? "|" : ""}${line.list ? "(?:${line.pattern})(?:,(?:${line.pattern}))*" : line.pattern})$"
    bounds  = line.kind == "number" ? [for word in line.words : tonumber(word)] : []
    accepted = join("", [
      line.kind == "number" ? "a number from ${line.words[0]} to ${line.words[1]}" : line.kind == "choice" ? replace(join(", ", line.values), "/, ([^,]*)$/", " or $1") : local.kinds[line.kind].accepted,
      line.list ? ", or several, separated by commas" : "",
      line.optional ? ", or empty" : "",
    ])
  } }
  refused = [for name, check in local.checks : name if !can(regex(check.pattern, local.settings[name])) || !try(
    tonumber(local.settings[name]) >= check.bounds[0] && tonumber(local.settings[name]) <= check.bounds[1], length(check.bounds) == 0
  )]
  # Names that are formed from a refused one are not reported as well.
  formed = [for name in local.refused : name if !contains(keys(var.settings), name) && name != "PROJECT_ID"]

  needs   = regexall("(?m)^needs ([A-Z_]+) (\\S+) ([A-Z_]+) (.*)$", local.file)
  refuses = regexall("(?m)^refuses ([A-Z_]+) (\\S+) ([A-Z_]+) (.*)$", local.file)
  at_most = regexall("(?m)^at-most ([A-Z_]+) ([A-Z_]+)$", local.file)
  modes   = split(",", local.settings["API_AUTH_MODES"])
  readers = [for mode in ["jwt", "cloud-run-iam", "google-oauth"] : mode if contains(local.modes, mode)]
  named   = regexall("(?m)^named ([A-Z_]+) ([A-Z_]+) (.*)$", local.file)
  egress  = { for found in regexall("(?m)^egress ([a-z]+) (.*)$", local.file) : found[0] => found[1] }
  numbers = { for name, value in local.settings : name => try(tonumber(value), 0) }

  # Both ranges as the numbers of their first address and of their addresses.
  ranges = { for name, range in { SUBNET_RANGE = local.settings["SUBNET_RANGE"], DATABASE_RANGE = "${local.settings["DATABASE_RANGE"]}/${local.settings["DATABASE_RANGE_BITS"]}" } :
    name => try({
      text  = range
      start = sum([for index, part in split(".", split("/", range)[0]) : tonumber(part) * pow(256, 3 - index)])
      size  = pow(2, 32 - tonumber(split("/", range)[1]))
    }, null)
  }
  subnet   = local.ranges["SUBNET_RANGE"]
  database = local.ranges["DATABASE_RANGE"]
  # As owns_cluster in settings.sh, and unknown_addresses in checks.sh.
  owns_cluster = local.settings["DATABASE_HOST"] == "" && (local.settings["ALLOYDB_CLUSTER"] == local.prefix || startswith(local.settings["ALLOYDB_CLUSTER"], "${local.prefix}-"))
  unknown_addresses = (
    contains(["proxy", "public"], local.settings["DATABASE_CONNECTION"]) && local.settings["DATABASE_HOST"] != "" || length(setintersection(["DATABASE_CONNECTION", "DATABASE_HOST"], local.refused)) > 0 ? "" :
    local.settings["DATABASE_HOST"] != "" ? (can(regex("^(?:${local.kinds["address"].pattern})$", local.settings["DATABASE_HOST"])) ? "" : "host") :
    local.settings["DATABASE_CONNECTION"] == "psc" ? (local.settings["SUBNET"] == local.prefix ? "" : "subnet") :
    local.settings["DATABASE_CONNECTION"] == "public" || local.owns_cluster ? "" : "cluster"
  )
  # As planned_connections in settings.sh.
  connections = (local.numbers["API_MAX"] + local.numbers["GRPC_MAX"]) * (local.numbers["API_POOL"] + 1) + local.numbers["DISPATCHER_MAX"] * (local.numbers["DISPATCHER_POOL"] + 1) + local.numbers["WORKER_MAX"] * local.numbers["WORKER_POOL"] + 2

  problems = concat(
    [for name in sort(setsubtract(keys(var.settings), keys(local.checks))) : contains(local.env_names, name) ? "${name} must be in env, and not in settings" : "${name} is not a setting: deploy/settings.sh lists them"],
    [for name in local.refused : "${name} must be ${local.checks[name].accepted}, not ${coalesce(local.settings[name], "empty")}" if !contains(local.formed, name)],
    [for rule in local.needs : "${rule[0]}=${rule[1]} needs ${rule[2]}, ${rule[3]}" if contains(split(",", local.settings[rule[0]]), rule[1]) && local.settings[rule[2]] == "" && !(startswith(rule[2], "API_JWT_") && can(local.variables["api"]["JWT_ISSUERS"]))],
    [for rule in local.refuses : "${rule[0]}=${rule[1]} does not go with ${rule[2]}: ${rule[3]}" if local.settings[rule[0]] == rule[1] && local.settings[rule[2]] != ""],
    [for rule in local.named : "${rule[0]}=${local.settings[rule[0]]} needs ${rule[1]}, ${rule[2]}, not ${local.prefix}" if !contains(local.refused, rule[0]) && local.settings[rule[0]] != local.prefix && local.settings[rule[1]] == local.prefix],
    local.settings["DATABASE_EGRESS"] == "" && local.unknown_addresses != "" ? [local.egress[local.unknown_addresses]] : [],
    [for rule in local.at_most : "${rule[0]} must be at most ${rule[1]}, which is ${local.settings[rule[1]]}, not ${local.settings[rule[0]]}" if local.numbers[rule[0]] > local.numbers[rule[1]] && length(setintersection(rule, local.refused)) == 0],
    length(local.readers) > 1 ? ["API_AUTH_MODES must not combine ${join(" and ", local.readers)}, which use the same header"] : [],
    contains(local.modes, "none") && length(local.modes) > 1 ? ["API_AUTH_MODES must not combine none with other modes: none lets anyone call"] : [],
    contains(split(",", local.settings["API_INVOKERS"]), "allUsers") && length(setintersection(local.modes, ["none", "cloud-run-iam"])) > 0 || contains(split(",", local.settings["API_INVOKERS"]), "allAuthenticatedUsers") && contains(local.modes, "none") ? ["API_INVOKERS lets anyone call, but API_AUTH_MODES=${local.settings["API_AUTH_MODES"]} does not authenticate callers: set it to jwt, api-key or google-oauth"] : [],
    [for name, range in local.ranges : "${name} must be the first address of its range, which ${split("/", range.text)[0]} is not of a /${split("/", range.text)[1]}" if try(range.start % range.size != 0, false)],
    local.settings["DATABASE_HOST"] == "" && local.settings["DATABASE_CONNECTION"] != "psc" && try(local.subnet.start < local.database.start + local.database.size && local.database.start < local.subnet.start + local.subnet.size, false) ? ["SUBNET_RANGE and DATABASE_RANGE must not overlap, as ${local.subnet.text} and ${local.database.text} do"] : [],
    local.settings["WORKER_MODE"] == "push" && local.numbers["WORKER_CONCURRENCY"] > 1000 ? ["WORKER_CONCURRENCY must be at most 1000 with WORKER_MODE=push, as Cloud Run accepts, not ${local.settings["WORKER_CONCURRENCY"]}"] : [],
    local.env_problems,
    local.connections >= local.numbers["DATABASE_MAX_CONNECTIONS"] ? ["the services may open ${local.connections} connections, but AlloyDB allows ${local.settings["DATABASE_MAX_CONNECTIONS"]}: lower API_MAX, DISPATCHER_MAX, WORKER_MAX or their pools"] : [],
  )
}

output "accepted" {
  description = "Settings, variables of each service, how many connections they may open, and whether the cluster belongs to this deployment."
  value       = { settings = local.settings, variables = local.variables, connections = local.connections, owns_cluster = local.owns_cluster }

  precondition {
    condition     = length(local.problems) == 0
    error_message = "These settings are refused:\n  - ${join("\n  - ", local.problems)}"
  }
}
