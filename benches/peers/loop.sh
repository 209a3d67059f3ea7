#!/usr/bin/env bash
# The plain way: every user, and the keys of each. Prints who has two active ones, of the first MOST users.
set -euo pipefail
most=$1
users=$(aws iam list-users --query 'Users[].UserName' --output text | tr '\t' '\n' | sort)
# A here-string and not a pipe: `head` would end whoever writes to it.
for user in $(head -n "$most" <<<"$users"); do
  active=$(aws iam list-access-keys --user-name "$user" --query "length(AccessKeyMetadata[?Status=='Active'])" --output text)
  if [ "$active" -ge 2 ]; then
    echo "$user"
  fi
done
