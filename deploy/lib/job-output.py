"""Prints what services/admin/job-output.ts has written to the log, which is read from standard input as JSON.

Exits with the status of the command. If entries are missing, exits with 75 and prints nothing, or with the argument "final" what
there is, with 1.
"""

import json
import sys

final = sys.argv[1:] == ["final"]
entries = {}
others = []
end = None
for logged in json.load(sys.stdin):
  payload = logged.get("jsonPayload") or {}
  message = payload.get("message", logged.get("textPayload", ""))
  if "entry" in payload:
    entries[int(payload["entry"])] = payload
  elif "entries" in payload and "status" in payload:
    end = payload
  elif message and payload.get("log") != "audit":
    others.append(message)

complete = end is not None and len(entries) >= int(end["entries"])
if not complete and not final:
  sys.exit(75)
for _, payload in sorted(entries.items()):
  stream = sys.stdout if payload.get("severity", "INFO") == "INFO" else sys.stderr
  stream.write(payload.get("message", "") + ("" if payload.get("continues") else "\n"))
status = int(end["status"]) if complete else 1
# A process that did not come to its command: an invalid variable, or an image that did not start.
if status != 0 and not entries:
  for message in others:
    print(message, file=sys.stderr)
sys.exit(status)
