"""Checks commands and files with the parsers of the installed gcloud. Does not run anything or access the network.

Runs with gcloud's own Python; the argument is the SDK's lib directory. Reads JSON from standard input,
{"commands": [[word, ...], ...], "manifests": [path, ...], "builds": [path, ...], "dashboards": [path, ...],
"alerts": [path, ...]}, and prints a JSON list of the rejected items, as [item, reason].
"""

import contextlib
import io
import json
import os
import sys

lib = sys.argv[1]
sys.path[:0] = [lib, os.path.join(lib, "third_party")]

from googlecloudsdk import gcloud_main  # pylint: disable=wrong-import-position
from googlecloudsdk.core import yaml  # pylint: disable=wrong-import-position

request = json.load(sys.stdin)
rejected = []
cli = gcloud_main.CreateCLI([])
parser = cli._TopElement()._parser  # pylint: disable=protected-access


def attempt(what, action):
  output = io.StringIO()
  try:
    with contextlib.redirect_stderr(output), contextlib.redirect_stdout(output):
      action()
  except (Exception, SystemExit) as error:  # pylint: disable=broad-except
    rejected.append([what, f"{error} {output.getvalue()}".strip()])


def known(words):
  """Worker pools are beta in older versions of gcloud; the Agent Registry is missing there, and is not checked."""
  if words[1:3] == ["run", "worker-pools"] and not os.path.exists(os.path.join(lib, "surface/agent_registry")):
    return words[:1] + ["beta"] + words[1:]
  return words


for words in map(known, request["commands"]):
  if words[1:2] == ["agent-registry"] and not os.path.exists(os.path.join(lib, "surface/agent_registry")):
    continue
  attempt(" ".join(words), lambda words=words: parser.parse_args(words[1:]))


def manifest(path):
  from googlecloudsdk.api_lib.run import global_methods
  from googlecloudsdk.api_lib.util import apis
  from googlecloudsdk.api_lib.util import messages as messages_util

  messages = apis.GetMessagesModule(global_methods.SERVERLESS_API_NAME, global_methods.SERVERLESS_API_VERSION)
  content = yaml.load_path(path)
  messages_util.DictToMessageWithErrorCheck(content, getattr(messages, content["kind"]))


def build(path):
  from googlecloudsdk.api_lib.cloudbuild import cloudbuild_util, config

  config.LoadCloudbuildConfigFromPath(path, cloudbuild_util.GetMessagesModule(), params={})


def monitoring(path, version, kind):
  from googlecloudsdk.api_lib.util import apis
  from googlecloudsdk.api_lib.util import messages as messages_util

  messages = apis.GetMessagesModule("monitoring", version)
  messages_util.DictToMessageWithErrorCheck(yaml.load_path(path), getattr(messages, kind))


for path in request["dashboards"]:
  attempt(path, lambda path=path: monitoring(path, "v1", "Dashboard"))
for path in request["alerts"]:
  attempt(path, lambda path=path: monitoring(path, "v3", "AlertPolicy"))
for path in request["manifests"]:
  attempt(path, lambda path=path: manifest(path))
for path in request["builds"]:
  attempt(path, lambda path=path: build(path))
print(json.dumps(rejected))
