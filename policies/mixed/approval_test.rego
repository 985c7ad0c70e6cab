# Tests of approval.rego: `extauthz policy test policies/mixed --values policies/mixed.values.yaml`, or `opa test`.
package approval_test

import data.approval

asked(subject, department, invoice) := {
	"principal": {"subject": subject},
	"claims": {"department": department},
	"parsed_body": invoice,
}

test_within_the_limit_of_the_department if {
	request := asked("max", "books", {"amount": 5000, "department": "books", "author": "ann"})
	approval.within_limit with input as request
}

test_beyond_the_limit_of_the_department if {
	request := asked("max", "toys", {"amount": 501, "department": "toys", "author": "ann"})
	not approval.within_limit with input as request
}

test_a_department_without_a_limit_has_the_default if {
	within := asked("max", "games", {"amount": 1000, "department": "games", "author": "ann"})
	approval.within_limit with input as within
	beyond := asked("max", "games", {"amount": 1001, "department": "games", "author": "ann"})
	not approval.within_limit with input as beyond
}

test_another_department if {
	request := asked("max", "toys", {"amount": 1, "department": "books", "author": "ann"})
	not approval.within_limit with input as request
}

test_directors_approve_for_all if {
	request := asked("dora", "board", {"amount": 9000, "department": "books", "author": "ann"})
	approval.within_limit with input as request
}

test_nobody_approves_their_own if {
	request := asked("max", "books", {"amount": 1, "department": "books", "author": "max"})
	approval.own with input as request
}
