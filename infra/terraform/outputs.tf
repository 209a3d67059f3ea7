output "stack_id" {
  value       = aws_cloudformation_stack.secondkey.id
  description = "The ARN of the stack"
}

output "outputs" {
  value       = aws_cloudformation_stack.secondkey.outputs
  description = "The outputs of the stack by their names in the template, for example AlertTopicArn"
}
