# Who may read and write a tenant's documents.
package documents

default decision := {"allowed": false}

# Tenants that have moved are sent to where they are now, whatever they ask for.
decision := {
	"allowed": false,
	"http_status": 308,
	"headers": {"location": concat("", [data.moved[tenant], rest])},
	"body": "moved",
} if {
	member
	data.moved[tenant]
}

decision := {
	"allowed": true,
	"headers": {"x-tenant": tenant, "x-level": level},
	"response_headers_to_add": {"x-documents": level},
} if {
	member
	not data.moved[tenant]
	method in data.levels[level]
}

tenant := input.path.tenant

method := input.attributes.request.http.method

member if tenant in input.claims.tenants

default level := "reader"

level := "editor" if tenant in input.claims.edits

# What stands behind the tenant in the path.
rest := concat("/", array.concat([""], array.slice(input.parsed_path, 2, count(input.parsed_path))))

status if method in ["GET", "HEAD"]
