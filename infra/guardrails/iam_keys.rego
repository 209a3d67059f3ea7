# Denies a Terraform plan (`terraform show -json`) that leaves an IAM user with more than one active
# access key.
#
# README.md in this directory describes how keys are counted and what the rule cannot see.

package main

import rego.v1

deny contains message if {
	not is_plan
	message := "the input is not a Terraform plan of format 1.x, so no access key was counted; pass the output of `terraform show -json PLANFILE`"
}

# What an aborted plan would do to other resources is not in it.
deny contains message if {
	is_plan
	is_errored
	message := "Terraform did not finish this plan because of an error (`errored`), so access keys may be missing from it; fix the error and plan again"
}

deny contains message if {
	some owner, keys in keys_after_apply
	count(keys) > 1
	message := sprintf(
		"%s would have %d active access keys: %s; keep one, and remove the others or set status = \"Inactive\" on them",
		[described(owner, keys), count(keys), listed(keys)],
	)
}

# IAM names are unique regardless of case, so the replaced key is compared like the new one.
deny contains message if {
	not allow_create_before_destroy
	some owner, keys in keys_after_apply
	count(keys) == 1
	replaced := {key | some key in replaced_last; owner_of(key) == owner}
	count(replaced) > 0
	message := sprintf(
		"%s would have %d active access keys until %s is destroyed, or permanently if the apply stops in between; remove create_before_destroy from it, or set its status = \"Inactive\" in an earlier apply",
		[described(owner, keys), count(keys) + count(replaced), listed(replaced)],
	)
}

is_plan if {
	startswith(input.format_version, "1.")
	is_object(input.configuration)
	is_object(input.planned_values)
}

is_errored if input.errored == true

# Teams that rotate with create_before_destroy allow it with `--data`.
allow_create_before_destroy if data.secondkey.allow_create_before_destroy == true

keys_after_apply[owner] contains key if {
	some key in remaining
	owner := owner_of(key)
}

# The active keys

changes := [change |
	some change in input.resource_changes
	change.mode == "managed"
]

key_changes := [change | some change in changes; change.type == "aws_iam_access_key"]

remaining contains key_of(change, change.change.after, change.change.after_unknown) if {
	some change in key_changes
	some action in change.change.actions
	action in {"create", "no-op", "read", "update"}
	is_active(change.change.after)
}

# Terraform forgets the key, but IAM keeps it.
remaining contains key_of(change, change.change.before, {}) if {
	some change in key_changes
	"forget" in change.change.actions
	is_active(change.change.before)
}

# A plan with `-target` does not list the resources that it leaves unchanged.
remaining contains key_of(resource, resource.values, {}) if {
	some path, module
	walk(input.prior_state.values.root_module, [path, module])
	count(path) % 2 == 0
	every i, step in path { ["child_modules", null][i % 2] in {null, step} }
	some object_in_state in module.resources
	object_in_state.mode == "managed"
	object_in_state.type == "aws_iam_access_key"
	deposed := object.get(object_in_state, "deposed_key", "")
	not [object_in_state.address, deposed] in changed
	resource := object.union(object_in_state, {
		"module_address": object.get(module, "address", ""),
		"deposed": deposed,
	})
	is_active(resource.values)
}

changed := {[change.address, object.get(change, "deposed", "")] | some change in key_changes}

replaced_last contains key_of(change, change.change.before, {}) if {
	some change in key_changes
	change.change.actions == ["create", "delete"]
	is_active(change.change.before)
}

# A status that is unknown or not set counts as Active, which is how IAM creates keys.
is_active(values) if {
	is_object(values)
	object.get(values, "status", "Active") != "Inactive"
}

key_of(change, values, unknown) := {
	"address": change.address,
	"deposed": object.get(change, "deposed", ""),
	"module": object.get(change, "module_address", ""),
	"name": change.name,
	"index": index_of(change.address),
	"user": user,
} if {
	user := known_text(values, unknown, "user")
}

known_text(values, unknown, field) := values[field] if {
	is_string(values[field])
	not unknown[field] == true
} else := ""

# The owner of a key

# IAM compares user names without regard to case.
owner_of(key) := {"account": account_of(key), "user": lower(key.user)} if {
	key.user != ""
} else := {"account": account_of(key), "user": lower(name)} if {
	origins := origins_of(key)
	count(origins) == 1
	some origin in origins
	name := planned_user_names[origin]
} else := {"origins": origins} if {
	origins := origins_of(key)
	count(origins) > 0
	every origin in origins { is_one_user(origin) }
} else := {"origins": origins, "resource": [key.module, key.name]} if {
	# All instances of one resource share an expression, so they belong to one user. Another resource
	# may combine the same references differently.
	origins := origins_of(key)
	count(origins) > 0
} else := {"key": [key.address, key.deposed]}

user_changes := {change.address: change | some change in changes; change.type == "aws_iam_user"; not change.deposed}

planned_user_names[address] := name if {
	some address, change in user_changes
	name := known_text(change.change.after, change.change.after_unknown, "name")
	name != ""
}

is_one_user(origin) if user_changes[origin]

is_one_user(origin) if {
	regex.match(
		sprintf(`(^|\.)((data\.aws_iam_user|local|var)\.[^\[\]."]+|module\.[^\[\]."]+(%s)?\.[^\[\]."]+)(\.[^\[\]."]+|%s)*$`, [index, index]),
		origin,
	)
}

