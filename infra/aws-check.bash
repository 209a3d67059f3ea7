#!/usr/bin/env bash
# The functions of infra/aws-check, which sets the variables that they use.
# shellcheck disable=SC2154

# Commands

# Runs a command, or prints it.
run() {
  if [ "$dry" = no ]; then
    command "$@"
  else
    {
      printf '  %s' "${AWS_PROFILE:+AWS_PROFILE=$AWS_PROFILE }"
      printf '%q ' "$@" && echo
    } >&3
  fi
}
aws() { run aws "$@"; }
sam() { run sam "$@"; }
secondkey() { run secondkey "$@"; }
as_member() { AWS_PROFILE=$member "$@"; }

# Prints what a command prints; in a dry run, $1.
answer() {
  local placeholder=$1
  shift
  "$@" && { [ "$dry" = no ] || echo "$placeholder"; }
}

# Runs a command, and prints whether $1 is so.
check() {
  local what=$1
  shift
  if [ "$dry" = yes ]; then
    echo "check: $what"
    "$@" >/dev/null 2>&1 || true
  elif "$@" >"$work/output" 2>&1; then
    echo "ok: $what"
  else
    echo "FAILED: $what"
    tail -n 20 "$work/output" | sed 's/^/    /'
    failures=$((failures + 1))
  fi
}

# A check without which the others make no sense.
must() {
  local before=$failures
  check "$@"
  [ "$failures" = "$before" ] || exit 1
}

# Tries for $1 minutes or a little longer until the command succeeds.
within() {
  local tries=$(($1 * 6))
  shift
  until "$@"; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] && [ "$dry" = no ] || return 1
    sleep 10
  done
}

# The physical id of resource $2 in stack $1 in the region $3.
physical() {
  answer "$2" aws cloudformation describe-stack-resource --stack-name "$1" --logical-resource-id "$2" \
    --region "${3:-$home}" --query StackResourceDetail.PhysicalResourceId --output text
}

# Deploys member.yaml as stack $1 in region $2 with the parameters that follow. Prints why that fails.
deploy_member() {
  local name=$1 where=$2
  shift 2
  aws cloudformation deploy --stack-name "$name" --template-file member.yaml --region "$where" \
    --capabilities CAPABILITY_NAMED_IAM \
    --parameter-overrides CentralAccountId="$central" CentralStackName="$stack" "$@" && return 0
  aws cloudformation describe-stack-events --stack-name "$name" --region "$where" \
    --query "StackEvents[?contains(ResourceStatus, 'FAILED')].[LogicalResourceId, ResourceStatusReason]" --output text
  return 1
}

# Creates a key of user $1. IAM may not know a new user yet.
create_key() { within 1 aws iam create-access-key --user-name "$1" --query AccessKey.AccessKeyId --output text; }

keys_of() {
  answer AKIAIOSFODNN7EXAMPLE aws iam list-access-keys --user-name "$1" --query 'AccessKeyMetadata[].AccessKeyId' --output text
}

# Conditions

# On an empty file, `jq -e` succeeds. With `-n` and `input` it fails.

# Whether the region guard refuses the template, by its assertion or by the lookup behind it.
is_refused_elsewhere() {
  ! deploy_member "$stack-elsewhere" "$elsewhere" HomeRegion="$home" >"$work/refusal" 2>&1 &&
    grep -E 'never arrive in this region|DeployWhereIamEventsArrive' "$work/refusal" && return 0
  cat "$work/refusal"
  return 1
}

# Prints the status of each finding of user $1 in account $2. Fails if they cannot be read.
statuses() {
  local code=0
  secondkey findings --all --table "$stack" --region "$home" --format json >"$work/findings" || code=$?
  # 10 means that there are findings.
  [ $code -eq 0 ] || [ $code -eq 10 ] || return 1
  jq -r --arg user "$1" --arg account "${2:-$central}" \
    '.findings[] | select(.user == $user and .account == $account) | .status' "$work/findings"
}
is_open() {
  local statuses
  statuses=$(statuses "$@") && [[ $statuses == *open* ]]
}
is_closed() {
  local statuses
  statuses=$(statuses "$@") && [[ $statuses == *closed* && $statuses != *open* && $statuses != *suppressed* ]]
}

