# Secrets, each readable only by the services that use it. Initial contents are generated here and never shown.
if [[ $DRY_RUN == false ]]; then
  command -v openssl >/dev/null || fail 'openssl is not installed; it generates the keys that sign webhooks: install the package openssl'
fi
for name in api worker dispatcher; do
  secret "${SECRET_PREFIX}alloy_db_user_$name" printf '%s' "${DATABASE_USER}_$name"
  secret "${SECRET_PREFIX}alloy_db_pass_$name" random_password
done
secret "${SECRET_PREFIX}alloy_db_admin_pass" random_password
new_encryption_keys() { printf 'k1:%s' "$(random_key)"; }
secret "$PREFIX-encryption-keys" new_encryption_keys

# Webhooks are signed with an Ed25519 key. The dispatcher gets the private key, and the API gets the public key.
base64url() { base64 | tr '+/' '-_' | tr -d '=\n'; }
new_signing_keys() {
  local key private public
  key=$(openssl genpkey -algorithm ed25519)
  private=$(openssl pkey -outform DER <<<"$key" | tail -c 32 | base64url)
  public=$(openssl pkey -pubout -outform DER <<<"$key" | tail -c 32 | base64url)
  printf '{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"%s","d":"%s","x":"%s"}]}' "k-${public:0:8}" "$private" "$public"
}
public_keys() { read_secret "$PREFIX-webhook-signing-keys" | sed 's/"d":"[^"]*",//g'; }
secret "$PREFIX-webhook-signing-keys" new_signing_keys
secret "$PREFIX-webhook-public-keys" public_keys

grant_listed secret
if [[ -n $API_KEYS_SECRET ]]; then
  grant roles/secretmanager.secretAccessor "$(service_account api)" secrets "$API_KEYS_SECRET"
fi
if [[ -n $DATABASE_SSL_CA_SECRET ]]; then
  for name in api worker dispatcher migrator; do
    grant roles/secretmanager.secretAccessor "$(service_account $name)" secrets "$DATABASE_SSL_CA_SECRET"
  done
fi
if [[ -n $SMOKE_SECRET ]]; then
  grant roles/secretmanager.secretAccessor "$(service_account deploy)" secrets "$SMOKE_SECRET"
fi
# Secrets that variables name by address.
for name in api worker dispatcher migrate; do
  for named in $(named_secrets "$name"); do
    grant roles/secretmanager.secretAccessor "$(service_account "${name/migrate/migrator}")" secrets "$named"
  done
done
# Secrets of the agent's tools, which the author has created.
IFS=, read -r -a pairs <<<"$WORKER_SECRETS"
for pair in "${pairs[@]}"; do
  grant roles/secretmanager.secretAccessor "$(service_account worker)" secrets "${pair#*=}"
done
