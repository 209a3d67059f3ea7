locals {
  # SHA256SUMS stands for the content of a release. Each release has a folder of its own, so that
  # CloudFormation notices new code.
  prefix = "${var.code_prefix}${substr(filesha256("${var.release}/SHA256SUMS"), 0, 16)}/"

  uploads = toset([
    "template.yaml",
    "detector-${var.architecture}.zip",
    "sweeper-${var.architecture}.zip",
    "securityhub-${var.architecture}.zip",
  ])

  parameters = {
    CodeBucket             = data.aws_s3_bucket.code.id
    CodePrefix             = local.prefix
    Architecture           = var.architecture
    AlertEmail             = var.alert_email
    AlarmEmail             = var.alarm_email
    RotationWindowHours    = var.rotation_window_hours
    TrustedActors          = var.trusted_actors
    UnfamiliarActors       = var.unfamiliar_actors
    ReminderHours          = var.reminder_hours
    SecurityHubImport      = var.security_hub_import
    OrganizationId         = var.organization_id
    MemberRoleName         = var.member_role_name
    RolePath               = var.role_path
    MemberExternalId       = var.member_external_id
    ListAccounts           = var.list_accounts
    ExcludedAccounts       = var.excluded_accounts
    TableName              = var.table_name
    TableKeyArn            = var.table_key_arn
    AlertKeyArn            = var.alert_key_arn
    LogKeyArn              = var.log_key_arn
    LogRetentionDays       = var.log_retention_days
    CreateTrail            = var.create_trail
    SweepMode              = var.sweep_mode
    SettleSeconds          = var.settle_seconds
    LogLevel               = var.log_level
    IamEventsRegion        = var.iam_events_region
    PermissionsBoundaryArn = var.permissions_boundary_arn
    SweepConcurrency       = var.sweep_concurrency
  }
}

data "aws_s3_bucket" "code" {
  bucket = var.code_bucket
}

resource "aws_s3_object" "release" {
  for_each = local.uploads

  bucket      = data.aws_s3_bucket.code.id
  key         = "${local.prefix}${each.key}"
  source      = "${var.release}/${each.key}"
  source_hash = filesha256("${var.release}/${each.key}")

  # An update that is rolled back needs the previous code.
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_cloudformation_stack" "secondkey" {
  name = var.stack_name

  # The template is larger than the API takes by value.
  template_url = "https://${data.aws_s3_bucket.code.bucket_regional_domain_name}/${aws_s3_object.release["template.yaml"].key}"

  # The template names its roles and uses the transform of AWS SAM.
  capabilities = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]

  parameters = { for name, value in local.parameters : name => value if value != null }
  tags       = var.tags

  depends_on = [aws_s3_object.release]
}