# The origins of a name that is known after apply: addresses of users if the plan shows them, otherwise
# the references that the name is built from.
origins_of(key) := users if {
	users := {origin | some origin in all_origins_of(key); user_changes[origin]}
	count(users) > 0
} else := all_origins_of(key)

all_origins_of(key) := {origin |
	resource := resource_of(key)
	start := {[key.module, term] | some term in terms(resource.expressions.user, resource, key.index)}
	some node in start | {next | some passed in graph.reachable(reference_graph, start); some next in reference_graph[passed]}
	not reference_graph[node]
	origin := only_instance(concat(".", [part | some part in node; part != ""]))
}

# `one(aws_iam_user.this[*].name)` has no index and needs none.
only_instance(address) := instances[0] if {
	instances := [other | user_changes[other]; startswith(other, concat("", [address, "["]))]
	count(instances) == 1
} else := address

# The configuration

index := `\[(?:[0-9]+|"(?:\\.|[^"\\])*")\]`

modules[address] := module if {
	some path, module
	walk(input.configuration.root_module, [path, module])
	count(path) % 3 == 0
	every i, step in path { ["module_calls", null, "module"][i % 3] in {null, step} }
	address := concat(".", [concat(".", ["module", name]) | name := path[i]; i % 3 == 1])
}

module_at(address) := modules[regex.replace(address, index, "")]

resource_of(key) := resource if {
	some resource in module_at(key.module).resources
	resource.mode == "managed"
	resource.type == "aws_iam_access_key"
	resource.name == key.name
}

# Each instance of a module and of its parent modules.
module_instances contains {"address": concat(".", array.slice(steps, 0, i + 1)), "parent": concat(".", array.slice(steps, 0, i)), "step": step} if {
	some change in changes
	steps := regex.find_n(sprintf(`module\.[^\[\]."]+(?:%s)?`, [index]), object.get(change, "module_address", ""), -1)
	some i, step in steps
}

# Edges lead from a module's variable to the caller's argument, and from an output to its expression.
reference_graph[[instance.address, concat(".", ["var", name])]] := {[instance.parent, term] | some term in terms(expression, call, index_of(instance.step))} if {
	some instance in module_instances
	call := module_at(instance.parent).module_calls[name_of(instance.step)]
	some name, expression in call.expressions
}

reference_graph[[instance.parent, concat(".", [instance.step, name])]] := {[instance.address, term] | some term in terms(output.expression, {}, "")} if {
	some instance in module_instances
	some name, output in module_at(instance.address).outputs
}

name_of(step) := regex.replace(substring(step, count("module."), -1), index, "")

# The index at the end of an address: `["blue"]`, `[0]` or nothing.
index_of(address) := found if {
	found := regex.find_n(concat("", [index, "$"]), address, 1)[0]
} else := ""

# The references of an expression, each shortened to the part that names one user, with the instance's
# index if the expression uses it.
terms(expression, block, instance) := {indexed(short(reference), references, instance) |
	references := references_of(expression, block)
	some reference in references
	not startswith(reference, "each.")
	not startswith(reference, "count.")
	not is_prefix_of_any(reference, references)
}

references_of(expression, block) := array.concat(given, block.for_each_expression.references) if {
	given := object.get(expression, "references", [])
	some reference in given
	startswith(reference, "each.value")
} else := object.get(expression, "references", [])

is_prefix_of_any(reference, references) if {
	some other in references
	some separator in [".", "["]
	startswith(other, concat("", [reference, separator]))
}

short(reference) := user if {
	found := regex.find_n(sprintf(`^(data\.)?aws_iam_user\.[^\[\]."]+(%s)?`, [index]), reference, 1)
	user := found[0]
} else := regex.replace(reference, `^(var\.[^\[\]."]+)\.(name|id)$`, "$1")

indexed(term, references, instance) := concat("", [term, instance]) if {
	some reference in references
	regex.match(`^(each|count)\.`, reference)
	not contains(term, "[")
} else := term

# The account

# Two provider configurations with the same credentials are one account, regardless of region. Only
# constants can be compared; a configuration that uses variables counts as a separate account.
account_of(key) := credentials if {
	provider := input.configuration.provider_config[provider_key(key)]
	credentials := object.remove(object.get(provider, "expressions", {}), ["region", "default_tags", "ignore_tags"])
	not has_references(credentials)
} else := provider_key(key)

has_references(expressions) if {
	some path
	walk(expressions, [path, _])
	"references" in path
}

# A key that is no longer in the configuration is assigned to the default provider.
provider_key(key) := found if {
	found := resource_of(key).provider_config_key
} else := "aws"

# The text of denials

described(owner, keys) := sprintf("IAM user \"%s\"", [name]) if {
	spellings := {spelling | some spelling in {owner.user} | {key.user | some key in keys}; lower(spelling) == owner.user}
	name := shown(min(spellings))
} else := sprintf("the IAM user of %s (name known after apply)", [shown(concat(", ", sort(owner.origins)))])

listed(keys) := concat(", ", array.concat(array.slice(names, 0, 10), more)) if {
	names := sort([named(key) | some key in keys])
	more := [sprintf("and %d more", [count(names) - 10]) | count(names) > 10]
}

named(key) := sprintf("%s (deposed %s)", [shown(key.address), shown(key.deposed)]) if {
	key.deposed != ""
} else := shown(key.address)

# Text from a plan must not forge or hide a line.
shown(text) := regex.replace(substring(text, 0, 256), `[^ -~]`, "?")
