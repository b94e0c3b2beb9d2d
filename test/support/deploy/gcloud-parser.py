"""Checks commands and files with the parsers of the installed gcloud. Does not run anything or access the network.

Runs with gcloud's own Python; the argument is the SDK's lib directory. Reads JSON from standard input,
{"commands": [[word, ...], ...], "manifests": [path, ...], "builds": [path, ...], "dashboards": [path, ...],
"alerts": [path, ...]}, and prints {"rejected": [[item, reason], ...], "beta": number, "unchecked": [command, ...]}.

Commands that this gcloud has only as beta, although newer ones have them without it, are parsed as beta and counted. Commands that it
does not have at all are listed as unchecked. Both are named here, so that nothing else passes by this way.
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


def is_beta(path):
  """Whether this gcloud has a group of commands, but not yet without "beta"."""
  with open(os.path.join(lib, "surface", path, "__init__.py")) as source:
    return "ReleaseTrack.GA" not in source.read()


beta = 0
unchecked = []
for words in request["commands"]:
  # Flags of all commands may come first.
  at = next(index for index, word in enumerate(words) if index > 0 and not word.startswith("--"))
  if words[at : at + 1] == ["agent-registry"] and not os.path.exists(os.path.join(lib, "surface/agent_registry")):
    unchecked.append(" ".join(words))
    continue
  if words[at : at + 2] == ["run", "worker-pools"] and is_beta("run/worker_pools"):
    words = words[:at] + ["beta"] + words[at:]
    beta += 1
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
print(json.dumps({"rejected": rejected, "beta": beta, "unchecked": unchecked}))
