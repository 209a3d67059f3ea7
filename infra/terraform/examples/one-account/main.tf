# secondkey in one account, with alerts by email. IAM's events arrive in us-east-1.

provider "aws" {
  region = "us-east-1"
}

module "secondkey" {
  source = "../.."

  release     = "${path.module}/release"
  code_bucket = "example-artifacts-us-east-1"

  alert_email = "security@example.com"
}

output "alert_topic_arn" {
  value = module.secondkey.outputs["AlertTopicArn"]
}
