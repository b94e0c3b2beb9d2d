#!/usr/bin/env bash
# A fake curl that answers as a registry of images: it wants a token, and knows a digest of all images but $UNKNOWN_IMAGE. Services
# answer with the statuses of the file $FAKE_STATUSES, one a request, or with 403.
if [[ $* == *--write-out* ]]; then
  status=403
  if [[ -n ${FAKE_STATUSES:-} ]]; then
    status=$(head -n 1 "$FAKE_STATUSES")
    sed -i 1d "$FAKE_STATUSES"
  fi
  printf '%s' "$status"
elif [[ $* != *--head* ]]; then
  if [[ $* == *'scope=repository:'*':pull'* ]]; then echo '{"token": "token"}'; fi
elif [[ $* != *'Bearer token'* ]]; then
  printf 'HTTP/2 401\r\nwww-authenticate: Bearer realm="https://registry/token",service="registry"\r\n\r\n'
elif [[ $* == *"/v2/${UNKNOWN_IMAGE:-none}/manifests/"* ]]; then
  printf 'HTTP/2 404\r\n\r\n'
else
  printf 'HTTP/2 200\r\ndocker-content-digest: sha256:%064d\r\n\r\n' 1
fi
