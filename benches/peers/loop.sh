#!/usr/bin/env bash
# The simple way: lists every user and each user's keys. Prints users with two active keys among the first MOST.
set -euo pipefail
most=$1
users=$(aws iam list-users --query 'Users[].UserName' --output text | tr '\t' '\n' | sort)
# A here-string instead of a pipe, because `head` would end the writer of a pipe.
for user in $(head -n "$most" <<<"$users"); do
  active=$(aws iam list-access-keys --user-name "$user" --query "length(AccessKeyMetadata[?Status=='Active'])" --output text)
  if [ "$active" -ge 2 ]; then
    echo "$user"
  fi
done
