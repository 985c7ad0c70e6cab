# Tests of documents.rego: `extauthz policy test policies/rego --values policies/rego.values.yaml`, or `opa test`.
package documents_test

import data.documents

asked(method, path, claims) := {
	"attributes": {"request": {"http": {"method": method}}},
	"parsed_path": path,
	"path": {"tenant": path[1]},
	"claims": claims,
}

ann := {"sub": "ann", "tenants": ["acme", "legacy"]}

ed := {"sub": "ed", "tenants": ["acme"], "edits": ["acme"]}

test_a_reader_reads if {
	request := asked("GET", ["documents", "acme", "7"], ann)
	decision := documents.decision with input as request
	decision.allowed
	decision.headers == {"x-tenant": "acme", "x-level": "reader"}
}

test_a_reader_does_not_write if {
	request := asked("PUT", ["documents", "acme", "7"], ann)
	decision := documents.decision with input as request
	decision == {"allowed": false}
}

test_an_editor_writes if {
	request := asked("PUT", ["documents", "acme", "7"], ed)
	decision := documents.decision with input as request
	decision.headers["x-level"] == "editor"
}

test_nobody_reads_what_is_another_tenants if {
	request := asked("GET", ["documents", "globex", "7"], ann)
	decision := documents.decision with input as request
	decision == {"allowed": false}
}

test_a_tenant_that_has_moved_is_sent_there if {
	request := asked("GET", ["documents", "legacy", "7", "a"], ann)
	decision := documents.decision with input as request
	decision.http_status == 308
	decision.headers.location == "https://archive.example/7/a"
}

test_a_tenant_that_moves_tomorrow if {
	request := asked("GET", ["documents", "acme", "7"], ann)
	decision := documents.decision with input as request with data.moved as {"acme": "https://new.example"}
	decision.headers.location == "https://new.example/7"
}

test_status_is_read_only if {
	reading := asked("GET", ["status", ""], {})
	documents.status with input as reading
	writing := asked("POST", ["status", ""], {})
	not documents.status with input as writing
}
