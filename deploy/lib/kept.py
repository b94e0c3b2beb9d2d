"""Prints what the services of a deployment were deployed with, as kept.sh compares it with the settings of a run.

Standard input is two JSON lists, of the services and of the worker pool; the argument is the prefix of their names. Lines:
setting NAME=value, variable SERVICE NAME value-as-in-a-settings-file, secret NAME=secret (of the workers).
"""

import json
import sys

# The client of gcloud's own tokens: API_GCLOUD_TOKENS.
GCLOUD = "32555940559.apps.googleusercontent.com"


def read_lists(text):
  while text.strip():
    found, end = json.JSONDecoder().raw_decode(text.lstrip())
    yield from found
    text = text.lstrip()[end:]


def container(found, name):
  containers = found["spec"]["template"]["spec"]["containers"]
  return next((each for each in containers if each.get("name", "service") == name), None)


def quote(value):
  """As parse_variables of variables.sh reads it, on one line."""
  if "\n" not in value and value[:1] not in ("'", '"') and value == value.strip():
    return value
  return '"%s"' % value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def secret(env, name):
  return (env.get(name, "").split("/") + [""] * 6)[5]


def settings_of(api):
  env = {each["name"]: each.get("value", "") for each in container(api, "service").get("env", [])}
  audience = env.get("GOOGLE_OAUTH_AUDIENCE", "").split(",")
  proxy = container(api, "alloydb-auth-proxy")
  annotations = api["spec"]["template"].get("metadata", {}).get("annotations", {})
  network = json.loads(annotations.get("run.googleapis.com/network-interfaces", "[{}]"))[0]
  kept = {
      "API_AUTH_MODES": env.get("AUTH_MODES", ""),
      "API_JWT_ISSUER": env.get("JWT_ISSUER", ""),
      "API_JWT_AUDIENCE": env.get("JWT_AUDIENCE", ""),
      # Without the account of the smoke test, whose id is the last one, and a number.
      "API_OAUTH_AUDIENCE": ",".join(audience if audience[-1].strip("0123456789") else audience[:-1]),
      "API_KEYS_SECRET": secret(env, "API_KEYS"),
      "API_GCLOUD_TOKENS": "true" if GCLOUD in env.get("CLOUD_RUN_AUDIENCE", "").split(",") else "false",
      "PUBLIC_URL": env.get("PUBLIC_URL", ""),
      "TRUSTED_PROXIES": env.get("TRUSTED_PROXIES", ""),
      "CONTENT_KMS_KEY": env.get("CONTENT_KMS_KEY", ""),
      "CONTENT_KEY_STORE": env.get("CONTENT_KEY_STORE", ""),
      "NETWORK": network.get("network", ""),
      "SUBNET": network.get("subnetwork", ""),
      "DATABASE_NAME": env.get("DATABASE_NAME", ""),
  }
  if proxy:
    kept["DATABASE_CONNECTION"] = "public" if "--public-ip" in proxy.get("args", []) else "proxy"
  else:
    kept["DATABASE_SSL"] = env.get("DATABASE_SSL", "")
    kept["DATABASE_SSL_CA_SECRET"] = secret(env, "DATABASE_SSL_CA")
    kept["DATABASE_HOST"] = env.get("DATABASE_HOST", "")
  return kept


prefix = sys.argv[1]
deployed = {each["metadata"]["name"][len(prefix) + 1 :]: each for each in read_lists(sys.stdin.read())}
if "api" not in deployed:
  sys.exit()
settings = settings_of(deployed["api"])
if "grpc" in deployed:
  annotations = deployed["grpc"]["spec"]["template"].get("metadata", {}).get("annotations", {})
  settings["GRPC_MAX"] = annotations.get("autoscaling.knative.dev/maxScale", "5")
if deployed.get("worker", {}).get("kind") == "Service":
  settings["WORKER_MODE"] = "push"
for each in settings.items():
  print("setting %s=%s" % each)
for service in ("api", "dispatcher", "worker"):
  if service not in deployed:
    continue
  for each in container(deployed[service], "service").get("env", []):
    reference = each.get("valueFrom", {}).get("secretKeyRef")
    if not reference:
      print("variable %s %s %s" % (service, each["name"], quote(each.get("value", ""))))
    elif service == "worker":
      print("secret %s=%s" % (each["name"], reference["name"]))
