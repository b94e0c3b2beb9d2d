#!/usr/bin/env bash
# Registers a deployed agent in an app of Gemini Enterprise: sends the card of the api, with the address of the service.
#
#   PROJECT_ID=my-project deploy/register.sh [--dry-run] --app APP_ID [--authorization ID] [--location global] URL
#
# docs/operate/gemini-enterprise.md says what must exist before. Needs curl and python3, as Cloud Shell has them.
set -euo pipefail

dry_run=false app='' authorization='' location=global url=''
while (($# > 0)); do
  case $1 in
    --dry-run) dry_run=true ;;
    --app) app=${2:?--app needs a value}; shift ;;
    --authorization) authorization=${2:?--authorization needs a value}; shift ;;
    --location) location=${2:?--location needs a value}; shift ;;
    -h | --help) sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit ;;
    -*) printf 'register: %s is not a valid option; see --help\n' "$1" >&2; exit 64 ;;
    *) url=$1 ;;
  esac
  shift
done
: "${PROJECT_ID:?set PROJECT_ID to the id of the Google Cloud project}"
if [[ -z $app || ! $url =~ ^https?:// ]]; then
  echo 'register: expected --app with the id of the app, and the URL of the api; see --help' >&2
  exit 64
fi

# The card is public, but Cloud Run may ask for a token. curl reads it from standard input: arguments are visible.
token=''
if [[ $url == https://*.run.app* ]]; then token=$(gcloud auth print-identity-token); fi
card=$(curl --silent --show-error --fail-with-body --max-time 30 --config - "${url%/}/.well-known/agent-card.json" \
  <<<"${token:+header = \"authorization: Bearer $token\"}")
request=$(CARD=$card URL=${url%/}/ AUTHORIZATION=$authorization LOCATION=$location python3 -c '
import json, os
card = json.loads(os.environ["CARD"])
untagged = [skill["id"] for skill in card.get("skills", []) if not skill.get("tags")]
if untagged:
    raise SystemExit("register: skills without tags: " + ", ".join(untagged))
if not str(card.get("protocolVersion", "")).startswith("0.3"):
    raise SystemExit("register: the card is not one of A2A 0.3: A2A_VERSIONS must list it")
fields = "protocolVersion name description version capabilities skills defaultInputModes defaultOutputModes provider iconUrl".split()
sent = {name: card[name] for name in fields if name in card}
sent.update(url=os.environ["URL"], preferredTransport="JSONRPC")
request = {"displayName": card["name"], "description": card["description"], "a2aAgentDefinition": {"jsonAgentCard": json.dumps(sent)}}
if os.environ["AUTHORIZATION"]:
    name = "projects/%s/locations/%s/authorizations/%s" % (os.environ["PROJECT_ID"], os.environ["LOCATION"], os.environ["AUTHORIZATION"])
    request["authorizationConfig"] = {"agentAuthorization": name}
print(json.dumps(request, indent=2))
')
host=discoveryengine.googleapis.com
if [[ $location != global ]]; then host=$location-$host; fi
target="https://$host/v1alpha/projects/$PROJECT_ID/locations/$location/collections/default_collection/engines/$app/assistants/default_assistant/agents"
if [[ $dry_run == true ]]; then printf 'POST %s\n%s\n' "$target" "$request"; exit; fi
printf 'header = "authorization: Bearer %s"\n' "$(gcloud auth print-access-token)" |
  curl --silent --show-error --fail-with-body --config - --header "x-goog-user-project: $PROJECT_ID" \
    --header 'content-type: application/json' --data "$request" "$target"
