variable "release" {
  type        = string
  description = "The folder of a release, with its zips, template.yaml and SHA256SUMS"
}

variable "code_bucket" {
  type        = string
  description = "The bucket that the release is uploaded to; it must be in the region of the stack"
}

variable "code_prefix" {
  type        = string
  default     = "secondkey/"
  description = "What precedes the names of the uploaded files, with a slash at its end"

  validation {
    condition     = can(regex("^([A-Za-z0-9!_.*'()-]+/)*$", var.code_prefix))
    error_message = "The prefix is empty or ends in a slash."
  }
}

variable "stack_name" {
  type        = string
  default     = "secondkey"
  description = "The name of the stack; the roles and functions are named after it"

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,50}$", var.stack_name))
    error_message = "The name begins with a letter and has up to 51 letters, digits and hyphens."
  }
}

variable "tags" {
  type        = map(string)
  default     = {}
  description = "The tags of all resources that take tags"
}

# The parameters of the template. With null, the template's default applies.

variable "architecture" {
  type        = string
  default     = "arm64"
  description = "The processor that the functions run on; arm64 costs less"
}

variable "alert_email" {
  type        = string
  default     = null
  description = "Email address for alerts; confirm the subscription. Empty for no email"
}

variable "alarm_email" {
  type        = string
  default     = null
  description = "Email address for alarms about secondkey itself; confirm the subscription. Empty to use AlertEmail"
}

variable "rotation_window_hours" {
  type        = number
  default     = null
  description = "How many hours two active keys count as a rotation; after that a finding is raised to HIGH"
}

variable "trusted_actors" {
  type        = string
  default     = null
  description = "ARN patterns with * and ?, separated by commas, of actors who create keys for others"
}

variable "unfamiliar_actors" {
  type        = bool
  default     = null
  description = "Whether a key that an unfamiliar actor creates for a user raises the finding to HIGH"
}

variable "reminder_hours" {
  type        = number
  default     = null
  description = "How many hours between reminders of an account's findings that are past their rotation window"
}

variable "security_hub_import" {
  type        = string
  default     = null
  description = "Whether findings go to Security Hub, all to this account's (central), each to its own account's (members), or off"
}

variable "organization_id" {
  type        = string
  default     = null
  description = "The organization whose accounts may send their IAM events here; empty for this account only"
}

variable "member_role_name" {
  type        = string
  default     = null
  description = "The name of the role that member.yaml creates in each member account"
}

variable "role_path" {
  type        = string
  default     = null
  description = "The path of all roles, the same as in member.yaml"
}

variable "member_external_id" {
  type        = string
  default     = null
  description = "The external ID that the members' roles require; empty to create one, see the output of this name"
}

variable "list_accounts" {
  type        = bool
  default     = null
  description = "Whether the sweep lists the organization's accounts; this account needs permission for it (see the README)"
}

variable "excluded_accounts" {
  type        = string
  default     = null
  description = "IDs of member accounts that are not watched, separated by commas. Their open findings are closed"
}

variable "table_name" {
  type        = string
  default     = null
  description = "The table's name, fixed so that a later stack can adopt a retained table. A new name starts an empty table and leaves the old one behind"
}

variable "table_key_arn" {
  type        = string
  default     = null
  description = "The KMS key that encrypts the table; empty for the key that DynamoDB owns"
}

variable "alert_key_arn" {
  type        = string
  default     = null
  description = "The KMS key that encrypts the alert topic, with a policy as in the README; empty to create one"
}

variable "log_key_arn" {
  type        = string
  default     = null
  description = "The KMS key that encrypts the functions' logs; empty for the key that CloudWatch Logs owns"
}

variable "log_retention_days" {
  type        = number
  default     = null
  description = "How many days the functions' logs are kept"
}

variable "create_trail" {
  type        = bool
  default     = null
  description = "Whether to create a trail; IAM events arrive only if a trail logs write management events"
}

variable "sweep_mode" {
  type        = string
  default     = null
  description = "Whether a sweep lists each user's keys or reads the credential report, which may be four hours old"
}

variable "settle_seconds" {
  type        = number
  default     = null
  description = "How many seconds an IAM listing may lag behind a change"
}

variable "log_level" {
  type        = string
  default     = null
  description = "The minimum level that the functions log"
}

variable "iam_events_region" {
  type        = string
  default     = null
  description = "Where IAM events arrive - here, or in another region, from which member.yaml forwards them to this home region"
}

variable "permissions_boundary_arn" {
  type        = string
  default     = null
  description = "The permissions boundary of the functions' roles; empty for none"
}

variable "sweep_concurrency" {
  type        = number
  default     = null
  description = "How many accounts are swept at once, and at most how many messages a second they send to people; email by SNS takes ten"
}