# Whether the trail of user $1 has an entry of each kind that follows.
is_recorded() {
  local kind
  secondkey history "$central/$1" --table "$stack" --region "$home" --format json >"$work/history" || return 1
  shift
  for kind in "$@"; do
    jq -en --arg kind "$kind" 'input | any(.entries[]; .kind == $kind)' "$work/history" || { echo "no $kind" && return 1; }
  done
}

# Prints doctor's checks as JSON. Doctor exits with 1 if a check failed.
doctor() { secondkey doctor --stack "$stack" --region "$home" --format json "$@" || [ $? -eq 1 ]; }

is_swept() {
  doctor >"$work/doctor" &&
    jq -en 'input | any(.checks[]; .what == "sweep of this account" and .state == "ok")' "$work/doctor"
}

# Whether doctor finds nothing wrong. Prints what it found. Other accounts of the organization do not matter.
doctor_passes() {
  doctor "$@" >"$work/doctor" && jq -en 'input
    | [.checks[] | select(.state != "ok" and .state != "warning") | select(.what != "organization: accounts")]
    | if . == [] then true else (., false) end' "$work/doctor"
}

# Whether the queue that is subscribed to both topics has received the text $1.
has_received() {
  aws sqs receive-message --queue-url "$queue" --max-number-of-messages 10 --wait-time-seconds 5 \
    --query 'Messages[].Body' --output text >>"$work/received" && grep -qF -- "$1" "$work/received"
}

# Whether an action of alarm $1 was executed.
has_acted() {
  local history
  history=$(aws cloudwatch describe-alarm-history --alarm-name "$1" --history-item-type Action \
    --query 'AlarmHistoryItems[].HistorySummary' --output text) && [[ $history == *"Successfully executed action"* ]]
}

# Whether Security Hub has a finding of user $1 with the record state $2.
is_in_security_hub() {
  local filters found
  filters=$(jq -cn --arg state "$2" '{GeneratorId: [{Value: "secondkey", Comparison: "EQUALS"}],
    RecordState: [{Value: $state, Comparison: "EQUALS"}]}')
  found=$(aws securityhub get-findings --filters "$filters" --query 'Findings[].Resources[].Id' --output text) &&
    [[ $found == *"$1"* ]]
}

# Whether EventBridge has stored the member's target as it is in the template.
has_bus_as_target() {
  local rule
  rule=$(physical "$stack-member" ChangesRule "$region") || return 1
  aws events list-targets-by-rule --rule "$rule" --region "$region" --output json >"$work/targets" || return 1
  cat "$work/targets"
  jq -en --arg bus "arn:$partition:events:$home:$central:event-bus/$stack" --arg queue "$dead_letters" 'input | .Targets
    | length == 1 and (.[0] | .Arn == $bus and .DeadLetterConfig.Arn == $queue and .RetryPolicy == null)' "$work/targets"
}

# Whether the queue for what the members' rules could not deliver has received the text $1.
is_dead_letter() {
  local url messages
  url=$(answer QUEUE aws sqs get-queue-url --queue-name "$stack-member-dead-letters" --region "$region" \
    --query QueueUrl --output text) || return 1
  # The message must soon be visible again, because the alarm counts only those.
  messages=$(aws sqs receive-message --queue-url "$url" --region "$region" --wait-time-seconds 5 \
    --visibility-timeout 1 --query 'Messages[].Body' --output text) && [[ $messages == *"$1"* ]]
}

# Removal. All names begin with the stack's, so that nothing else can be removed.

