# A VM of Hopsight with its address, by Terraform or OpenTofu: docs/automation.md has the words.
terraform {
  required_providers {
    http     = { source = "hashicorp/http", version = "~> 3.4" }
    external = { source = "hashicorp/external", version = "~> 2.3" }
  }
}

variable "hopsight" {
  description = "the server's address, without a slash at its end"
  type        = string
}

variable "token" {
  description = "an API token with the scope vm:write"
  type        = string
  sensitive   = true
}

variable "name" {
  type    = string
  default = "web-1"
}

locals {
  headers = { Authorization = "Bearer ${var.token}", Accept = "application/json" }
  images  = [for image in jsondecode(data.http.images.response_body) : image.slug]
}

# What is there: every read of the API is a URL.
data "http" "images" {
  url             = "${var.hopsight}/api/v1/images"
  request_headers = local.headers
}

data "http" "running" {
  url             = "${var.hopsight}/api/v1/vms?state=running&limit=200&fields=name,address"
  request_headers = local.headers
}

# The VM itself: made and deleted by the command-line client, which waits for the operation to end, and takes HOPSIGHT_URL and
# HOPSIGHT_TOKEN of Terraform's own environment.
resource "terraform_data" "vm" {
  input            = { name = var.name }
  triggers_replace = [var.name]

  lifecycle {
    precondition {
      condition     = contains(local.images, "debian-12")
      error_message = "the team has no image debian-12"
    }
  }

  provisioner "local-exec" {
    command     = "hopsight vm create \"$NAME\" --image debian-12"
    environment = { NAME = self.input.name }
  }

  provisioner "local-exec" {
    when        = destroy
    command     = "hopsight vm delete \"$NAME\" --yes"
    environment = { NAME = self.input.name }
  }
}

# Where it is: a program that takes JSON and gives strings.
data "external" "vm" {
  program = ["python3", "${path.module}/vm.py"]
  query   = { name = terraform_data.vm.output.name }
}

output "ssh" {
  value = "ssh ${data.external.vm.result.login_user}@${data.external.vm.result.address}"
}

output "running" {
  value = { for vm in jsondecode(data.http.running.response_body).items : vm.name => vm.address }
}
