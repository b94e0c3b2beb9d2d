# Secrets, each readable by those that use it. Their first contents are made here, and shown to nobody.
secret alloy_db_user printf '%s' "$DATABASE_USER"
secret alloy_db_pass random_password
secret alloy_db_admin_pass random_password
new_encryption_keys() { printf 'k1:%s' "$(random_key)"; }
secret "$PREFIX-encryption-keys" new_encryption_keys

for name in api worker dispatcher; do
  grant roles/secretmanager.secretAccessor "$(service_account $name)" secrets alloy_db_user
  grant roles/secretmanager.secretAccessor "$(service_account $name)" secrets alloy_db_pass
done
grant roles/secretmanager.secretAccessor "$(service_account migrator)" secrets alloy_db_user
grant roles/secretmanager.secretAccessor "$(service_account migrator)" secrets alloy_db_admin_pass
if [[ -n $API_KEYS_SECRET ]]; then
  grant roles/secretmanager.secretAccessor "$(service_account api)" secrets "$API_KEYS_SECRET"
fi
for name in api dispatcher; do
  grant roles/secretmanager.secretAccessor "$(service_account $name)" secrets "$PREFIX-encryption-keys"
done