# Runs a command that removes something, which may not exist.
gone() {
  was_gone=no
  "$@" >"$work/removal" 2>&1 && return 0
  was_gone=yes
  grep -qE 'NoSuch|NotFound|NonExistent|does not exist' "$work/removal" || { cat "$work/removal" && return 1; }
}

remove_user() {
  local key
  gone aws iam detach-user-policy --user-name "$1" --policy-arn "$quarantine" || return 1
  for key in $(keys_of "$1" 2>/dev/null); do
    gone aws iam delete-access-key --user-name "$1" --access-key-id "$key" || return 1
  done
  gone aws iam delete-user --user-name "$1"
}

# IAM may not have found a user that was created a moment ago.
no_user_is_left() {
  local left
  left=$(aws iam list-users --query "Users[?starts_with(UserName, '$stack')].UserName" --output text) || return 1
  [ -z "$left" ] || { echo "$left" && return 1; }
}

remove_stack() {
  gone aws cloudformation delete-stack --stack-name "$1" --region "$2" &&
    aws cloudformation wait stack-delete-complete --stack-name "$1" --region "$2"
}

remove_rule() {
  gone aws events remove-targets --rule "$stack-undeliverable" --ids nowhere --region "$region" &&
    gone aws events delete-rule --name "$stack-undeliverable" --region "$region"
}

remove_queue() {
  local url
  gone answer QUEUE aws sqs get-queue-url --queue-name "$stack-subscriber" --query QueueUrl --output text || return 1
  [ "$was_gone" = no ] || return 0
  url=$(cat "$work/removal")
  gone aws sqs delete-queue --queue-url "$url"
}

# The stack retains the table, which is protected and cannot be deleted while it is being updated.
remove_table() {
  gone aws dynamodb update-table --table-name "$stack" --no-deletion-protection-enabled || return 1
  [ "$was_gone" = no ] || return 0
  aws dynamodb wait table-exists --table-name "$stack" &&
    aws dynamodb delete-table --table-name "$stack" &&
    aws dynamodb wait table-not-exists --table-name "$stack"
}

# The trail's bucket, which the stack retains, and the bucket of the functions' code.
remove_buckets() {
  local bucket buckets
  buckets=$(answer "$stack-bucket" aws s3api list-buckets --query "Buckets[?starts_with(Name, '$stack-')].Name" --output text) || return 1
  for bucket in $buckets; do
    # CloudTrail may still deliver for some minutes.
    within 10 gone aws s3 rb "s3://$bucket" --force || return 1
  done
}

remove() {
  local name left="the key of the alert topic, which AWS deletes in 30 days"
  echo "== remove"
  for name in "$user" "$user-renamed"; do
    check "the user $name is removed" remove_user "$name"
  done
  [ -z "$elsewhere" ] || check "no stack is left in $elsewhere" remove_stack "$stack-elsewhere" "$elsewhere"
  if [ -n "$member" ]; then
    check "the member's user is removed" as_member remove_user "$user"
    check "the member's test rule is removed" as_member remove_rule
  fi
  if [ "$keep" = no ]; then
    [ -z "$member" ] || check "the member stack is removed" as_member remove_stack "$stack-member" "$region"
    [ "$home" = "$region" ] || check "the forwarding stack is removed" remove_stack "$stack-forward" "$region"
    check "the central stack is removed" remove_stack "$stack" "$home"
    check "the queue is removed" remove_queue
    check "the table is removed" remove_table
    check "the buckets are removed" remove_buckets
    [ "$hub" = no ] || left="$left; the findings in Security Hub, which it deletes after 90 days"
  else
    left="the stacks, the table, the queue and the buckets; to remove them: infra/aws-check --remove $stack, with the same profiles and regions"
  fi
  check "no user is left" no_user_is_left
  [ -z "$member" ] || check "no user is left in the member account" as_member no_user_is_left
  echo "what remains: $left"
}
